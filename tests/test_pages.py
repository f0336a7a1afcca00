"""The pages of prose: what they say of the package is what the package does.

Deliberate faults, and the test that caught each: at the end of the session.
"""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
from pages import read_page, run_page

from maskrcnn_scratch.commands.anatomy import in_words
from maskrcnn_scratch.models import ModelConfig
from maskrcnn_scratch.models.presets import PRESETS


def rows_of(page: str) -> list[list[str]]:
    """The cells of all table rows, heads and rules too."""
    lines = re.findall(r"^\|(.+)\|$", page, re.MULTILINE)
    return [[cell.strip() for cell in line.split("|")] for line in lines]


@pytest.mark.parametrize("name", ["conventions.md", "troubles.md"])
def test_a_page_runs_as_it_stands(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    run_page(name)


def said_of_presets() -> list[tuple[str, str, str]]:
    """(field, preset, value as written) of each value on the page of conventions."""
    said: list[tuple[str, str, str]] = []
    head: list[str] = []
    for row in rows_of(read_page("conventions.md")):
        if "field" in row:
            head = row
        elif (name := row[head.index("field")]).startswith("`"):
            pairs = zip(head, row, strict=True)
            said += [(name.strip("`"), who, v) for who, v in pairs if who in PRESETS]
    return said


def test_every_value_of_a_convention_is_the_preset_s() -> None:
    said = said_of_presets()
    assert len(said) > 4 * 40
    for field, who, value in said:
        assert value == in_words(getattr(PRESETS[who], field)), (field, who)


def test_no_convention_is_missing() -> None:
    """For every two systems that differ in a field, their values stand on the page."""
    said = {(field, who) for field, who, _ in said_of_presets()}
    for field in fields(ModelConfig):
        values = {who: getattr(one, field.name) for who, one in PRESETS.items()}
        v2 = values.pop("torchvision-v2")
        if len(set(values.values())) > 1:
            assert {(field.name, who) for who in values} <= said, field.name
        if v2 != values["torchvision"]:
            assert (field.name, "torchvision-v2") in said
