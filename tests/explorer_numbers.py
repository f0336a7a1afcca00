"""States of the misalignment explorer, and all its numbers as reference/ has them."""

from __future__ import annotations

import json
import math
import re
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

import numpy as np
from strategies import Array

from maskrcnn_scratch.reference.bilinear import bilinear, bilinear_taps
from maskrcnn_scratch.reference.roi_align import (
    read_bins,
    roi_align,
    roi_align_steps,
    sample_weights,
)
from maskrcnn_scratch.reference.roi_pool import roi_pool, roi_pool_steps
from maskrcnn_scratch.reference.roi_steps import AxisSteps, RoiSteps, Span
from maskrcnn_scratch.reference.roi_warp import roi_warp, roi_warp_steps

State = dict[str, Any]
"""As docs/explorer/states.js describes it."""
NAMES = {"pool": "RoIPool", "warp": "RoIWarp", "align": "RoIAlign"}
STRIDES = (1, 2, 4, 8, 16, 32, 64)
CASES = 240

# The cases


def random_state(rng: np.random.Generator) -> State:
    """A state that the page admits, often at a halfway case or off the map."""
    stride = int(rng.choice(STRIDES))
    cells = rng.integers(1, 8, 2)
    image = [int(max(1, c * stride - rng.integers(0, stride))) for c in cells]
    # Quarters of a cell: halves, where rounding matters, come up every other time.
    fine = stride / 4 if rng.random() < 0.7 else 1 / 16
    corners = [rng.uniform(-0.3, 1.2, 2) * side for side in image]
    if rng.random() < 0.8:
        corners = [np.sort(ends) for ends in corners]
    if rng.random() < 0.1:
        corners[0][1] = corners[0][0]
    roi = np.round(np.array(corners).T.ravel() / fine) * fine
    out = [int(n) for n in rng.integers(1, 4, 2)]
    low, high = -np.array(image * 2), 2 * np.array(image * 2)
    return {
        "image": image,
        "stride": stride,
        "roi": np.clip(roi, low, high).tolist(),
        "out": out,
        "layer": str(rng.choice(list(NAMES))),
        "rounding": str(rng.choice(["round", "floor"])),
        "aligned": bool(rng.random() < 0.5),
        "samples": int(rng.integers(0, 5)),
        "mode": str(rng.choice(["mean", "max"])),
        "features": str(rng.choice(["blob", "ramp", "noise", "numbers"])),
        "seed": int(rng.integers(0, 10000)),
        "pick": [int(rng.integers(0, n)) for n in (*out, 9)],
    }


def random_states(count: int = CASES) -> list[State]:
    rng = np.random.default_rng(0)
    return [random_state(rng) for _ in range(count)]


# What reference/ says


SPANS = ("roi", "quantised")
LISTS_OF_SPANS = ("bins", "ideal_bins", "even_bins")
SHIFTS = ("corner_shift", "border_shift", "reading_shift", "shift")
NUMBERS = ("stride", "bin_size", "lost", "covered")


def steps_of(state: State) -> dict[str, RoiSteps]:
    box, out = np.array(state["roi"], np.float64), tuple(state["out"])
    scale, samples = 1 / state["stride"], state["samples"]
    rounding, aligned = state["rounding"], state["aligned"]
    return {
        "pool": roi_pool_steps(box, out, scale, rounding),
        "warp": roi_warp_steps(box, out, scale, samples, rounding),
        "align": roi_align_steps(box, out, scale, samples, aligned),
    }


def outputs_of(state: State, features: Array) -> dict[str, Array]:
    """Each layer's output, and RoIPool's argmax; layers themselves where they exist.

    The layer RoIWarp always rounds; floored it is its steps, read.
    """
    rois = np.array([[0, *state["roi"]]], np.float64)
    scale, samples, mode = 1 / state["stride"], state["samples"], state["mode"]
    same = (features[None, None], rois, tuple(state["out"]), scale)
    pool, argmax = roi_pool(*same, state["rounding"])
    if state["rounding"] == "round":
        warp = roi_warp(*same, samples, mode)[0]
    else:
        warp = read_bins(features[None], steps_of(state)["warp"], mode)
    align = roi_align(*same, samples, state["aligned"], mode)[0]
    return {
        "pool": pool[0, 0],
        "argmax": argmax[0, 0],
        "warp": warp[0],
        "align": align[0],
    }


def flat(span: Span) -> list[float]:
    return [span.start, span.end, span.size, span.centre]


def numbers_of(axis: AxisSteps) -> dict[str, Any]:
    """Every number of an axis, by its name in reference/."""
    told = {name: flat(getattr(axis, name)) for name in SPANS}
    told |= {name: [*map(flat, getattr(axis, name))] for name in LISTS_OF_SPANS}
    told |= {name: getattr(axis, name) for name in (*SHIFTS, *NUMBERS)}
    return told | {"points": [list(points) for points in axis.points]}


def camel(name: str) -> str:
    """ideal_bins -> idealBins."""
    return re.sub("_(.)", lambda match: match[1].upper(), name)


def page_numbers(axis: dict[str, Any]) -> dict[str, Any]:
    """The same of what the page computed."""

    def flat(span: dict[str, float]) -> list[float]:
        return [span[name] for name in ("start", "end", "size", "centre")]

    told: dict[str, Any] = {name: flat(axis[camel(name)]) for name in SPANS}
    told |= {name: [*map(flat, axis[camel(name)])] for name in LISTS_OF_SPANS}
    told |= {name: axis[camel(name)] for name in (*SHIFTS, *NUMBERS)}
    return told | {"points": axis["points"]}


