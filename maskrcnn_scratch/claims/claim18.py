"""L = Lcls + Lbox + Lmask, and Lmask knows the ground-truth class's mask alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from matplotlib.figure import Figure

from maskrcnn_scratch import ops
from maskrcnn_scratch.claims.claim import Claim, Place, Step, Verdict
from maskrcnn_scratch.data import generate_shapes
from maskrcnn_scratch.figures import palette
from maskrcnn_scratch.models.mask_head import FullyConvolutional
from maskrcnn_scratch.reference import losses
from maskrcnn_scratch.training.loop import sum_of
from maskrcnn_scratch.weights.lesson import lesson_model

K, M = 4, 6  # masks of a RoI, cells a side
LABELS = np.array([2, 0])  # of two RoIs
OF_A_ROI = ("class", "box", "mask")


@dataclass(frozen=True)
class MaskLoss:
    """Lmask and its gradient on random masks; the losses of a small model."""

    loss: float
    by_hand: float
    """The mean of -t log p - (1 - t) log(1 - p) over the own masks' pixels."""
    gradient: Float[np.ndarray, "rois k m m"]
    autograd: float
    """Largest difference of torch's gradient from ``gradient``."""
    total: float
    parts: dict[str, float]
    """The model's losses on an image, by name; ``total`` is what is trained on."""
    classes: dict[str, float]
    """By class the largest gradient on what makes its mask in that model."""
    present: set[str]
    """The classes in the image."""

    def split(self) -> tuple[np.ndarray, np.ndarray]:
        """Gradients on the K - 1 other masks of each RoI, and on its own."""
        own = np.zeros(self.gradient.shape[:2], bool)
        own[np.arange(len(LABELS)), LABELS] = True
        return self.gradient[~own], self.gradient[own]


def measure() -> MaskLoss:
    """By ``reference.losses`` and ``ops``, then by the lessons' model on an image."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (len(LABELS), K, M, M))
    targets = rng.integers(0, 2, (len(LABELS), M, M)).astype(np.float64)
    loss, gradient = losses.mask_loss(logits, LABELS, targets)
    own = logits[np.arange(len(LABELS)), LABELS]
    return MaskLoss(
        loss,
        bce_by_hand(own, targets),
        gradient,
        float(np.abs(torch_gradient(logits, LABELS, targets) - gradient).max()),
        *losses_of_model(),
    )


def bce_by_hand(
    logits: Float[np.ndarray, "rois m m"], targets: Float[np.ndarray, "rois m m"]
) -> float:
    """The mean binary cross-entropy, as it is written."""
    p = 1 / (1 + np.exp(-logits))
    each = -targets * np.log(p) - (1 - targets) * np.log(1 - p)
    return float(each.mean())


def torch_gradient(
    logits: Float[np.ndarray, "rois k m m"],
    labels: Int[np.ndarray, " rois"],
    targets: Float[np.ndarray, "rois m m"],
) -> Float[np.ndarray, "rois k m m"]:
    """That of ``ops.mask_loss``, by autograd."""
    tensor = torch.from_numpy(logits).requires_grad_()
    loss = ops.mask_loss(tensor, torch.from_numpy(labels), torch.from_numpy(targets))
    (gradient,) = torch.autograd.grad(loss, [tensor])
    values: np.ndarray = gradient.numpy()
    return values


def losses_of_model() -> tuple[float, dict[str, float], dict[str, float], set[str]]:
    """Of one image: total and parts, gradient by class, and the classes it has."""
    model, names = lesson_model("shapes")
    ((image, target),) = generate_shapes(1, seed=18)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        parts: dict[str, torch.Tensor] = model.train()([image], [target])
    assert model.mask_head is not None
    assert isinstance(model.mask_head.net, FullyConvolutional)
    weight = model.mask_head.net.mask_logits.weight
    (gradient,) = torch.autograd.grad(parts["mask"], [weight])
    largest = gradient.abs().flatten(1).amax(dim=1).tolist()
    return (
        float(sum_of(parts).detach()),
        {name: float(loss.detach()) for name, loss in parts.items()},
        dict(zip(names, largest, strict=True)),
        {names[int(label) - 1] for label in target.labels},
    )


def evidence(told: MaskLoss) -> Iterator[Step]:
    """The mean of one mask's pixels, the gradients, then the sum in the model."""
    apart = abs(told.loss - told.by_hand)
    yield Step("Lmask of two RoIs", f"{told.loss:.6f}")
    yield Step("the own masks' mean cross-entropy, by hand", f"{told.by_hand:.6f}",
               apart < 1e-12)  # fmt: skip
    others, own = told.split()
    largest = float(np.abs(others).max())
    yield Step(f"gradient on the other {K - 1} masks, at most", f"{largest:g}",
               largest == 0)  # fmt: skip
    least = float(np.abs(own).min())
    yield Step("on the own mask, at least", f"{least:.1e}", least > 0)
    yield Step("autograd's less this gradient, at most", f"{told.autograd:.0e}",
               told.autograd < 1e-12)  # fmt: skip
    for name, value in told.classes.items():
        there = name in told.present
        says = f"model, an image {'with' if there else 'without'} any {name}: gradient"
        yield Step(says, f"{value:.2g}", (value > 0) == there)
    for name, value in told.parts.items():
        yield Step(f"model: loss {name!r}", f"{value:.4f}")
    rest = [value for name, value in told.parts.items() if name not in OF_A_ROI]
    three = sum(told.parts[name] for name in OF_A_ROI)
    same = abs(told.total - sum(rest) - three) < 1e-5
    yield Step("total less the RPN's two", f"{told.total - sum(rest):.4f}", same)
    yield Step("Lcls + Lbox + Lmask", f"{three:.4f}", same)


