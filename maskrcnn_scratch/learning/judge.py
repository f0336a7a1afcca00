"""Does a function solve an exercise? If not, the smallest input that shows it.

Hypothesis draws inputs until a law fails, then makes the failing input smaller while it
still fails.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import seed as seeded
from hypothesis.configuration import set_hypothesis_home_dir
from hypothesis.errors import Flaky

from maskrcnn_scratch.learning.compare import difference
from maskrcnn_scratch.learning.exercise import (
    Exercise,
    Inputs,
    Law,
    Mistake,
    compiled,
)
from maskrcnn_scratch.learning.watched import Problem, Stumbled, Watched

LAW_SECONDS = 30.0  # for the search, once the first inputs have been tried
FIRST = 10  # inputs that are always tried
PHASES = (Phase.generate, Phase.shrink)
GUESS_SECONDS = 10.0  # for the function's values that a guess compares


@dataclass(frozen=True)
class Report:
    """What the check found: ``problem`` is None where the function is right."""

    exercise: Exercise
    tried: int
    problem: Problem | None = None
    guess: Mistake | None = None

    @property
    def passed(self) -> bool:
        return self.problem is None


def judge(exercise: Exercise, function: Any, seed: int | None = None) -> Report:
    """Try the function on the exercise's laws, in their order, until one fails.

    The same inputs each time; with ``seed`` others, those of that seed.
    """
    if not callable(function):
        says = f"give check your function {exercise.name} itself, not its value"
        return Report(exercise, 0, Problem("wrong type", says))
    tried, arrays = 0, False
    for law in exercise.laws:
        search = Search(law, Watched(function, arrays))
        problem = search.run(seed)
        tried += search.tried
        arrays = arrays or (law.got is None and search.arrays)
        if problem is not None:
            guess = search.guess(exercise, problem)
            return Report(exercise, tried, problem, guess)
    return Report(exercise, tried)


class Found(Exception):
    """A law does not hold. Hypothesis shrinks failures of one class by themselves."""

    problem: Problem


@cache
def found_class(kind: str) -> type[Found]:
    """A class for each kind, so that a wrong value does not become an exception."""
    return type(f"Found_{kind}", (Found,), {})


@cache
def scratch_folder() -> tempfile.TemporaryDirectory[str]:
    """Removed when the process ends."""
    return tempfile.TemporaryDirectory(prefix="maskrcnn-scratch-")


def drawn(
    attempt: Callable[[Inputs], None], law: Law, examples: int, seed: int | None
) -> Callable[[], None]:
    """Hypothesis calls ``attempt`` with inputs of the law; the same for one seed."""
    set_hypothesis_home_dir(scratch_folder().name)  # nothing in the student's folder
    test: Callable[[], None] = settings(
        max_examples=examples,
        deadline=None,
        derandomize=seed is None,
        database=None,
        report_multiple_bugs=False,
        print_blob=False,
        verbosity=Verbosity.quiet,
        phases=PHASES,
        suppress_health_check=list(HealthCheck),
    )(given(law.given)(attempt))
    return test if seed is None else seeded(seed)(test)


@cache
def samples_of(law: Law) -> list[Inputs]:
    """Inputs by which misconceptions are told apart."""
    samples: list[Inputs] = []

    def keep(inputs: Inputs) -> None:
        samples.append(inputs)

    drawn(keep, law, law.samples, seed=None)()
    return samples


@dataclass
class Search:
    """The inputs of one law, tried on one function."""

    law: Law
    function: Watched
    tried: int = 0
    smallest: Problem | None = None
    arrays: bool = False  # whether arrays are expected
    ends: float = 0.0
    over: bool = False

    def run(self, seed: int | None) -> Problem | None:
        """The smallest problem that was found."""
        test = drawn(self.attempt, self.law, self.law.examples, seed)
        self.ends = time.monotonic() + LAW_SECONDS
        try:
            test()
        except Found as found:
            return found.problem
        except Flaky:  # it failed once, and not again
            if self.smallest is None:
                raise
            if not self.over and time.monotonic() < self.ends:
                says = "your function gives other values when it is called again"
                return replace(self.smallest, kind="not repeatable", says=says)
        return self.smallest

    def attempt(self, inputs: Inputs) -> None:
        """One input; raises Found where the law does not hold on it."""
        if self.over or (self.tried >= FIRST and time.monotonic() > self.ends):
            return
        self.tried += 1
        problem = self.problem(inputs)
        if problem is None:
            return
        self.smallest = problem
        self.over = problem.kind in ("endless", "unsolved")
        found = found_class(problem.kind)(problem.says)
        found.problem = problem
        raise found

    def problem(self, inputs: Inputs) -> Problem | None:
        """What is wrong on this input."""
        expected = self.law.expected(**inputs)
        self.arrays = isinstance(expected, np.ndarray)
        try:
            got = self.value(self.function, inputs)
        except Stumbled as error:
            return Problem(
                *(error.kind, error.says, self.law.says, inputs, expected),
                printed=self.function.printed,
                figure=error.figure,
            )
        found = difference(got, expected, self.law.tolerance)
        if found is None:
            return None
        return Problem(
            *(found.kind, found.says, self.law.says, inputs, expected, got),
            printed=self.function.printed,
        )

    def value(self, function: Watched, inputs: Inputs) -> Any:
        """What is compared: the function's value, or what the law makes of it."""
        if self.law.got is None:
            return function(*inputs.values())
        try:
            return self.law.got(function, **inputs)
        except Stumbled:
            raise
        except Exception as error:
            says = f"the check could not go on with your function's value: {error}"
            raise Stumbled("wrong type", says) from None

    def guess(self, exercise: Exercise, problem: Problem) -> Mistake | None:
        """The misconception that behaves most like the function.

        It does the same on the problem's input, and on a quarter of the samples that
        the function fails: whoever makes two mistakes hears of one.
        """
        if problem.kind in ("unsolved", "endless", "changed input", "not repeatable"):
            return None
        samples, mine = self.outcomes([problem.inputs, *samples_of(self.law)])
        right = [self.law.expected(**inputs) for inputs in samples]
        fails = np.array(
            [not self.alike(*pair) for pair in zip(mine, right, strict=True)]
        )
        if not fails.any() or is_endless(mine[-1]):
            return None
        best, most = None, 0
        for mistake in exercise.mistakes:
            text = exercise.wrong(mistake)
            wrong = compiled(text, exercise.name, f"<{exercise.id}: {mistake.name}>")
            if not self.alike(mine[0], self.outcome(Watched(wrong), samples[0])):
                continue
            other = [self.outcome(Watched(wrong), inputs) for inputs in samples]
            same = np.array(
                [self.alike(*pair) for pair in zip(mine, other, strict=True)]
            )
            if same[fails].mean() >= 0.25 and same.sum() > most:
                best, most = mistake, int(same.sum())
        return best

    def outcomes(self, samples: list[Inputs]) -> tuple[list[Inputs], list[Any]]:
        """What the function does on the samples, as far as the time goes."""
        done: list[Any] = []
        ends = time.monotonic() + GUESS_SECONDS
        for inputs in samples:
            done.append(self.outcome(self.function, inputs))
            if is_endless(done[-1]) or time.monotonic() > ends:
                break
        return samples[: len(done)], done

    def outcome(self, function: Watched, inputs: Inputs) -> Any:
        """The value, or how the function stumbled."""
        try:
            return self.value(function, inputs)
        except Stumbled as error:
            return (error.kind, *error.detail) if error.detail else error.kind

    def alike(self, one: Any, other: Any) -> bool:
        """Whether two outcomes are the same; a wrong type is like no other."""
        return difference(one, other, self.law.tolerance) is None


def is_endless(outcome: Any) -> bool:
    """Whether a call had to be stopped; an outcome may also be an array."""
    return isinstance(outcome, str) and outcome == "endless"