def picked_of(
    state: State, layer: str, features: Array, argmax: Array
) -> dict[str, Any]:
    """The picked point: bin, coordinates, cells with weights, value, share."""
    steps = steps_of(state)[layer]
    i, j = (
        min(pick, n - 1) for pick, n in zip(state["pick"], state["out"], strict=False)
    )
    points = steps.points(i, j)
    if not points:
        return {"i": i, "j": j, "points": 0}
    s = min(state["pick"][2], len(points) - 1)
    height, width = features.shape
    y, x = points[s]
    if layer == "pool":
        on_map = 0 <= y < height and 0 <= x < width
        cells = [(y, x, 1.0)] if on_map else []
        share = float(on_map and y * width + x == argmax[i, j])
        value = float(features[int(y), int(x)]) if on_map else 0.0
    else:
        cells = [
            (row, column, y_weight * x_weight)
            for row, y_weight in bilinear_taps(height, y)
            for column, x_weight in bilinear_taps(width, x)
        ]
        value, share = bilinear(features, y, x), 1 / len(points)
        if state["mode"] == "max":
            values = [bilinear(features, *point) for point in points]
            share = sample_weights(values, "max")[s]
    return {
        **{"i": i, "j": j, "s": s, "y": y, "x": x, "points": len(points)},
        "cells": [
            {"row": r, "column": c, "weight": w, "feature": features[int(r), int(c)]}
            for r, c, w in cells
        ],
        **{"value": value, "share": share},
    }


def same(told: Any, meant: Any, where: str, digits: float = 1e-9) -> None:
    """Numbers, lists and dicts of them agree; NaN equals NaN."""
    if isinstance(meant, dict):
        assert set(told) == set(meant), where
        for key in meant:
            same(told[key], meant[key], f"{where} {key}", digits)
    elif isinstance(meant, (list, tuple)):
        assert len(told) == len(meant), where
        for k, (one, other) in enumerate(zip(told, meant, strict=True)):
            same(one, other, f"{where}[{k}]", digits)
    else:
        told = float(told)
        both_nan = told != told and meant != meant
        close = math.isclose(told, meant, rel_tol=1e-12, abs_tol=digits)
        assert close or both_nan, f"{where}: {told}, not {meant}"


def number(text: str) -> float:
    return float("nan") if text == "none" else float(text)


def tables_meant(state: State, features: Array) -> list[list[list[Any]]]:
    """The four tables as reference/ has them."""
    told, outputs = steps_of(state), outputs_of(state, features)
    axes = [
        (NAMES[layer], name, getattr(told[layer], name))
        for layer in NAMES
        for name in "xy"
    ]
    rois = [
        [
            *(layer, name, a.stride, *flat(a.roi)[:3], *flat(a.quantised)[:3]),
            *(a.lost, a.bin_size, a.covered),
        ]
        for layer, name, a in axes
    ]
    bins = [
        [
            *(layer, name, k, *a.ideal_bins[k], *a.even_bins[k], *a.bins[k]),
            *(a.corner_shift[k], a.border_shift[k], a.reading_shift[k], a.shift[k]),
            *(a.shift[k] * a.stride, list(a.points[k])),
        ]
        for layer, name, a in axes
        for k in range(len(a.bins))
    ]
    out = [
        [i, j, *(outputs[k][i, j] for k in ("pool", "argmax", "warp", "align"))]
        for i, j in np.ndindex(*state["out"])
    ]
    return [rois, bins, out, picked_meant(state, features, outputs["argmax"])]


def picked_meant(state: State, features: Array, argmax: Array) -> list[list[Any]]:
    rows: list[list[Any]] = []
    for layer, name in NAMES.items():
        told = picked_of(state, layer, features, argmax)
        start = [name, told["i"], told["j"]]
        none = float("nan")
        if not told["points"]:
            rows.append(start + [none] * 10)
            continue
        start += [told["s"], told["y"], told["x"]]
        end = [told["value"], told["share"]]
        cells = told["cells"] or [
            dict.fromkeys(("row", "column", "weight", "feature"), none)
        ]
        rows += [[*start, *c.values(), c["weight"] * c["feature"], *end] for c in cells]
    return rows


def check_tables(told: list[list[list[str]]], meant: list[list[list[Any]]]) -> None:
    """Words equal, numbers to the six decimals that the page shows."""
    assert len(told) == len(meant)
    for rows, rows_meant in zip(told, meant, strict=True):
        assert len(rows) == len(rows_meant)
        for row, row_meant in zip(rows, rows_meant, strict=True):
            assert len(row) == len(row_meant), row
            for text, value in zip(row, row_meant, strict=True):
                if isinstance(value, str):
                    assert text == value
                elif isinstance(value, list):
                    points = [number(part) for part in text.split("; ") if part]
                    same(points, value, str(row), 1e-6)
                else:
                    same(number(text), value, str(row), 1e-6)


def check_numbers(told: dict[str, Any], state: State, features: Array) -> None:
    outputs = outputs_of(state, features)
    for layer, steps in steps_of(state).items():
        where = f"{json.dumps(state)} {layer}"
        for axis, meant in (("y", steps.y), ("x", steps.x)):
            numbers = page_numbers(told[layer][axis])
            same(numbers, numbers_of(meant), f"{where} {axis}", 1e-12)
        same(told[layer]["out"], outputs[layer].tolist(), f"{where} out")
        picked = picked_of(state, layer, features, outputs["argmax"])
        same(told[layer]["picked"], picked, f"{where} picked")
    same(told["pool"]["argmax"], outputs["argmax"].tolist(), f"{state} argmax")


def short(value: float) -> str:
    """As the page writes a number in its cards: four digits, halves away from zero."""
    four = Context(prec=4, rounding=ROUND_HALF_UP)
    return f"{float(four.create_decimal(Decimal(value))):g}".replace("-", "\u2212")
