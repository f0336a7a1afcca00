"""Which detection takes which object, in the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from maskrcnn_scratch.figures import palette
from maskrcnn_scratch.figures.boxes import add_box, around, draw_pixels
from maskrcnn_scratch.reference.average_precision import (
    Annotation,
    Detection,
    match_detections,
    scenes_of,
)

STYLES = {
    "true positive": (palette.ROI, "-"),
    "false positive": (palette.FAULT, "--"),
    "left out": (palette.CELL, ":"),
}


def draw_matches(
    axes: Axes,
    objects: Sequence[Annotation],
    detections: Sequence[Detection],
    iou_threshold: float,
) -> list[int]:
    """The boxes of one image with the detections' scores.

    Returns the object that each detection takes, or -1, by falling score.
    """
    (scene,) = scenes_of(objects, detections)
    crowd = np.array([item.crowd for item in scene.objects], bool)
    matches = match_detections(scene.iou, crowd, crowd, iou_threshold).tolist()
    boxes = [item.region for item in scene.objects]
    boxes += [item.region for item in scene.detections]
    draw_pixels(axes, around(*boxes))
    for item in scene.objects:
        label = "crowd" if item.crowd else "object"
        fill = (palette.OBJECT, 0.2 if item.crowd else 0.6)
        add_box(axes, item.region, label, fc=fill, ec="none", label=label)
    for found, match in zip(scene.detections, matches, strict=True):
        kind = "false positive" if match < 0 else "true positive"
        if match >= 0 and crowd[match]:
            kind = "left out"
        color, line = STYLES[kind]
        style: dict[str, Any] = {"ec": color, "ls": line, "lw": 2.2, "label": kind}
        add_box(axes, found.region, kind, fc="none", **style)
        x, y = float(found.region[2]), float(found.region[3])
        paper = {"fc": "white", "ec": color, "pad": 1.2}
        text: dict[str, Any] = {"ha": "right", "va": "bottom", "fontsize": 9}
        axes.text(x, y, f"{found.score:g}", bbox=paper, zorder=5, **text)
    axes.set_title(f"IoU threshold {iou_threshold:g}", fontsize=10)
    once = dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    axes.legend(
        once.values(), once.keys(), loc="upper center",
        bbox_to_anchor=(0.5, -0.13), ncols=2, frameon=False,
    )  # fmt: skip
    return list(matches)
