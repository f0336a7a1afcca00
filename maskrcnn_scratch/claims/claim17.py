"""The tensors of the heads, from 1000 proposals to 16 masks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from maskrcnn_scratch.claims.claim import Claim, Place, Step, Verdict
from maskrcnn_scratch.claims.shapes import Shapes, shapes_of, written
from maskrcnn_scratch.data import generate_shapes
from maskrcnn_scratch.figures import palette
from maskrcnn_scratch.inference.predict import Predictor
from maskrcnn_scratch.models.presets import MATTERPORT
from maskrcnn_scratch.models.tensor_entries import Shape
from maskrcnn_scratch.reference.losses import mask_loss
from maskrcnn_scratch.weights.lesson import lesson_model

SIDE = 1024  # pixels of the image
K = MATTERPORT.num_classes
IMAGES = 4  # shown to the small trained model
CLAIMED: dict[tuple[str, str], Shape] = {
    ("RPN", "proposals"): (1000, 4),
    ("box head", "crop and resize of P2..P5"): (1000, 256, 7, 7),
    ("box head", "class logits"): (1000, 81),
    ("box head", "rows"): ("n", 6),
}
"""n where the document has its image's 16."""
BACKGROUND: dict[tuple[str, str], Shape] = {
    ("box head", "box deltas"): (1000, 81, 4),
    ("mask head", "mask logits"): ("n", 81, 28, 28),
}
"""With outputs for the background, as matterport has them."""
BLOCKS = {
    ("RPN", "proposals"): (0, 0.0),
    ("box head", "crop and resize of P2..P5"): (1, 0.0),
    ("box head", "class logits"): (2, 0.5),
    ("box head", "box deltas"): (2, -0.5),
    ("box head", "rows"): (3, 0.0),
    ("mask head", "crop and resize of P2..P5"): (4, 0.0),
    ("mask head", "mask logits"): (5, 0.0),
}
"""Where the tensors stand in the picture."""


@dataclass(frozen=True)
class Heads:
    """Shapes of matterport's model, and what belongs to the background."""

    shapes: Shapes
    with_background: Shapes
    """Of the same with a box and a mask more."""
    counts: list[int]
    """Detections of a trained model in some images."""
    least_label: int
    """Of all those detections: 0 would be the background."""
    unlearned: float
    """Largest gradient of Lmask on the background's mask of 81."""


def measure() -> Heads:
    """Shapes of the models, a small trained model's detections, and Lmask."""
    model, names = lesson_model("shapes")
    predict = Predictor(model, names)
    found = [predict(image, 0.5) for image, _ in generate_shapes(IMAGES, seed=17)]
    labels = np.arange(1, K + 1)  # a RoI of every class; the background is mask 0
    logits, targets = np.ones((K, K + 1, 2, 2)), np.ones((K, 2, 2))
    _, gradient = mask_loss(logits, labels, targets)
    return Heads(
        shapes_of(MATTERPORT, SIDE),
        shapes_of(replace(MATTERPORT, num_classes=K + 1), SIDE),
        [len(one) for one in found],
        min(int(label) for one in found for label in one.labels),
        float(np.abs(gradient[:, 0]).max()),
    )


def evidence(told: Heads) -> Iterator[Step]:
    """Every shape of the claim, then what n is and what the background has."""
    for place, claimed in CLAIMED.items():
        found = told.shapes[place]
        yield Step(says(place), written(found), found == claimed)
    for place, claimed in BACKGROUND.items():
        ours, theirs = told.shapes[place], told.with_background[place]
        yield Step(f"{says(place)}, K = {K}", written(ours), ours[1] == K)
        yield Step("with one for the background", written(theirs), theirs == claimed)
    most = MATTERPORT.max_detections
    yield Step("n, detections in an image, at most", str(most), most >= 16)
    counts = ", ".join(map(str, told.counts))
    differ = len(set(told.counts)) > 1
    yield Step(f"n of {IMAGES} images, a small trained model", counts, differ)
    least = told.least_label
    yield Step("their least class (the background is 0)", str(least), least == 1)
    yield Step("Lmask's gradient on the background's mask", f"{told.unlearned:g}",
               told.unlearned == 0)  # fmt: skip


def says(place: tuple[str, str]) -> str:
    """A tensor by part and name, as short as it can be."""
    part, tensor = place
    return f"{part}: {tensor}"


def draw(told: Heads) -> Figure:
    """The tensors as blocks with their shapes, in their order."""
    figure = Figure(figsize=(12, 2.6), layout="constrained")
    axes = figure.subplots()
    for place, (x, y) in BLOCKS.items():
        part, tensor = place
        shape = written(told.shapes[place])
        text = "\n".join((part, tensor.replace(" of ", "\nof "), shape))
        block = Rectangle((x - 0.42, y - 0.42), 0.84, 0.84, fc=(palette.PIXEL, 0.5),
                          ec=palette.CELL)  # fmt: skip
        axes.add_patch(block)
        axes.text(x, y, text, ha="center", va="center", fontsize=8)
        for other, height in BLOCKS.values():
            if other == x + 1:
                end, start = (other - 0.42, height), (x + 0.42, y)
                axes.annotate("", end, start, arrowprops={"arrowstyle": "->"})
    axes.set(xlim=(-0.5, 5.5), ylim=(-1, 1))
    axes.set_axis_off()
    return figure


def alt(told: Heads) -> str:
    """The picture in words."""
    shape = written(told.shapes["mask head", "mask logits"])
    return f"The tensors of the heads as blocks, from proposals to masks of {shape}."


CLAIM = Claim(
    number=17,
    claim="1000 proposals give RoI features of 1000 x 256 x 7 x 7, class logits of "
    "1000 x 81, box deltas of 1000 x 81 x 4, detections of 16 x 6 and masks of "
    "16 x 81 x 28 x 28.",
    places=(Place.WALK,),
    verdict=Verdict.CONDITION,
    right="16 is that image's count; and of 81 boxes and masks the first is the "
    "background's, which is never learned or read: the paper has K = 80 of them.",
    paper="Section 3: K masks of a RoI; section 3.1: 1000 proposals with FPN, masks of "
    "the best 100 boxes. Figure 4: 7 x 7 x 256 and 28 x 28 x 80.",
    lesson="11_mask_rcnn",
    measure=measure,
    evidence=evidence,
    draw=draw,
    alt=alt,
)
