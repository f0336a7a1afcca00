"""The guide to one's own images: every block of it runs, and prints what it shows.

Deliberate faults that the test caught: an output with another count of objects; AdamW's
learning rate scaled in proportion.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from pages import run_page


def test_the_guide_runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an empty folder, in its order."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    run_page("guide.md")
