"""An exercise: what is asked, the laws that its answer obeys, and how it goes wrong.

The solution is a real function. What the student starts from is derived from its text,
and so are most wrong solutions, so that none of them can drift apart.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hypothesis.strategies import SearchStrategy
from matplotlib.figure import Figure

Function = Callable[..., Any]
Inputs = dict[str, Any]

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"  # nbgrader's marks


@dataclass(frozen=True)
class Law:
    """A sentence about the answer, with the inputs it is tried on.

    Args:
        says: the law, as a sentence for the student.
        given: draws the inputs, by name, in the order of the function's arguments.
        expected: what is right, computed from the inputs by ``reference`` or by
            mathematics, never by the exercise's solution.
        got: what to compare with it; ``got(function, **inputs)``. Without it the
            function's own value.
        tolerance: how far a number may lie from the expected one, relative to
            1 + its size.
        examples: how many inputs are tried.
        samples: on how many inputs a misconception must do as the student does.
    """

    says: str
    given: SearchStrategy[Inputs]
    expected: Function
    got: Function | None = None
    tolerance: float = 1e-5
    examples: int = 60
    samples: int = 80


@dataclass(frozen=True)
class Mistake:
    """A misconception: a wrong solution, and what to say to whoever behaves like it.

    ``change`` turns the solution into it: pieces of the solution's body, each of which
    stands there once, and what to put in their place; or a whole other body.
    """

    name: str
    says: str
    change: Mapping[str, str] | str


@dataclass(frozen=True)
class Exercise:
    """One exercise of a chapter.

    Args:
        id: ``ex03_2`` is the second of chapter 3.
        objective: what solving it teaches; a sentence that begins with a verb.
        difficulty: 1 easy, 2 middling, 3 hard.
        minutes: what a student needs for it.
        task: what to write, in Markdown.
        hints: steps towards the solution, each going further than the one before.
        solution: a function with a docstring that fixes shapes and conventions.
        laws: tried in their order; the first compares with the specification.
        mistakes: at least eight wrong solutions, the usual misconceptions first.
        imports: the lines that the solution needs before it.
        draw: a picture of a failing case from (inputs, expected, got); None where
            nothing helps. Without it arrays are drawn side by side.
        points: marks that a solved exercise gives.
    """

    id: str
    title: str
    objective: str
    difficulty: int
    minutes: int
    task: str
    hints: tuple[str, ...]
    solution: Function
    laws: tuple[Law, ...]
    mistakes: tuple[Mistake, ...]
    imports: str = "import numpy as np"
    draw: Callable[[Inputs, Any, Any], Figure | None] | None = None
    points: int = 1

    @property
    def name(self) -> str:
        """What the student's function is called."""
        return self.solution.__name__

    @cached_property
    def source(self) -> str:
        """The solution's text, as it stands in the module."""
        return textwrap.dedent(inspect.getsource(self.solution))

    def stub(self) -> str:
        """What the student starts from: imports, signature, docstring, no body."""
        kept, skipping = [], False
        for line in self.marked().splitlines():
            mark = line.strip()
            if mark == BEGIN:
                skipping = True
                indent = line[: len(line) - len(mark)]
                kept += [
                    f"{indent}# YOUR CODE HERE",
                    f'{indent}raise NotImplementedError("{self.id}")',
                ]
            if not skipping:
                kept.append(line)
            skipping = skipping and mark != END
        return "\n".join(kept) + "\n"

    def solved(self) -> str:
        """Imports and solution."""
        lines = self.marked().splitlines()
        kept = [line for line in lines if line.strip() not in (BEGIN, END)]
        return "\n".join(kept) + "\n"

    def marked(self) -> str:
        """Imports and solution, with nbgrader's marks around what students write."""
        source = self.source
        if BEGIN not in source:
            head, body = self._parts()
            source = f"{head}    {BEGIN}\n{body}    {END}\n"
        return f"{self.imports}\n\n\n{source}".lstrip()

    def wrong(self, mistake: Mistake) -> str:
        """Imports and the wrong solution."""
        head, body = self._parts()
        if isinstance(mistake.change, str):
            body = textwrap.indent(textwrap.dedent(mistake.change).strip("\n"), "    ")
            body += "\n"
        else:
            for old, new in mistake.change.items():
                if body.count(old) != 1:
                    raise ValueError(
                        f"{self.id}, {mistake.name}: {old!r} stands "
                        f"{body.count(old)} times in the solution's body, not once"
                    )
                body = body.replace(old, new)
        return f"{self.imports}\n\n\n{head}{body}".lstrip()

    def _parts(self) -> tuple[str, str]:
        """The solution's text up to its docstring, and what follows."""
        (function,) = ast.parse(self.source).body
        assert isinstance(function, ast.FunctionDef), self.id
        end = function.body[0].end_lineno
        lines = self.source.splitlines(keepends=True)
        return "".join(lines[:end]), "".join(lines[end:])


def compiled(text: str, name: str, file: str) -> Function:
    """The function ``name`` that the text defines; errors show its lines.

    ``file`` stands for a file's name in tracebacks.
    """
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    namespace: dict[str, Any] = {"__name__": file}
    exec(compile(text, file, "exec"), namespace)
    function: Function = namespace[name]
    return function
