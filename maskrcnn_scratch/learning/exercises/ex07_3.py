"""Exercise 7.3: what was read level by level, put back into the order of the RoIs."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake


def in_order(levels: np.ndarray, parts: dict[int, np.ndarray]) -> np.ndarray:
    """One row of features for each RoI, in the order of the RoIs.

    Args:
        levels: the level of each RoI, whole numbers, (n,), n at least 1.
        parts: by level, the features of its RoIs, (RoIs of that level, features), in
            the order in which these RoIs stand in ``levels``. A level that no RoI has
            is missing.

    Returns (n, features): row i belongs to RoI i.
    """
    features = next(iter(parts.values())).shape[1]
    rows = np.zeros((len(levels), features))
    for level, part in parts.items():
        rows[levels == level] = part
    return rows


@st.composite
def grouped_rows(draw: st.DrawFn) -> Inputs:
    """RoIs of some levels, each with features that tell it from the others."""
    some_levels = st.lists(st.integers(2, 5), min_size=1, max_size=6)
    levels = np.array(draw(some_levels), np.int64)
    features = draw(st.integers(1, 2))
    first = draw(st.integers(-3, 3))
    values = first + np.arange(len(levels) * features, dtype=np.float64)
    rows = values.reshape(len(levels), features)
    present = draw(st.permutations(sorted(set(levels.tolist()))))
    return {
        "levels": levels,
        "parts": {level: rows[levels == level] for level in present},
    }


def order_of(levels: np.ndarray, parts: dict[int, np.ndarray]) -> np.ndarray:
    """Each RoI takes the next row of its level."""
    taken = dict.fromkeys(parts, 0)
    rows = []
    for level in levels.tolist():
        rows.append(parts[level][taken[level]])
        taken[level] += 1
    return np.array(rows)


EXERCISE = Exercise(
    id="ex07_3",
    title="Back in order",
    objective="Put features that were read level by level back into the RoIs' order.",
    difficulty=2,
    minutes=15,
    task=(
        "RoIs are read in groups, one for each level of the pyramid, but all that "
        "follows takes them in the order of the proposals. Write "
        "`in_order(levels, parts)`."
    ),
    hints=(
        "Joining the parts puts all RoIs of the first level first. Each row has to go "
        "to the place of its RoI.",
        "The places of a level's RoIs are those where `levels == level`.",
        "`rows[levels == level] = part` writes all rows of a level at once.",
    ),
    solution=in_order,
    laws=(
        Law("Each RoI has the next row of its level.", grouped_rows(), order_of),
        Law(
            "The rows of one level are its part, unchanged.",
            grouped_rows(),
            expected=lambda levels, parts: parts[int(levels[0])],
            got=lambda f, levels, parts: f(levels, parts)[levels == levels[0]],
        ),
    ),
    mistakes=(
        Mistake(
            "joined",
            "you joined the parts one after the other: row i is then not that of "
            "RoI i.",
            "return np.concatenate(list(parts.values()))",
        ),
        Mistake(
            "joined by level",
            "you joined the parts from the finest level to the coarsest: row i is then "
            "not that of RoI i.",
            "return np.concatenate([parts[level] for level in sorted(parts)])",
        ),
        Mistake(
            "permutation for its inverse",
            "you applied the order that sorts the RoIs by level a second time; to undo "
            "it write `rows[order] = joined`, not `rows = joined[order]`.",
            """
            joined = np.concatenate([parts[level] for level in sorted(parts)])
            return joined[np.argsort(levels, kind="stable")]
            """,
        ),
        Mistake(
            "first row for all",
            "you gave every RoI of a level the first row of its part.",
            {"= part": "= part[0]"},
        ),
        Mistake(
            "last row for all",
            "you gave every RoI of a level the last row of its part.",
            {"= part": "= part[-1]"},
        ),
        Mistake(
            "backwards",
            "you filled the places of a level from the last to the first.",
            {"= part": "= part[::-1]"},
        ),
        Mistake(
            "index of the RoI",
            "you took row i of a part for RoI i; rows of a part are counted within its "
            "level.",
            "return np.stack([parts[k][i] for i, k in enumerate(levels.tolist())])",
        ),
        Mistake(
            "all levels there",
            "you look for all of P2 to P5 in `parts`; a level without RoIs is missing.",
            {
                "for level, part in parts.items():": "for level in range(2, 6):\n"
                "        part = parts[level]"
            },
        ),
        Mistake(
            "only the last level",
            "you begin anew at every level, so the rows of the last one alone remain.",
            {
                "        rows[levels": "        rows = np.zeros_like(rows)\n"
                "        rows[levels"
            },
        ),
        Mistake(
            "features mixed up",
            "you returned (features, n): a row belongs to a RoI.",
            {"return rows": "return rows.T"},
        ),
    ),
)
