"""How the losses of a run fell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

LOSSES = ("rpn_objectness", "rpn_box", "class", "box", "mask")
SMOOTHED_OVER = 0.02  # of the run: single batches differ too much to see anything

Curves = dict[str, Float[np.ndarray, " iterations"]]


def draw_losses(rows: Sequence[dict[str, float]]) -> tuple[Figure, Curves]:
    """The five losses of Mask R-CNN over the iterations, on a logarithmic scale.

    ``rows`` are those of a run's metrics.jsonl. Returns the picture and the smoothed
    losses in it, by name. Raises ValueError where there are no rows.
    """
    if not rows:
        raise ValueError("there are no rows of metrics to draw")
    window = max(1, round(len(rows) * SMOOTHED_OVER))
    iterations = moving_mean([row["iteration"] for row in rows], window)
    curves = {name: moving_mean([r[name] for r in rows], window) for name in LOSSES}
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, curve in curves.items():
        axes.plot(iterations, curve, label=name.replace("_", " "))
    axes.set(xlabel="iteration", ylabel=f"loss, mean of {window}", yscale="log")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    return figure, curves


def moving_mean(values: Sequence[float], window: int) -> Float[np.ndarray, " means"]:
    """The mean of every ``window`` neighbours."""
    return np.convolve(values, np.full(window, 1 / window), mode="valid")
