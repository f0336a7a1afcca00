"""Exercise 11.2: the learning rate of an iteration."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake


def learning_rate(
    iteration: int, base: float, warmup: int, factor: float, steps: list[int]
) -> float:
    """The learning rate of iteration 1, 2, ...

    Args:
        iteration: counted from 1.
        base: the rate after the warm-up and before the first step.
        warmup: for iterations 1 to ``warmup`` the rate rises in a line; 0 is none.
        factor: what the base is multiplied with in iteration 1, if there is a warm-up.
            In iteration ``warmup`` + 1 the line has reached 1.
        steps: after each of these iterations the rate is ten times less, so the first
            lower one is in iteration step + 1.
    """
    rate = base
    if iteration <= warmup:
        rate *= factor + (1 - factor) * (iteration - 1) / warmup
    for step in steps:
        if iteration > step:
            rate /= 10
    return rate


@st.composite
def schedules(draw: st.DrawFn) -> Inputs:
    """Short schedules, at an iteration near one of their corners or anywhere."""
    warmup = draw(st.integers(0, 8))
    steps = sorted(draw(st.sets(st.integers(1, 20), max_size=2)))
    corners = [warmup, warmup + 1, *steps, *(step + 1 for step in steps)]
    near = st.sampled_from([corner for corner in corners if corner > 0])
    return {
        "iteration": draw(st.integers(1, 24) | near),
        "base": draw(st.sampled_from([1.0, 2.0, 0.02])),
        "warmup": warmup,
        "factor": draw(st.sampled_from([0.0, 0.25, 0.5])),
        "steps": steps,
    }


def drawn_as_a_line(
    iteration: int, base: float, warmup: int, factor: float, steps: list[int]
) -> float:
    """The warm-up read off the line from (1, factor) to (warmup + 1, 1)."""
    line = np.interp(iteration, [1, warmup + 1], [factor, 1.0]) if warmup else 1.0
    return float(base * line * 0.1 ** sum(step < iteration for step in steps))


EXERCISE = Exercise(
    id="ex11_2",
    title="Warm up, then step down",
    objective="Compute the learning rate of every iteration of the paper's schedule.",
    difficulty=1,
    minutes=10,
    task=(
        "Write `learning_rate(iteration, base, warmup, factor, steps)`. The paper's "
        "schedule has one step, after 120,000 of 160,000 iterations; every public "
        "re-implementation warms up in a line first."
    ),
    hints=(
        "Two things multiply: the warm-up's part of the base, and a tenth for every "
        "step that is past.",
        "The line goes from `factor` in iteration 1 to 1 in iteration `warmup + 1`, so "
        "after `iteration - 1` of `warmup` parts of the way.",
        "`factor + (1 - factor) * (iteration - 1) / warmup` while "
        "`iteration <= warmup`.",
    ),
    solution=learning_rate,
    imports="",
    laws=(
        Law("The rate lies on the schedule's lines.", schedules(), drawn_as_a_line),
        Law(
            "Behind everything each step has divided by ten.",
            schedules(),
            expected=lambda iteration, base, warmup, factor, steps: (
                base / 10 ** len(steps)
            ),
            got=lambda f, iteration, base, warmup, factor, steps: f(
                100, base, warmup, factor, steps
            ),
        ),
    ),
    mistakes=(
        Mistake(
            "one iteration further",
            "you are one iteration ahead in the warm-up: iterations count from 1, and "
            "in the first the rate is `factor` times the base.",
            {"(iteration - 1) / warmup": "iteration / warmup"},
        ),
        Mistake(
            "done too early",
            "you divided the warm-up into one part too few: it reaches 1 in iteration "
            "warmup + 1.",
            {"(iteration - 1) / warmup": "(iteration - 1) / max(warmup - 1, 1)"},
        ),
        Mistake(
            "from zero",
            "you began the warm-up at 0: it begins at `factor`.",
            {"factor + (1 - factor) * (iteration": "(iteration"},
        ),
        Mistake(
            "step too early",
            "you stepped down in the iteration of the step: it is the last at the old "
            "rate.",
            {"iteration > step": "iteration >= step"},
        ),
        Mistake(
            "one step",
            "you stepped down once, however many steps are past: each divides by ten.",
            {"rate /= 10": "rate /= 10\n            break"},
        ),
        Mistake(
            "line added",
            "you let the line rise by 1 instead of by 1 - factor: it ends above the "
            "base.",
            {"factor + (1 - factor) * ": "factor + "},
        ),
        Mistake(
            "no warm-up",
            "you left out the warm-up.",
            {"iteration <= warmup": "False"},
        ),
        Mistake(
            "no steps",
            "you left out the steps.",
            {"iteration > step": "False"},
        ),
        Mistake(
            "warm-up replaces the base",
            "you returned the warm-up's factor: it multiplies the base.",
            {"rate *=": "rate ="},
        ),
        Mistake(
            "constant warm-up",
            "you kept the rate at `factor` through the whole warm-up: it rises in a "
            "line.",
            {"factor + (1 - factor) * (iteration - 1) / warmup": "factor"},
        ),
        Mistake(
            "steps count from the warm-up's end",
            "you counted the steps from the end of the warm-up: both count from the "
            "first iteration.",
            {"iteration > step": "iteration - warmup > step"},
        ),
    ),
)
