"""Exercise 15.1: is one model better, or was it chance?"""

from __future__ import annotations

import math
import statistics

import numpy as np
from hypothesis import strategies as st

from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake


def paired_difference(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """(mean, standard error) of one - other over runs that belong together.

    Args:
        one, other: (n,) with n of at least 2: the scores of two models; entry i of both
            is from the same seed, so from the same images in the same order.

    The standard error is that of the mean of the n differences: their standard
    deviation, with n - 1 in the denominator, over the square root of n.
    """
    differences = one - other
    n = len(differences)
    deviation = np.sqrt(((differences - differences.mean()) ** 2).sum() / (n - 1))
    return float(differences.mean()), float(deviation / np.sqrt(n))


@st.composite
def scores(draw: st.DrawFn) -> Inputs:
    """Scores in hundredths; a seed is good or bad for both models."""
    n = draw(st.integers(2, 5))
    seeds = draw(st.lists(st.integers(40, 80), min_size=n, max_size=n))
    gains = draw(st.lists(st.integers(-6, 12), min_size=n, max_size=n))
    other = np.array(seeds) / 100
    return {"one": other + np.array(gains) / 100, "other": other}


def by_the_library(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """With Python's own statistics."""
    differences = [float(a) - float(b) for a, b in zip(one, other, strict=True)]
    error = statistics.stdev(differences) / math.sqrt(len(differences))
    return statistics.mean(differences), error


EXERCISE = Exercise(
    id="ex15_1",
    title="Better, or chance?",
    objective="Compare two models run by run, with a standard error.",
    difficulty=1,
    minutes=10,
    task=(
        "Write `paired_difference(one, other)`: by how much the first model is better "
        "on average, and the standard error of that."
    ),
    hints=(
        "Subtract run from run first. What a seed does to both models is gone then.",
        "From here on there is one list of n numbers: its mean, and how sure the mean "
        "is.",
        "`differences.std(ddof=1) / np.sqrt(n)`",
    ),
    solution=paired_difference,
    laws=(
        Law(
            "Mean and error are those of Python's statistics.",
            scores(),
            by_the_library,
            tolerance=1e-6,
        ),
        Law(
            "A seed that helps both models changes nothing.",
            scores(),
            expected=by_the_library,
            got=lambda f, one, other: f(
                one + np.arange(len(one)), other + np.arange(len(one))
            ),
            tolerance=1e-6,
        ),
    ),
    mistakes=(
        Mistake(
            "unpaired",
            "you added the variances of the two lists, as for runs that have nothing "
            "to do with each other: take the variance of the differences.",
            {
                "((differences - differences.mean()) ** 2).sum() / (n - 1)": "one.var("
                "ddof=1) + other.var(ddof=1)"
            },
        ),
        Mistake(
            "n for n - 1",
            "you divided the squares by n: the mean was taken from the same numbers, "
            "so n - 1 are free.",
            {"/ (n - 1)": "/ n"},
        ),
        Mistake(
            "standard deviation",
            "you returned the standard deviation, by which single runs differ: the "
            "mean of n runs is surer, by the root of n.",
            {"deviation / np.sqrt(n)": "deviation"},
        ),
        Mistake(
            "by n",
            "you divided the deviation by n instead of its root.",
            {"deviation / np.sqrt(n)": "deviation / n"},
        ),
        Mistake(
            "variance",
            "you forgot a root: the standard error has the unit of the scores.",
            {"deviation / np.sqrt(n)": "deviation**2 / n"},
        ),
        Mistake(
            "other way round",
            "you subtracted the first from the second: positive means that `one` is "
            "better.",
            {"one - other": "other - one"},
        ),
        Mistake(
            "without the sign",
            "you took the differences without their signs: a run that went the other "
            "way counts against.",
            {"one - other": "abs(one - other)"},
        ),
        Mistake(
            "median",
            "you took the median for the mean.",
            {
                "return float(differences.mean())": "return "
                "float(np.median(differences))"
            },
        ),
        Mistake(
            "relative",
            "you divided by the other model's scores: the difference is in points.",
            {"one - other": "(one - other) / other"},
        ),
        Mistake(
            "best run",
            "you compared the best runs: one lucky seed is no evidence.",
            {
                "return float(differences.mean())": "return "
                "float(one.max() - other.max())"
            },
        ),
        Mistake(
            "95 per cent",
            "you returned 1.96 standard errors: that is an interval for many runs.",
            {"deviation / np.sqrt(n)": "1.96 * deviation / np.sqrt(n)"},
        ),
    ),
)
