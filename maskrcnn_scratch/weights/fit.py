"""From the tensors of a published file to those of our model, all or none.

What goes where is a table of rules. A rule says, for our tensors whose names match a
pattern, what the published tensors are called that each is made from, and how it is
made. Tables of the systems stand in ``torchvision_names``, ``from_detectron2``, ...
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

Shape = tuple[int, ...]
Tensors = Mapping[str, Tensor]


def same(tensor: Tensor) -> Tensor:
    """As it is."""
    return tensor


@dataclass(frozen=True)
class Rule:
    """How some tensors of ours are made from published ones.

    ``ours`` is a pattern for the whole of our name; ``theirs`` are templates with its
    groups as ``\\1``, the arguments of ``make`` in order.
    """

    ours: str
    theirs: tuple[str, ...]
    make: Callable[..., Tensor] = same

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Compiled once: a table may have more patterns than ``re`` remembers."""
        return re.compile(self.ours)

    def sources(self, name: str) -> tuple[str, ...] | None:
        """The published names for our ``name``; None where the rule is not for it."""
        match = self.pattern.fullmatch(name)
        return match and tuple(match.expand(template) for template in self.theirs)


class Misfit(ValueError):
    """Some tensors are missing, unused or misshapen; the message names every one."""


@dataclass
class Faults:
    """Lines about tensors that do not fit, by what is wrong."""

    missing: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    misshapen: list[str] = field(default_factory=list)

    def text(self) -> str:
        """A block for each kind, a line for each tensor; empty where all fits."""
        blocks = {
            "missing": self.missing,
            "in the file and not used": self.unused,
            "of another shape than expected": self.misshapen,
        }
        return "".join(
            f"\n  {kind} ({len(lines)}):" + "".join(f"\n    {line}" for line in lines)
            for kind, lines in blocks.items()
            if lines
        )


def fit(
    tensors: Tensors,
    shapes: Mapping[str, Shape],
    rules: Sequence[Rule],
    ignored: str,
    what: str,
) -> dict[str, Tensor]:
    """Our tensors, one for each name in ``shapes``, float32 or counts.

    Of several rules for one name the first counts whose tensors are all there, else the
    last. Names that match the pattern ``ignored`` may be left over. Raises Misfit,
    which says that the file does not fit ``what``.
    """
    made: dict[str, Tensor] = {}
    used: set[str] = set()
    faults = Faults()
    for name, shape in shapes.items():
        rule, sources = choose(rules, name, tensors)
        used.update(sources)
        absent = [source for source in sources if source not in tensors]
        if absent:
            faults.missing += [f"{source} (our {name})" for source in absent]
            continue
        tensor, fault = make(rule, [tensors[source] for source in sources], shape)
        if fault:
            faults.misshapen.append(f"{' + '.join(sources)} (our {name}): {fault}")
        made[name] = tensor
    faults.unused = [
        f"{name} {list(tensors[name].shape)}"
        for name in sorted(tensors.keys() - used)
        if not re.fullmatch(ignored, name)
    ]
    if faults.text():
        raise Misfit(f"the file does not fit {what}:{faults.text()}")
    return made


def choose(
    rules: Sequence[Rule], name: str, tensors: Tensors
) -> tuple[Rule, tuple[str, ...]]:
    """The first rule for our ``name`` whose tensors are there, else the last of all.

    Raises KeyError where the table forgets the name.
    """
    last: tuple[Rule, tuple[str, ...]] | None = None
    for rule in rules:
        found = rule.sources(name)
        if found is not None:
            last = rule, found
            if all(source in tensors for source in found):
                break
    if last is None:
        raise KeyError(f"no rule makes our {name}")
    return last


def as_float32(tensor: Tensor) -> Tensor:
    """The same numbers; counts stay whole ones."""
    return tensor.float() if tensor.is_floating_point() else tensor


def make(rule: Rule, sources: list[Tensor], shape: Shape) -> tuple[Tensor, str]:
    """The tensor, and what is wrong with its shape, if anything."""
    given = " + ".join(str(list(source.shape)) for source in sources)
    try:
        tensor = rule.make(*(as_float32(source) for source in sources))
    except (RuntimeError, IndexError, TypeError):
        # Too few axes, sizes that do not go; TypeError where annotations are checked.
        return sources[0], f"{given}, from which {list(shape)} cannot be made"
    if tuple(tensor.shape) == shape:
        # A copy: two names of a file may share their numbers, which ours may not.
        return tensor.clone(memory_format=torch.contiguous_format), ""
    if rule.make is same:
        return tensor, f"{given}, expected {list(shape)}"
    return tensor, f"{given} gives {list(tensor.shape)}, expected {list(shape)}"
