"""Exercise 14.4: keypoints in the mirror."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from maskrcnn_scratch.learning.exercise import Exercise, Function, Inputs, Law, Mistake
from maskrcnn_scratch.learning.strategies import sixteenths


def flip(keypoints: np.ndarray, width: int, pairs: list[tuple[int, int]]) -> np.ndarray:
    """The keypoints of an object after the image was mirrored left to right.

    Args:
        keypoints: (x, y, v) of each, in image pixels, (points, 3); v is 0 where a
            point is not labelled, and then x = y = 0.
        width: of the image, in pixels; its right edge is at x = width.
        pairs: the rows (left, right) of those that are a left and a right one, no row
            in two pairs.

    Returns (points, 3): a labelled point at x is mirrored to width - x; one that is not
    labelled stays (0, 0, 0); and then the two rows of every pair change places, since
    the mirror image of a left hand is a right hand.
    """
    flipped = keypoints.copy()
    labelled = keypoints[:, 2] > 0
    flipped[labelled, 0] = width - keypoints[labelled, 0]
    for left, right in pairs:
        flipped[[left, right]] = flipped[[right, left]]
    return flipped


@st.composite
def persons(draw: st.DrawFn) -> Inputs:
    """Some keypoints of which none, two or four are pairs."""
    width = draw(st.integers(4, 16))
    n = draw(st.integers(1, 5))
    rows = []
    for _ in range(n):
        v = draw(st.sampled_from((2, 1, 0)))
        x, y = draw(sixteenths(0, width)), draw(sixteenths(0, 8))
        rows.append((x, y, v) if v else (0, 0, 0))
    order = draw(st.permutations(range(n)))
    count = draw(st.integers(0, n // 2))
    pairs = [(order[2 * k], order[2 * k + 1]) for k in range(count)]
    return {"keypoints": np.array(rows, np.float64), "width": width, "pairs": pairs}


def flip_of(
    keypoints: np.ndarray, width: int, pairs: list[tuple[int, int]]
) -> np.ndarray:
    """Row by row: each takes its twin's mirror image."""
    twin = {**dict(pairs), **{right: left for left, right in pairs}}
    rows = []
    for row in range(len(keypoints)):
        x, y, v = keypoints[twin.get(row, row)]
        rows.append((width - x if v > 0 else 0.0, y, v))
    return np.array(rows)


def twice(
    function: Function, keypoints: np.ndarray, width: int, pairs: list[tuple[int, int]]
) -> Any:
    """Mirrored, and mirrored again."""
    return function(np.asarray(function(keypoints, width, pairs)), width, pairs)


EXERCISE = Exercise(
    id="ex14_4",
    title="In the mirror",
    objective="Mirror keypoints so that left stays left.",
    difficulty=1,
    minutes=10,
    task=(
        "Write `flip(keypoints, width, pairs)`: what happens to keypoints when "
        "training mirrors an image."
    ),
    hints=(
        "Copy the array first: the input must stay as it is.",
        "`width - x`, without - 1: x is a place, not the number of a pixel. Only where "
        "v is above 0.",
        "`flipped[[left, right]] = flipped[[right, left]]` exchanges two rows.",
    ),
    solution=flip,
    laws=(
        Law("Each row is its twin's mirror image.", persons(), flip_of),
        Law(
            "Twice mirrored is not mirrored.",
            persons(),
            expected=lambda keypoints, width, pairs: keypoints,
            got=twice,
        ),
    ),
    mistakes=(
        Mistake(
            "left and right not exchanged",
            "you left the rows in their order: in the mirror the left hand is at the "
            "place of the right one, and a network learns that left is right.",
            {"for left, right in pairs": "for left, right in []"},
        ),
        Mistake(
            "width - 1 - x",
            "you took width - 1 - x, which is for the numbers of pixels; places are "
            "mirrored to width - x.",
            {"width - keypoints": "width - 1 - keypoints"},
        ),
        Mistake(
            "unlabelled moved",
            "you moved points that are not labelled: they stay (0, 0, 0).",
            {"keypoints[:, 2] > 0": "keypoints[:, 2] >= 0"},
        ),
        Mistake(
            "hidden not moved",
            "you left hidden points where they were: they are labelled too.",
            {"keypoints[:, 2] > 0": "keypoints[:, 2] > 1"},
        ),
        Mistake(
            "not mirrored",
            "you exchanged the rows and did not move the points.",
            {"width - keypoints[labelled, 0]": "keypoints[labelled, 0]"},
        ),
        Mistake(
            "upside down",
            "you mirrored y: left to right changes x alone.",
            {
                "flipped[labelled, 0]": "flipped[labelled, 1]",
                "keypoints[labelled, 0]": "keypoints[labelled, 1]",
            },
        ),
        Mistake(
            "x alone exchanged",
            "you exchanged the x of a pair alone: y and v belong to the point too.",
            {
                "flipped[[left, right]] = flipped[[right, left]]": "flipped[[left, "
                "right], 0] = flipped[[right, left], 0]"
            },
        ),
        Mistake(
            "overwritten",
            "you wrote one of a pair over the other, and both are the same now: "
            "exchange them at once, or keep a copy.",
            {
                "flipped[[left, right]] = flipped[[right, left]]": "flipped[left] = "
                "flipped[right]\n        flipped[right] = flipped[left]"
            },
        ),
        Mistake(
            "first pair only",
            "you exchanged the first pair alone.",
            {"in pairs": "in pairs[:1]"},
        ),
        Mistake(
            "visibility lost",
            "you made all labelled points visible: v goes with its point.",
            {"    for left": "    flipped[labelled, 2] = 2\n    for left"},
        ),
        Mistake(
            "minus x",
            "you turned x into -x: the image begins at 0 again, so it is width - x.",
            {"width - keypoints": "-keypoints"},
        ),
    ),
)
