"""Exercise 11.3: whose masks are learnt, over a batch."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake


def batch_mask_loss(ious: list[np.ndarray], losses: list[np.ndarray]) -> float:
    """Lmask of a batch.

    Args:
        ious: for each image (r,), the best IoU of each RoI with an object.
        losses: for each image (r,), the mask loss of each RoI against the object that
            it overlaps most, whatever the IoU.

    RoIs with an IoU of at least one half are positive, and they alone have a mask loss
    (section 3.1). The result is the mean over all positive RoIs of the batch, in which
    every RoI counts the same; 0 where there is none.
    """
    total, count = 0.0, 0
    for iou, loss in zip(ious, losses, strict=True):
        positive = iou >= 0.5
        total += loss[positive].sum()
        count += positive.sum()
    return float(total / count) if count else 0.0


@st.composite
def batches(draw: st.DrawFn) -> Inputs:
    """Images with unequal numbers of RoIs, some without a positive one."""
    ious, losses = [], []
    for _ in range(draw(st.integers(1, 3))):
        r = draw(st.integers(1, 4))
        tenths = st.integers(0, 10).map(lambda k: k / 10)
        ious.append(np.array(draw(st.lists(tenths, min_size=r, max_size=r))))
        values = st.integers(1, 12).map(float)
        losses.append(np.array(draw(st.lists(values, min_size=r, max_size=r))))
    return {"ious": ious, "losses": losses}


def one_long_list(ious: list[np.ndarray], losses: list[np.ndarray]) -> float:
    """The images laid end to end, and the mean of those that count."""
    pairs = zip(np.concatenate(ious), np.concatenate(losses), strict=True)
    counted = [loss for iou, loss in pairs if not iou < 0.5]
    return float(sum(counted) / max(len(counted), 1))


EXERCISE = Exercise(
    id="ex11_3",
    title="Whose masks are learnt",
    objective="Choose the RoIs with a mask loss, and average over a batch.",
    difficulty=2,
    minutes=10,
    task=(
        "Write `batch_mask_loss(ious, losses)`: the mean mask loss of the positive "
        "RoIs of several images."
    ),
    hints=(
        "An image has as many positives as it happens to have. A mean of the images' "
        "means would count an RoI of a poor image more than one of a rich image.",
        "Carry two numbers through the images: the sum of the losses that count, and "
        "how many there are.",
        "Divide once, behind the loop; without positives return 0.",
    ),
    solution=batch_mask_loss,
    laws=(
        Law(
            "The loss is that of all images laid end to end.", batches(), one_long_list
        ),
        Law(
            "An image without objects changes nothing.",
            batches(),
            expected=one_long_list,
            got=lambda f, ious, losses: f(
                [*ious, np.array([0.25, 0.0])], [*losses, np.array([50.0, 70.0])]
            ),
        ),
    ),
    mistakes=(
        Mistake(
            "mean of means",
            "you averaged the images' means: then an RoI counts less the more "
            "positives its image has. Sum over the batch first.",
            """
            means = []
            for iou, loss in zip(ious, losses, strict=True):
                if (iou >= 0.5).any():
                    means.append(loss[iou >= 0.5].mean())
            return float(np.mean(means)) if means else 0.0
            """,
        ),
        Mistake(
            "by images",
            "you divided the sum by the number of images: divide by the positive RoIs.",
            {"total / count": "total / len(ious)"},
        ),
        Mistake(
            "by all RoIs",
            "you divided by all RoIs: divide by the positive ones.",
            {"count += positive.sum()": "count += len(iou)"},
        ),
        Mistake(
            "all RoIs",
            "you counted negative RoIs too: they have no mask to learn.",
            {"iou >= 0.5": "iou >= 0.0"},
        ),
        Mistake(
            "strict",
            "you left out RoIs with an IoU of exactly one half: at least means >=.",
            {"iou >= 0.5": "iou > 0.5"},
        ),
        Mistake(
            "the RPN's threshold",
            "you took 0.7, the RPN's threshold for anchors: for RoIs it is one half.",
            {"iou >= 0.5": "iou >= 0.7"},
        ),
        Mistake(
            "sum",
            "you returned the sum: divide by the number of positive RoIs.",
            {"total / count": "total"},
        ),
        Mistake(
            "negatives",
            "you took the negatives: an IoU of at least one half is positive.",
            {"iou >= 0.5": "iou < 0.5"},
        ),
        Mistake(
            "last image",
            "you started the sums anew for each image, so the last one is left.",
            {
                "total += loss[positive].sum()": "total = loss[positive].sum()",
                "count += positive.sum()": "count = positive.sum()",
            },
        ),
        Mistake(
            "weighted by IoU",
            "you weighted the losses with the IoU: every positive RoI counts the same.",
            {"loss[positive].sum()": "(loss * iou)[positive].sum()"},
        ),
    ),
)
