"""The exercises, a module for each: ``ex03_2`` is the second of chapter 3."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from importlib import import_module
from pkgutil import iter_modules

from maskrcnn_scratch.learning.exercise import Exercise


class Exercises(Mapping[str, Exercise]):
    """By id, in the order of the course.

    A module is imported when its exercise is asked for: some need torch or numba, which
    take longer to import than most checks to run.
    """

    def __init__(self) -> None:
        self._ids = sorted(module.name for module in iter_modules(__path__))

    def __getitem__(self, exercise_id: str) -> Exercise:
        if exercise_id not in self._ids:
            raise KeyError(exercise_id)
        exercise: Exercise = import_module(f"{__name__}.{exercise_id}").EXERCISE
        return exercise

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)


EXERCISES = Exercises()


def find(exercise_id: str) -> Exercise:
    """The exercise of that id; ValueError names those that are like it."""
    if exercise_id in EXERCISES:
        return EXERCISES[exercise_id]
    like = get_close_matches(exercise_id, EXERCISES, n=4, cutoff=0.6)
    near = f"; there is {', '.join(like)}" if like else ""
    raise ValueError(f"there is no exercise {exercise_id!r}{near}")
