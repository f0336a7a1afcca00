"""A claim about Mask R-CNN: who makes it, the evidence, and what is right.

Nothing of the evidence is stored. ``measure`` computes it, from ``reference/`` or from
a model; ``evidence`` puts what was measured into lines, each of which says whether it
bears the verdict out; ``draw`` shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, TypeVar

from matplotlib.figure import Figure

Measured = TypeVar("Measured")


class Verdict(StrEnum):
    """What the evidence says of a claim."""

    TRUE = "true"
    CONDITION = "true with a condition"
    FALSE = "false"


class Place(StrEnum):
    """The documents that readers come with."""

    BLOG = "a Chinese blog post on Mask R-CNN"
    SUMMARY = "a Chinese summary of the paper, with a reproduction"
    WALK = "a Chinese walk through matterport's code"
    NOTES = "Chinese notes with the arithmetic"
    RUSSIAN = "a Russian blog post"


@dataclass(frozen=True)
class Step:
    """One line of evidence: what is computed, and what comes out.

    ``holds`` says whether the verdict is borne out by it; None where nothing rests on
    the line.
    """

    says: str
    value: str
    holds: bool | None = None


@dataclass(frozen=True)
class Table:
    """Several lines of evidence of one kind; a step after it says what they show."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Claim(Generic[Measured]):
    """One claim.

    Args:
        number: its place in the list, from 1.
        claim: what is claimed, in our words, as a sentence.
        places: the documents that claim it.
        verdict: what the evidence says.
        right: what is right, or on what condition the claim is; a short sentence.
        paper: where the paper speaks of it, with its figures where it has any.
        lesson: the chapter that explains it, such as ``02_roi_pool``.
        measure: computes everything that ``evidence`` and ``draw`` show.
        evidence: the lines, in order.
        draw: a picture of them.
        alt: what the picture shows, in words, for those who cannot see it.
        small: of an experiment in miniature, how small it is; else "".
        quick: arguments that make ``measure`` a matter of seconds; empty where it is.
    """

    number: int
    claim: str
    places: tuple[Place, ...]
    verdict: Verdict
    right: str
    paper: str
    lesson: str
    measure: Callable[..., Measured]
    evidence: Callable[[Measured], Iterable[Step | Table]]
    draw: Callable[[Measured], Figure]
    alt: Callable[[Measured], str]
    small: str = ""
    quick: Mapping[str, Any] = field(default_factory=dict)


def borne_out(lines: Iterable[Step | Table]) -> bool:
    """Whether at least one line bears the verdict out, and none speaks against it."""
    said = [line.holds for line in lines if isinstance(line, Step)]
    return True in said and False not in said


def number(value: float, decimals: int = 5) -> str:
    """Without needless zeros: 20.78125, 20, 0."""
    text = f"{value:.{decimals}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
