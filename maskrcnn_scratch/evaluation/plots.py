"""Precision over recall, as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from maskrcnn_scratch.evaluation.scores import Scores
from maskrcnn_scratch.evaluation.tables import NAMES, decimal
from maskrcnn_scratch.files import replacing_file
from maskrcnn_scratch.reference.average_precision import IOU_THRESHOLDS, RECALL_LEVELS

Curves = Float[np.ndarray, "thresholds levels"]


def pr_curves_figure(
    scores: Mapping[str, Scores], path: str | Path
) -> dict[str, Curves]:
    """Write a panel a kind: precision over recall, one curve for each IoU threshold.

    Curves are means over the classes that have objects; the area under one is its AP.
    The suffix of ``path`` says the format. Returns the curves drawn, by kind.
    """
    curves = {kind: mean_curves(kind_scores) for kind, kind_scores in scores.items()}
    figure = Figure(figsize=(5.5 * len(scores), 4.4), layout="constrained")
    panels = figure.subplots(1, len(scores), squeeze=False, sharey=True)[0]
    for panel, (kind, kind_scores) in zip(panels, scores.items(), strict=True):
        panel.set_title(f"{NAMES[kind]} AP {decimal(kind_scores.ap)}")
        draw_curves(panel, curves[kind])
    panels[0].set_ylabel("precision")
    with replacing_file(path) as draft:
        figure.savefig(draft, dpi=120)
    return curves


def mean_curves(scores: Scores) -> Curves:
    """Mean over the classes that have objects; 0 where none has."""
    known = scores.precision[:, :, (scores.precision > -1).all(axis=(0, 1))]
    if not known.shape[2]:
        return np.zeros(known.shape[:2])
    return np.asarray(known.mean(axis=2))


def draw_curves(panel: Axes, curves: Curves) -> None:
    """One line a threshold, from light (0.50) to dark (0.95)."""
    shades = colormaps["viridis_r"](np.linspace(0.1, 1, len(curves)))
    for curve, threshold, shade in zip(curves, IOU_THRESHOLDS, shades, strict=True):
        label = f"{threshold:.2f}  {curve.mean():.3f}"
        panel.plot(RECALL_LEVELS, curve, color=shade, label=label)
    panel.set(xlabel="recall", xlim=(0, 1), ylim=(0, 1.02))
    panel.grid(alpha=0.3)
    panel.legend(title="IoU   AP", loc="center left", bbox_to_anchor=(1, 0.5))
