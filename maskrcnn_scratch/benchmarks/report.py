"""Rows of figures as a Markdown table and as JSON, with the machine they are from."""

from __future__ import annotations

import json
import os
import platform
import re
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import torch

from maskrcnn_scratch.benchmarks.measure import Spread
from maskrcnn_scratch.benchmarks.run import OnGPU, Row, Side
from maskrcnn_scratch.files import replacing_file

LIBRARIES = ("maskrcnn-scratch", "torch", "torchvision", "numba", "numba-cuda", "numpy")


def machine(device: torch.device) -> dict[str, object]:
    """What the figures depend on."""
    described: dict[str, object] = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }
    if device.type == "cuda":
        described["gpu"] = torch.cuda.get_device_name(device)
    return described | {name: version for name in LIBRARIES if (version := found(name))}


def processor() -> str:
    """Its name, as Linux tells it, with the instructions for bfloat16 that it has."""
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return platform.processor()
    text = path.read_text(encoding="utf-8")
    name = re.search(r"^model name\s*:\s*(.*)$", text, re.MULTILINE)
    special = [kind for kind in ("avx512_bf16", "amx_bf16") if kind in text]
    return ", ".join([name[1] if name else platform.machine(), *special])


def found(library: str) -> str | None:
    """Its version, if it is installed."""
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None


def header(against: bool, gpu: bool) -> str:
    """The first two lines of the table."""
    columns = ["case", "ours, ms"]
    if against:
        columns += ["theirs, ms", "times as fast", "target"]
    columns += ["MiB, ours / theirs" if against else "MiB"]
    if against:
        columns += ["largest difference"]
    if gpu:
        columns += ["launch, ms", "device, ms", "times its floor"]
    return f"{line(columns)}\n{line(['---'] * len(columns))}"


def table_line(row: Row) -> str:
    """One row of the table."""
    cells = [f"{row.case} ({row.shapes})", milliseconds(row.ours.seconds.median)]
    missed = row.missed()
    if row.theirs and row.ratio:
        cells += [
            f"{milliseconds(row.theirs.seconds.median)} {row.theirs.name}".rstrip(),
            times(row.ratio),
            target(row.target, "speed" in missed),
        ]
    cells.append(memory(row.ours, row.theirs, "memory" in missed))
    if row.theirs:
        cells.append(differences(row, "agreement" in missed))
    if row.gpu:
        cells += gpu_cells(row.gpu, "floor" in missed)
    return line(cells)


def line(cells: list[str]) -> str:
    """Cells between bars."""
    return f"| {' | '.join(cells)} |"


def milliseconds(seconds: float) -> str:
    """With three figures that count, or more where there are thousands."""
    value = seconds * 1e3
    return f"{value:.0f}" if value >= 99.95 else f"{value:#.3g}"


def times(ratio: Spread) -> str:
    """The median, and the quartiles in brackets."""
    return f"{ratio.median:.3g} ({ratio.low:.3g} to {ratio.high:.3g})"


def target(value: float | None, missed: bool) -> str:
    """``15, met``; nothing where there is no target."""
    return "" if value is None else f"{value:g}, {'MISSED' if missed else 'met'}"


def memory(ours: Side, theirs: Side | None, missed: bool) -> str:
    """Peaks in MiB; a question mark where the system does not tell."""
    sides = [ours] if theirs is None else [ours, theirs]
    peaks = [
        "?" if side.peak_bytes is None else f"{side.peak_bytes / 2**20:.1f}"
        for side in sides
    ]
    return " / ".join(peaks) + (" MORE" if missed else "")


def differences(row: Row, missed: bool) -> str:
    """What was compared, how far apart it is, and how far it may be."""
    parts = []
    for name, value in row.differences.items():
        limit = f" of {row.limits[name]:g}" if name in row.limits else ""
        parts.append(f"{name} {value:.2g}{limit}")
    return ", ".join(parts) + (" DIFFERS" if missed else "")


def gpu_cells(gpu: OnGPU, missed: bool) -> list[str]:
    """Launch, device time, and times over the floor."""
    floor = "" if gpu.times_the_floor is None else f"{gpu.times_the_floor:.2g}"
    if gpu.floor_target:
        floor += f" of {gpu.floor_target:g}{' MISSED' if missed else ''}"
    return [milliseconds(gpu.launch_seconds), milliseconds(gpu.device_seconds), floor]


def write_json(
    path: Path, command: str, described: dict[str, object], rows: list[Row]
) -> None:
    """All figures; the file is there complete, or not at all."""
    contents = {
        "command": command,
        "machine": described,
        "rows": [asdict(row) | {"missed": row.missed()} for row in rows],
    }
    with replacing_file(path) as draft:
        draft.write_text(json.dumps(contents, indent=1) + "\n", encoding="utf-8")
