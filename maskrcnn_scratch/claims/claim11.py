"""Masks of m x m with m = 7."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool
from matplotlib.figure import Figure

from maskrcnn_scratch import ops
from maskrcnn_scratch.claims.claim import Claim, Place, Step, Table, Verdict
from maskrcnn_scratch.claims.shapes import shapes_of, written
from maskrcnn_scratch.data.shapes import draw_scene
from maskrcnn_scratch.data.transforms import boxes_around
from maskrcnn_scratch.figures.boxes import Box
from maskrcnn_scratch.figures.masks import draw_image
from maskrcnn_scratch.models.presets import preset
from maskrcnn_scratch.models.tensor_entries import Shape
from maskrcnn_scratch.ops.masks import Rule

MODELS = {"C4": ("r50-c4", "C4", 14), "FPN": ("r50-fpn", "P2..P5", 28)}
"""By backbone: its preset, what RoIAlign reads, and m in the paper's figure 4."""
SIZES = (7, 14, 28)
RULES: tuple[Rule, ...] = ("threshold", "soft")
SCENES, SIDE = 6, 128  # generated images, pixels a side
SHOWN = 10  # a star: which of the objects is drawn


@dataclass(frozen=True)
class Heads:
    """The grids that a model's two branches read, and the masks it makes."""

    box: Shape
    mask: Shape
    logits: Shape


@dataclass(frozen=True)
class MaskSizes:
    """The models' shapes, and what a perfect mask of each size keeps of objects."""

    heads: dict[str, Heads]
    objects: list[Bool[np.ndarray, "height width"]]
    iou: dict[tuple[str, int], float]
    """Mean over the objects, by rule of the target and size."""

    def lost(self, rule: str, m: int) -> float:
        """In points of IoU, of 100."""
        return 100 * (1 - self.iou[rule, m])


def measure() -> MaskSizes:
    """Shapes by running the models; IoUs by the operators it learns with."""
    scenes = (draw_scene(SIDE, np.random.default_rng(seed)) for seed in range(SCENES))
    objects = [mask for scene in scenes for mask in scene.masks]
    return MaskSizes(
        {name: heads(*model[:2]) for name, model in MODELS.items()},
        objects,
        {
            (rule, m): float(np.mean([iou_of(mask, m, rule) for mask in objects]))
            for rule in RULES
            for m in SIZES
        },
    )


def heads(name: str, maps: str) -> Heads:
    """Of a preset whose RoIAlign reads ``maps``, for an image of 800 x 800."""
    shapes = shapes_of(preset(name), 800)
    roi_align = f"RoIAlign of {maps}"
    return Heads(
        shapes["box head", roi_align],
        shapes["mask head", roi_align],
        shapes["mask head", "mask logits"],
    )


def there_and_back(
    mask: Bool[np.ndarray, "height width"], m: int, rule: Rule
) -> tuple[Bool[np.ndarray, "height width"], Box]:
    """An object's own target of m x m, as the model learns it, pasted into its box."""
    masks = torch.from_numpy(mask[None].astype(np.uint8))
    box = boxes_around(masks)
    target = ops.mask_targets(masks, box, torch.tensor([0]), m, rule=rule)
    (back,) = ops.paste_masks(target, box, mask.shape).numpy()
    return back, box[0].numpy().astype(np.float64)


def iou_of(mask: Bool[np.ndarray, "height width"], m: int, rule: Rule) -> float:
    """Of the object with what comes back."""
    back, _ = there_and_back(mask, m, rule)
    return float(np.count_nonzero(back & mask) / np.count_nonzero(back | mask))


def evidence(told: MaskSizes) -> Iterator[Step | Table]:
    """What the branches read and make, then what 7 x 7 would cost."""
    for name, (_, _, m) in MODELS.items():
        found = told.heads[name]
        seven = found.box[-2:] == (7, 7)
        yield Step(f"{name}: the box branch reads", written(found.box), seven)
        yield Step(f"{name}: the mask branch reads", written(found.mask))
        right = found.logits[-2:] == (m, m)
        yield Step(f"{name}: its masks", written(found.logits), right)
    yield Table(
        f"IoU of perfect masks with {len(told.objects)} generated shapes",
        ("m", "targets cut at one half", "soft targets"),
        tuple((f"{m}", *(f"{told.iou[rule, m]:.3f}" for rule in RULES)) for m in SIZES),
    )
    for m in SIZES:
        values = [told.lost("threshold", m), told.lost("soft", m)]
        # Several points, as the verdict says of 7, and 28 costs less.
        holds = {7: min(values) > 4, 14: None, 28: max(values) < 4}[m]
        points = f"{values[0]:.1f} (soft {values[1]:.1f})"
        yield Step(f"m = {m}: points of IoU lost", points, holds)


def draw(told: MaskSizes) -> Figure:
    """An object, and what comes back from each size."""
    mask = told.objects[SHOWN]
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    first, *others = panels = figure.subplots(1, 1 + len(SIZES))
    box = there_and_back(mask, SIZES[0], RULES[0])[1]
    draw_image(first, mask.astype(np.float64), box)
    first.set_title("the object", fontsize=10)
    for axes, m in zip(others, SIZES, strict=True):
        back, _ = there_and_back(mask, m, RULES[0])
        draw_image(axes, back.astype(np.float64), box)
        iou = iou_of(mask, m, RULES[0])
        axes.set_title(f"through {m} x {m}: IoU {iou:.2f}", fontsize=10)
    x1, y1, x2, y2 = map(float, box)
    for axes in panels:
        axes.set(xlim=(x1 - 2, x2 + 2), ylim=(y2 + 2, y1 - 2))
    return figure


def alt(told: MaskSizes) -> str:
    """The picture in words."""
    ious = [f"{m} x {m} {iou_of(told.objects[SHOWN], m, RULES[0]):.2f}" for m in SIZES]
    return (
        "An object, and the same after it went through a mask of fewer cells and was "
        f"pasted back; IoU with the object: {', '.join(ious)}."
    )


CLAIM = Claim(
    number=11,
    claim="Each RoI gets K masks of m x m, m being the pooling resolution, 7 x 7.",
    places=(Place.BLOG, Place.SUMMARY),
    verdict=Verdict.FALSE,
    right="m is 14 with C4 and 28 with FPN; 7 x 7 is the grid that the box branch "
    "reads, and masks of 7 x 7 would lose several points of IoU.",
    paper="Figure 4: 14 x 14 x 80 masks with C4, 28 x 28 x 80 with FPN; the box "
    "branch reads 7 x 7.",
    lesson="10_mask_head",
    measure=measure,
    evidence=evidence,
    draw=draw,
    alt=alt,
)
