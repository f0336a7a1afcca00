"""The pages of prose: what they say of the package is what the package does.

Deliberate faults, and the test that caught each:

- a field of the torchvision preset left out, a wrong value in a table
  -> test_every_value_of_a_convention_is_the_preset_s
- a convention whose row is gone -> test_no_convention_is_missing
- round_half_away as floor(x + 1/2), a level rule that rounds
  -> test_a_page_runs_as_it_stands[conventions.md]
- an AP of 0 where there are no objects -> test_a_page_runs_as_it_stands[troubles.md]
- an option that no command has -> test_commands_exist_with_their_options
- a link to no page -> test_links_lead_somewhere
- a Russian word in Latin letters, the number of another lesson
  -> test_the_glossary_is_complete
- one Chinese word for two terms -> test_no_term_is_twice
- a folder on no floor -> test_the_floors_of_the_page_are_those_of_the_rules
- losses said to be compiled for the CPU -> test_components_stand_where_the_page_says
- P6 of 12 x 12 cells -> test_the_shapes_of_the_diagram_are_the_model_s
"""

from __future__ import annotations

import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest
from pages import DOCS, read_page, run_page
from test_packaging import FLOORS, NO_FLOOR, PACKAGE, imported

from maskrcnn_scratch.cli import main
from maskrcnn_scratch.commands.anatomy import in_words
from maskrcnn_scratch.models import ModelConfig
from maskrcnn_scratch.models.anatomy import anatomy
from maskrcnn_scratch.models.presets import PRESETS

PAGES = ("guide.md", "conventions.md", "troubles.md", "glossary.md", "design.md")
CJK, CYRILLIC = re.compile(r"[\u4e00-\u9fff]"), re.compile(r"[\u0400-\u04ff]")
LATIN_EVERYWHERE = {"RoIPool", "RoIWarp", "RoIAlign"}


def rows_of(page: str) -> list[list[str]]:
    """The cells of all table rows, heads and rules too."""
    lines = re.findall(r"^\|(.+)\|$", page, re.MULTILINE)
    return [[cell.strip() for cell in line.split("|")] for line in lines]


@pytest.mark.parametrize("name", ["conventions.md", "troubles.md", "design.md"])
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
        if row[0].startswith("convention"):
            head = row
        elif name := re.search(r"`(\w+)`", row[0]):
            pairs = zip(head[1:], row[1:], strict=True)
            said += [(name[1], who, value) for who, value in pairs]
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


def commands(page: str) -> set[str]:
    """Every maskrcnn-scratch command of a page: in blocks, indented, between ticks."""
    lines = re.findall(r"^(?: {4})?(maskrcnn-scratch [^\n]*)$", page, re.MULTILINE)
    inline = re.findall(r"`(maskrcnn-scratch [^`]*)`", page)
    return {*lines, *inline}


