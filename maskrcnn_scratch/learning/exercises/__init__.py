"""The exercises, a module for each: ``ex03_2`` is the second of chapter 3."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from pkgutil import iter_modules

from maskrcnn_scratch.learning.exercise import Exercise

EXERCISES: dict[str, Exercise] = {
    name: import_module(f"{__name__}.{name}").EXERCISE
    for name in sorted(module.name for module in iter_modules(__path__))
}
"""All exercises by id, in the order of the course."""


def find(exercise_id: str) -> Exercise:
    """The exercise of that id; ValueError names those that are like it."""
    if exercise_id in EXERCISES:
        return EXERCISES[exercise_id]
    like = get_close_matches(exercise_id, EXERCISES, n=4, cutoff=0.6)
    near = f"; there is {', '.join(like)}" if like else ""
    raise ValueError(f"there is no exercise {exercise_id!r}{near}")
