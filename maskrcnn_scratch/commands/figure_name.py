"""The names that ``--figure`` takes, checked before anything is computed."""

from __future__ import annotations

from pathlib import Path

FIGURES = (".pdf", ".png", ".svg")


def check_figure_name(figure: Path | None) -> None:
    """ValueError unless the ending is one that can be drawn to."""
    if figure is not None and figure.suffix.lower() not in FIGURES:
        raise ValueError(
            f"--figure {figure}: the name must end in {', '.join(FIGURES)}"
        )