def draw(told: MaskLoss) -> Figure:
    """The gradient on each of the masks of each RoI."""
    figure = Figure(figsize=(8, 4.4), layout="constrained")
    panels = figure.subplots(len(LABELS), K)
    most = float(np.abs(told.gradient).max())
    for row, (maps, label) in enumerate(zip(told.gradient, LABELS, strict=True)):
        for k, (axes, values) in enumerate(zip(panels[row], maps, strict=True)):
            image = axes.imshow(values, cmap="PuOr", vmin=-most, vmax=most)
            axes.set(xticks=[], yticks=[])
            own = k == label
            size = np.abs(values).max()
            axes.set_title(f"mask {k}: at most {size:.2g}", fontsize=9)
            for spine in axes.spines.values():
                spine.set(
                    color=palette.ROI if own else palette.CELL, lw=3 if own else 1
                )
        panels[row][0].set_ylabel(f"RoI of class {label}")
    figure.colorbar(image, ax=panels, label="gradient of Lmask", shrink=0.8)
    return figure


def alt(told: MaskLoss) -> str:
    """The picture in words."""
    return (
        f"The gradient of Lmask on {K} masks of each of {len(LABELS)} RoIs. Only the "
        "framed mask of the RoI's own class, "
        f"{' and '.join(map(str, LABELS))}, has any; the others are 0 throughout."
    )


CLAIM = Claim(
    number=18,
    claim="L = Lcls + Lbox + Lmask, and Lmask is the mean binary cross-entropy of the "
    "ground-truth class's sigmoid mask alone.",
    places=(Place.BLOG, Place.SUMMARY, Place.NOTES, Place.RUSSIAN),
    verdict=Verdict.TRUE,
    right="The gradient on the other K - 1 masks is exactly zero; the RPN's two losses "
    "are trained beside the three.",
    paper="Section 3: L of each sampled RoI; Lmask is defined on the k-th mask alone, "
    "other outputs do not contribute.",
    lesson="10_mask_head",
    measure=measure,
    evidence=evidence,
    draw=draw,
    alt=alt,
)
