"""How two configs differ: field by field, with what each field means.

The meanings are the docstrings below the fields in ``config``, read from its source, so
there is no second text that could say something else.
"""

from __future__ import annotations

import ast
import inspect
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

from maskrcnn_scratch.models import config as source
from maskrcnn_scratch.models.config import ModelConfig


@dataclass(frozen=True)
class Difference:
    """A field with two values."""

    field: str
    first: Any
    second: Any
    meaning: str


def differences(first: ModelConfig, second: ModelConfig) -> list[Difference]:
    """All of them, in the order of the config."""
    said = meanings()
    return [
        Difference(field.name, ours, theirs, said[field.name])
        for field in fields(ModelConfig)
        if (ours := getattr(first, field.name))
        != (theirs := getattr(second, field.name))
    ]


def meanings() -> dict[str, str]:
    """The docstring of every field of ``ModelConfig``, in one line."""
    (record,) = (
        node
        for node in ast.parse(inspect.getsource(source)).body
        if isinstance(node, ast.ClassDef)
    )
    return {
        node.target.id: " ".join(text.replace("``", "").split())
        for node, below in pairwise(record.body)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        if (text := docstring(below)) is not None
    }


def docstring(node: ast.stmt) -> str | None:
    """The text, if the statement is nothing else."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return str(node.value.value)
    return None
