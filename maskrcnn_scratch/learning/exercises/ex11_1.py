"""Exercise 11.1: five losses become one number."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake


def total_loss(
    anchors: np.ndarray,
    anchor_is_object: np.ndarray,
    rois: np.ndarray,
    roi_is_object: np.ndarray,
    masks: np.ndarray,
) -> float:
    """The loss of Mask R-CNN, from the losses of its samples.

    Args:
        anchors: (a, 2), of each sampled anchor its objectness loss and its box loss.
        anchor_is_object: (a,), True for positive anchors.
        rois: (r, 2), of each sampled RoI its class loss and its box loss.
        roi_is_object: (r,), True for positive RoIs.
        masks: (r, m, m), of each RoI the cross-entropy of each mask pixel.

    Objectness and class losses are means over all samples. Box losses count for
    positive samples alone, but their sum is divided by the number of all samples. The
    mask loss is the mean over the pixels of positive RoIs; 0 where none is positive.
    There is at least one anchor and one RoI. The five have equal weights.
    """
    objectness = anchors[:, 0].mean()
    anchor_box = (anchors[:, 1] * anchor_is_object).sum() / len(anchors)
    classes = rois[:, 0].mean()
    roi_box = (rois[:, 1] * roi_is_object).sum() / len(rois)
    mask = masks[roi_is_object].mean() if roi_is_object.any() else 0.0
    return float(objectness + anchor_box + classes + roi_box + mask)


@st.composite
def samples(draw: st.DrawFn) -> Inputs:
    """A few anchors and RoIs with losses in quarters."""
    quarters = st.integers(0, 12).map(lambda k: k / 4)
    a, r, m = draw(st.integers(1, 4)), draw(st.integers(1, 4)), draw(st.integers(1, 2))

    def array(*shape: int) -> np.ndarray:
        count = int(np.prod(shape))
        values = draw(st.lists(quarters, min_size=count, max_size=count))
        return np.array(values).reshape(shape)

    def flags(count: int) -> np.ndarray:
        return np.array(draw(st.lists(st.booleans(), min_size=count, max_size=count)))

    return {
        "anchors": array(a, 2),
        "anchor_is_object": flags(a),
        "rois": array(r, 2),
        "roi_is_object": flags(r),
        "masks": array(r, m, m),
    }


def added_up(
    anchors: np.ndarray,
    anchor_is_object: np.ndarray,
    rois: np.ndarray,
    roi_is_object: np.ndarray,
    masks: np.ndarray,
) -> float:
    """Sample by sample."""
    total = 0.0
    for rows, flags in ((anchors, anchor_is_object), (rois, roi_is_object)):
        for (score_loss, box_loss), positive in zip(rows, flags, strict=True):
            total += (score_loss + (box_loss if positive else 0)) / len(rows)
    pixels = [p for i in np.flatnonzero(roi_is_object) for p in masks[i].ravel()]
    return float(total + (sum(pixels) / len(pixels) if pixels else 0))


def without_objects(**inputs: np.ndarray) -> Inputs:
    """The same samples, none of them positive."""
    none = {
        name: np.zeros(len(inputs[name]), np.bool_)
        for name in ("anchor_is_object", "roi_is_object")
    }
    return {**inputs, **none}


EXERCISE = Exercise(
    id="ex11_1",
    title="One loss from five",
    objective="Add the five losses of Mask R-CNN, each divided by the right number.",
    difficulty=2,
    minutes=15,
    task=(
        "Write `total_loss(anchors, anchor_is_object, rois, roi_is_object, masks)`: "
        "the sum of the RPN's two losses, the box head's two and the mask head's one. "
        "The losses of the single samples are given."
    ),
    hints=(
        "Three questions for each of the five: which samples count, what is summed, "
        "and by what is it divided?",
        "Boxes of negatives have nothing to learn from, so they do not count; yet the "
        "sum is divided by all samples, as the class loss beside it.",
        "`masks[roi_is_object]` are the masks that count. The mean of no numbers is "
        "NaN: without positives the mask loss is 0.",
    ),
    solution=total_loss,
    laws=(
        Law("The total is that of adding sample by sample.", samples(), added_up),
        Law(
            "Without positives the scores' losses are left.",
            samples(),
            expected=lambda **i: float(
                i["anchors"][:, 0].mean() + i["rois"][:, 0].mean()
            ),
            got=lambda f, **i: f(*without_objects(**i).values()),
        ),
    ),
    mistakes=(
        Mistake(
            "boxes by positives",
            "you divided the sum of the box losses by the positives: it is divided by "
            "all samples.",
            {
                ".sum() / len(anchors)": ".sum() / max(anchor_is_object.sum(), 1)",
                ".sum() / len(rois)": ".sum() / max(roi_is_object.sum(), 1)",
            },
        ),
        Mistake(
            "boxes of negatives",
            "you counted the box losses of negatives: they have no object to move to.",
            {" * anchor_is_object": "", " * roi_is_object": ""},
        ),
        Mistake(
            "masks of all",
            "you took the mean over the masks of all RoIs: negatives have no mask.",
            {"masks[roi_is_object].mean() if roi_is_object.any()": "masks.mean() if 1"},
        ),
        Mistake(
            "masks by all",
            "you divided the mask loss by the pixels of all RoIs: divide by those of "
            "the positives.",
            {"masks[roi_is_object].mean()": "masks[roi_is_object].sum() / masks.size"},
        ),
        Mistake(
            "pixels summed",
            "you summed a mask's pixels instead of taking their mean: a larger mask "
            "would weigh more.",
            {
                "masks[roi_is_object].mean()": "masks[roi_is_object].sum() / "
                "roi_is_object.sum()"
            },
        ),
        Mistake(
            "NaN",
            "you took the mean over no masks: without positives the mask loss is 0.",
            {"if roi_is_object.any() else 0.0": "if roi_is_object.any() else np.nan"},
        ),
        Mistake(
            "mean of five",
            "you took the mean of the five: they are added.",
            {
                "float(objectness + anchor_box + classes + roi_box + mask)": "float("
                "objectness + anchor_box + classes + roi_box + mask) / 5"
            },
        ),
        Mistake(
            "without the RPN",
            "you left out the two losses of the RPN: the paper's L has three names, "
            "but the RPN is trained along.",
            {"objectness + anchor_box + classes": "classes"},
        ),
        Mistake(
            "summed scores",
            "you summed the losses of objectness and class: take their means.",
            {
                "anchors[:, 0].mean()": "anchors[:, 0].sum()",
                "rois[:, 0].mean()": "rois[:, 0].sum()",
            },
        ),
        Mistake(
            "scores of positives",
            "you took the class loss of positive RoIs alone: the background must be "
            "learnt too.",
            {"rois[:, 0].mean()": "(rois[:, 0] * roi_is_object).sum() / len(rois)"},
        ),
    ),
)
