"""TOML text to nested dicts and back, overrides, and the nearest right name."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable
from difflib import SequenceMatcher
from typing import Any


def parse_toml(text: str) -> dict[str, Any]:
    """Raises ValueError that says in which line the text goes wrong."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"no valid TOML: {error}") from error


def to_toml(table: dict[str, Any], prefix: str = "") -> str:
    """Plain values first, then the tables inside.

    Keys are plain names.
    """
    inner = {key: value for key, value in table.items() if isinstance(value, dict)}
    lines = [
        f"{key} = {write_value(value)}"
        for key, value in table.items()
        if key not in inner
    ]
    if prefix and lines:
        lines.insert(0, f"[{prefix}]")
    blocks = ["\n".join(lines)] if lines else []
    for key, value in inner.items():
        blocks.append(to_toml(value, f"{prefix}.{key}" if prefix else key))
    return "\n\n".join(block.rstrip("\n") for block in blocks) + "\n"


def write_value(value: Any) -> str:
    """Texts, numbers, truth values and lists of these, as JSON writes them.

    TOML writes them the same way, but for the one control character that JSON lets
    through.
    """
    return json.dumps(value, ensure_ascii=False).replace("\x7f", r"\u007f")


def override(settings: dict[str, Any], item: str) -> None:
    """Set one value in place; ``item`` is ``DOTTED.KEY=VALUE``.

    The value is TOML; a bare word that is none is taken as text, so that
    ``train.schedule=cosine`` needs no quotes within the shell's.
    """
    key, equals, text = item.partition("=")
    if not equals or not key.strip():
        raise ValueError(f"{item!r} is no setting; expected KEY=VALUE")
    *sections, last = key.strip().split(".")
    table = settings
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise ValueError(f"{key.strip()}: {section} is a value, not a section")
    table[last] = parse_value(text.strip())


def parse_value(text: str) -> Any:
    """A TOML value, or the text itself where it is none."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def nearest(name: str, names: Iterable[str]) -> str:
    """The name most like this one, as a whole or in its last part."""

    def likeness(candidate: str) -> tuple[float, float]:
        whole = SequenceMatcher(None, name, candidate).ratio()
        last = SequenceMatcher(
            None, name.split(".")[-1], candidate.split(".")[-1]
        ).ratio()
        return max(whole, last), whole

    return max(names, key=likeness)