@pytest.mark.parametrize(
    "line", sorted(set().union(*(commands(read_page(name)) for name in PAGES)))
)
def test_commands_exist_with_their_options(
    line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = shlex.split(line, comments=True)[1:]
    command = words[:2] if words[0] in ("course", "data", "weights") else words[:1]
    assert main([*command, "--help"]) == 0
    told = capsys.readouterr().out
    for option in (word for word in words if word.startswith("--")):
        assert option in told, line


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    page = read_page(name)
    links = re.findall(r"\]\(([^)#:\s]+)(#[^)]*)?\)", page)
    assert links
    for path, _ in links:
        assert (DOCS / path).is_file(), path
    for path in re.findall(r"`((?:tests|maskrcnn_scratch)/[\w/.]+)`", page):
        assert (DOCS.parent / path).exists(), path


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_one_title_and_nothing_of_this_machine(name: str) -> None:
    page = read_page(name)
    prose = re.sub(r"^```.*?^```$", "", page, flags=re.MULTILINE | re.DOTALL)
    assert len(re.findall(r"^# ", prose, re.MULTILINE)) == 1
    assert page.startswith("# ")
    assert not re.search(r"/work|/tmp|/home|the seeds|\u2014", page)


ENTRY = re.compile(
    r"\*\*(?P<english>[A-Za-z0-9 ()-]+)\*\*: (?P<meaning>[A-Z0-9][^.]+\.)"
    r" \[Lesson (?P<lesson>\d+)\]\(\.\./tutorial/(?P<file>\d\d)_\w+\.py\)"
)


def glossary() -> list[tuple[re.Match[str], str, str]]:
    """The English entry, the Chinese and the Russian words."""
    rows = rows_of(read_page("glossary.md"))
    rows = [row for row in rows if row[0] != "English" and set(row[0]) != {"-"}]
    entries = []
    for english, chinese, russian in rows:
        entry = ENTRY.fullmatch(english)
        assert entry, english
        entries.append((entry, chinese, russian))
    return entries


def test_the_glossary_is_complete() -> None:
    assert 55 <= len(glossary()) <= 90
    for entry, chinese, russian in glossary():
        assert CJK.search(chinese) or chinese in LATIN_EVERYWHERE, chinese
        assert CYRILLIC.search(russian) or russian in LATIN_EVERYWHERE, russian
        assert not CYRILLIC.search(chinese + entry[0]), chinese
        assert not CJK.search(russian + entry[0]), russian
        assert int(entry["lesson"]) == int(entry["file"]), entry[0]


def test_no_term_is_twice() -> None:
    """Nor a second word of one the first of another."""
    rows = [
        (entry["english"], chinese, russian) for entry, chinese, russian in glossary()
    ]
    for cells in zip(*rows, strict=True):
        terms = [t.strip().casefold() for c in cells for t in re.split(r"[()]", c)]
        terms = [term for term in terms if term]
        twice = {term for term in terms if terms.count(term) > 1}
        assert not twice


def design_rows(first: str) -> list[list[str]]:
    """The rows of the table of which this is the first head."""
    rows = rows_of(read_page("design.md"))
    start = next(n for n, row in enumerate(rows) if row[0] == first)
    width = len(rows[start])
    others = (n for n, row in enumerate(rows) if n > start and len(row) != width)
    return rows[start + 2 : next(others, len(rows))]


def test_the_floors_of_the_page_are_those_of_the_rules() -> None:
    told = [
        (int(number), set(re.findall(r"`(\w+)`", names)))
        for number, names, _ in design_rows("floor")
    ]
    assert told == list(enumerate(FLOORS, start=1))


def test_what_has_no_floor_imports_nothing_of_the_package() -> None:
    page = read_page("design.md")
    for name in NO_FLOOR - {"__init__"}:
        assert f"`{name}`" in page
        assert not imported(PACKAGE / f"{name}.py")


def test_components_stand_where_the_page_says() -> None:
    rows = design_rows("component")
    for cell, *there, _ in rows:
        for floor, yes in zip(("reference", "cpu", "cuda", "ops"), there, strict=True):
            exists = (PACKAGE / floor / f"{cell.strip('`')}.py").is_file()
            assert yes == ("yes" if exists else ""), (cell, floor)
        assert (DOCS.parent / "tests" / f"test_{cell.strip('`')}.py").is_file()
    named = {row[0].strip("`") for row in rows}
    for path in (PACKAGE / "ops").glob("[a-z]*.py"):
        if (PACKAGE / "reference" / path.name).is_file():
            assert path.stem in named


def test_the_shapes_of_the_diagram_are_the_model_s() -> None:
    diagram = "\n".join(re.findall(r"^ {4}(.*)$", read_page("design.md"), re.MULTILINE))
    shown = re.findall(r"^(\w[\w .]*?) +\[(\w.*?)\]", diagram, re.MULTILINE)
    assert len(shown) == 17
    entries = anatomy(PRESETS["paper"], (800, 800))
    known = [(one.tensor, ", ".join(map(str, one.shape))) for one in entries]
    assert [known.index(one) for one in shown] == sorted(map(known.index, shown))
    for path in re.findall(r"([\w/]+\.py)", diagram):
        assert any(PACKAGE.rglob(path)), path
