"""Smooth-L1 and its slope, for several places of the switch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from maskrcnn_scratch.figures import palette
from maskrcnn_scratch.reference.losses import smooth_l1

COLORS = (palette.ROI, palette.QUANTISED, palette.SAMPLE)
LINES = ("-", "--", ":")


@dataclass(frozen=True)
class SmoothL1:
    """The loss and its derivative at each error ``d``, by beta."""

    d: Float[np.ndarray, " n"]
    loss: dict[float, Float[np.ndarray, " n"]]
    slope: dict[float, Float[np.ndarray, " n"]]


def draw_smooth_l1(
    loss_axes: Axes, slope_axes: Axes, names: Sequence[str] = ("1", "1/9", "0")
) -> SmoothL1:
    """The loss in one picture, its slope in another.

    ``names`` are betas as they are written, three at most: whole numbers or fractions.
    """
    d = np.linspace(-2, 2, 257)
    told = SmoothL1(d, {}, {})
    for name, color, line in zip(names, COLORS, LINES, strict=False):
        over, _, under = name.partition("/")
        beta = int(over) / int(under or 1)
        both = [smooth_l1(one[None], np.zeros(1), beta) for one in d]
        told.loss[beta] = np.array([loss for loss, _ in both])
        told.slope[beta] = np.array([slope[0] for _, slope in both])
        style: dict[str, Any] = {"color": color, "ls": line, "lw": 2}
        style["label"] = f"beta = {name}"
        loss_axes.plot(d, told.loss[beta], **style)
        slope_axes.plot(d, told.slope[beta], **style)
    loss_axes.set(xlabel="d", ylabel="smooth-L1")
    slope_axes.set(xlabel="d", ylabel="its slope")
    loss_axes.legend(frameon=False)
    return told
