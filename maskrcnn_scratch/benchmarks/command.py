"""The command ``bench``: a header, a table that grows by the row, a JSON file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import torch

from maskrcnn_scratch.benchmarks import peer, report
from maskrcnn_scratch.benchmarks.boxes import box_cases
from maskrcnn_scratch.benchmarks.cases import Case, Sizes
from maskrcnn_scratch.benchmarks.model import model_cases
from maskrcnn_scratch.benchmarks.roi_layers import roi_cases
from maskrcnn_scratch.benchmarks.run import Row, run_cases

Suite = Literal["ops", "model"]

SIZES = Sizes()


def run_bench(
    suite: Suite, device: str, against: bool, only: str, json: Path | None
) -> list[Row]:
    """Measure, print, and write the JSON file where one is wanted.

    Raises ValueError for a device or a library that is not there, and for a name that
    no case has.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: torch finds no GPU here")
    if against:
        peer.torchvision()
    cases = [case for case in all_cases(suite) if only in case.name]
    if not cases:
        names = ", ".join(case.name for case in all_cases(suite))
        raise ValueError(f"--only {only}: no such case; there are {names}")
    place = torch.device(device)
    command = shown_command(suite, device, against, only)
    described = report.machine(place)
    print(f"`{command}`", end="\n\n")
    print(", ".join(f"{key} {value}" for key, value in described.items()), end="\n\n")
    print(report.header(against, device == "cuda"), flush=True)
    rows = run_cases(
        cases, place, against, lambda row: print(report.table_line(row), flush=True)
    )
    if json is not None:
        report.write_json(json, command, described, rows)
        print(f"\nwritten: {json}", file=sys.stderr)
    return rows


def all_cases(suite: Suite) -> list[Case]:
    """Every row of the table."""
    if suite == "ops":
        return [*roi_cases(SIZES), *box_cases(SIZES)]
    return model_cases(SIZES)


def shown_command(suite: Suite, device: str, against: bool, only: str) -> str:
    """The words that give this table again."""
    words = ["maskrcnn-scratch bench", suite]
    words += ["--device cuda"] if device == "cuda" else []
    words += ["--against torchvision"] if against else []
    words += [f'--only "{only}"'] if only else []
    return " ".join(words)
