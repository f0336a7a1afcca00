"""What holds of every claim, and the command that shows them.

A claim's own figures are tested in ``test_claims_*.py``, with the faults planted there.

Deliberate faults, and the test that caught each:

- a verdict that no line bears out -> test_the_evidence_bears_every_verdict_out
- an evidence that always says yes -> test_a_line_that_does_not_hold_is_refused
- a lesson that is not there -> test_a_claim_says_all_it_must
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from maskrcnn_scratch.claims import NUMBERS, find
from maskrcnn_scratch.claims.claim import Claim, Step, Table, borne_out
from maskrcnn_scratch.cli import main

LESSONS = Path(__file__).parents[1] / "tutorial"


@pytest.mark.parametrize("number", NUMBERS)
def test_a_claim_says_all_it_must(number: int) -> None:
    claim = find(number)
    assert claim.number == number
    assert claim.places
    for text in (claim.claim, claim.right, claim.paper):
        assert text.endswith("."), text
    assert (LESSONS / f"{claim.lesson}.py").is_file()
    assert bool(claim.small) == bool(claim.quick)


@pytest.mark.parametrize("number", NUMBERS)
def test_the_evidence_bears_every_verdict_out(number: int, tmp_path: Path) -> None:
    """By the quick way; and it can be drawn, with words for the picture."""
    claim = find(number)
    measured = claim.measure(**claim.quick)
    lines = list(claim.evidence(measured))
    against = [line for line in lines if isinstance(line, Step) and line.holds is False]
    assert not against
    assert borne_out(lines)
    for line in lines:
        if isinstance(line, Table):
            assert line.rows
            assert {len(row) for row in line.rows} == {len(line.columns)}
        else:
            assert line.says
            assert line.value
    figure = claim.draw(measured)
    assert isinstance(figure, Figure)
    figure.savefig(tmp_path / "claim.png", dpi=50)
    assert claim.alt(measured).endswith(".")


def test_there_is_a_module_for_every_number() -> None:
    assert tuple(range(1, 31)) == NUMBERS


def test_the_list_names_every_claim(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["claims"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    for number in NUMBERS:
        claim = find(number)
        assert f"{number}. {claim.claim}" in said
        assert f"{claim.verdict}: {claim.right}" in said


def test_one_claim_is_told_whole(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    picture = tmp_path / "one.svg"
    assert main(["claims", "1", "--figure", str(picture)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    for text in ("20.78125", "Chinese notes", "true with a condition", "Section 3"):
        assert text in said
    assert "tutorial/02_roi_pool.py" in said
    assert "<svg" in picture.read_text("utf-8")


def contradicted(_: object) -> Iterator[Step]:
    """Evidence against its own verdict."""
    yield Step("1 + 1", "2", True)
    yield Step("2 + 2", "5", False)


def test_a_line_that_does_not_hold_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    claim: Claim[Any] = replace(find(1), evidence=contradicted)
    monkeypatch.setattr("maskrcnn_scratch.claims.find", lambda _: claim)
    assert main(["claims", "1"]) == 1
    assert "does not bear the verdict out" in capsys.readouterr().out
    assert not borne_out([Step("nothing rests on it", "1")])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["claims", "31"], "there is no claim 31; they go from 1 to 30"),
        (["claims", "1", "--figure", "x.gif"], "--figure x.gif: the name must end in"),
        (["claims", "--quick"], "need the number of a claim"),
    ],
)
def test_bad_input_is_one_line(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 1
    assert says in capsys.readouterr().err
