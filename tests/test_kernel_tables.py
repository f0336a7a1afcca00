"""docs/kernels.md says what the kernels do, and its claims hold in its own numbers."""

from __future__ import annotations

from pathlib import Path

import kernel_tables
import pytest

PAGE = Path(__file__).parents[1] / "docs" / "kernels.md"


@pytest.fixture(scope="module")
def costs() -> dict[str, dict[str, kernel_tables.Cost]]:
    """By case and rung."""
    found: dict[str, dict[str, kernel_tables.Cost]] = {}
    for case, rung, cost in kernel_tables.rows():
        found.setdefault(case, {})[rung] = cost
    return found


Costs = dict[str, dict[str, kernel_tables.Cost]]


def test_the_page_shows_what_is_counted(
    costs: Costs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If not: python tests/kernel_tables.py docs/kernels.md"""
    rows = [(c, r, cost) for c, rungs in costs.items() for r, cost in rungs.items()]
    monkeypatch.setattr(kernel_tables, "rows", lambda: rows)
    page = PAGE.read_text("utf-8")
    assert kernel_tables.filled(page) == page


SPARING = ("RoIAlign", "RoIPool", "mask targets", "mask paste")


@pytest.mark.parametrize("case", [*SPARING, "keypoints from resized maps"])
def test_the_fast_kernel_moves_less(costs: Costs, case: str) -> None:
    naive, fast = costs[case]["naive"], costs[case]["fast"]
    assert fast.read_sectors + fast.write_sectors < (
        naive.read_sectors + naive.write_sectors
    )
    assert fast.reads / fast.read_elements < naive.reads / naive.read_elements


def test_the_fast_gradient_adds_once_a_cell(costs: Costs) -> None:
    """And the deterministic one never."""
    rungs = costs["RoIAlign, backward"]
    assert 4 * rungs["fast"].atomics <= rungs["naive"].atomics
    assert rungs["fast, deterministic"].atomics == 0


def test_nms_waits_less(costs: Costs) -> None:
    assert costs["NMS"]["naive"].barriers >= 100
    assert costs["NMS"]["fast"].barriers <= 10
