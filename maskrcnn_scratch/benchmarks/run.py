"""Running cases: from a case to a row of figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from maskrcnn_scratch.benchmarks import measure
from maskrcnn_scratch.benchmarks.cases import Case, Pair, Work
from maskrcnn_scratch.benchmarks.measure import Spread, spread
from maskrcnn_scratch.benchmarks.memory import peak_bytes

OURS = "ours"


@dataclass(frozen=True, kw_only=True)
class Side:
    """One library in one case."""

    name: str
    seconds: Spread
    peak_bytes: int | None


@dataclass(frozen=True, kw_only=True)
class OnGPU:
    """What only a GPU has: our work taken apart."""

    launch_seconds: float
    """The host's time to enqueue it."""
    device_seconds: float
    """The device's time alone."""
    times_the_floor: float | None
    """Device time over that of moving the least bytes at the copy's bandwidth."""
    floor_target: float | None


@dataclass(frozen=True, kw_only=True)
class Row:
    """What is known of a case in the end."""

    case: str
    shapes: str
    ours: Side
    theirs: Side | None = None
    """The best of the other library's ways."""
    ratio: Spread | None = None
    """How many times as fast as theirs ours is."""
    target: float | None = None
    differences: dict[str, float] = field(default_factory=dict)
    limits: dict[str, float] = field(default_factory=dict)
    gpu: OnGPU | None = None

    def missed(self) -> list[str]:
        """Each target that was not reached: speed, memory, agreement, floor."""
        found = []
        if self.target and self.ratio and self.ratio.median < self.target:
            found.append("speed")
        mine = self.ours.peak_bytes
        other = None if self.theirs is None else self.theirs.peak_bytes
        if mine is not None and other is not None and mine > other + NOISE_BYTES:
            found.append("memory")
        for name, value in self.differences.items():
            if not value <= self.limits.get(name, float("inf")):
                found.append("agreement")
        floor = self.gpu and self.gpu.floor_target
        if self.gpu and floor and (self.gpu.times_the_floor or 0) > floor:
            found.append("floor")
        return found


NOISE_BYTES = 2 << 20  # pages of the interpreter and of stacks come and go


def run_cases(
    cases: Sequence[Case],
    device: torch.device,
    against: bool,
    report: Callable[[Row], None],
) -> list[Row]:
    """All rows; ``report`` hears of each as it is done."""
    bandwidth = measure.copy_bandwidth(device) if device.type == "cuda" else None
    rows = []
    for case in cases:
        rows.append(run_case(case, device, against, bandwidth))
        report(rows[-1])
    return rows


def run_case(
    case: Case, device: torch.device, against: bool, bandwidth: float | None
) -> Row:
    """Times, memory and agreement of one case."""
    timer = measure.seconds_on_cpu if device.type == "cpu" else measure.seconds_on_gpu
    pair = case.prepare(device)
    others = dict(pair.theirs()) if against else {}
    works: dict[str, Work] = {OURS: pair.ours} | others
    times = measure.paired_seconds(works, timer)
    ours = Side(
        name=OURS, seconds=spread(times[OURS]), peak_bytes=peak_bytes(pair.ours, device)
    )
    row: dict[str, Any] = {"case": case.name, "shapes": case.shapes, "ours": ours}
    if others:
        best = min(others, key=lambda name: spread(times[name]).median)
        row["theirs"] = Side(
            name=best,
            seconds=spread(times[best]),
            peak_bytes=peak_bytes(others[best], device),
        )
        row["ratio"] = measure.ratios(times[OURS], times[best])
        row["target"] = case.target(device)
        row["differences"] = pair.difference(pair.ours(), others[best]())
        row["limits"] = dict(case.limits)
    if bandwidth is not None:
        row["gpu"] = taken_apart(case, pair, bandwidth)
    return Row(**row)


def taken_apart(case: Case, pair: Pair, bandwidth: float) -> OnGPU:
    """Our work on a GPU: the host's part, the device's part, and its floor."""
    calls = 20
    device = measure.device_seconds(pair.ours, calls)
    floor = pair.least_bytes / bandwidth
    return OnGPU(
        launch_seconds=measure.launch_seconds(pair.ours, calls),
        device_seconds=device,
        times_the_floor=device / floor if floor else None,
        floor_target=case.floor_target,
    )
