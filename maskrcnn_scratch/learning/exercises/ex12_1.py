"""Exercise 12.1: how much masks overlap, crowds included."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from matplotlib.figure import Figure

from maskrcnn_scratch.figures.answers import draw_answer
from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake
from maskrcnn_scratch.reference.average_precision import (
    Annotation,
    Detection,
    region_iou,
)


def mask_iou(found: np.ndarray, objects: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """Intersection over union of every detected mask with every object's mask.

    ``found`` (n, height, width) and ``objects`` (m, height, width) hold 0 and 1;
    ``crowd`` (m,), bool, says which objects are crowds. For a crowd the intersection is
    divided by the detection's own area instead of the union. Masks that share no pixel
    have 0, also where one or both are empty. Returns (n, m).
    """
    iou = np.zeros((len(found), len(objects)))
    for i in range(len(found)):
        for j in range(len(objects)):
            a, b = found[i] != 0, objects[j] != 0
            shared = np.sum(a & b)
            whole = np.sum(a) if crowd[j] else np.sum(a | b)
            if shared > 0:
                iou[i, j] = shared / whole
    return iou


@st.composite
def some_masks(draw: st.DrawFn, crowds: bool = True) -> Inputs:
    """A few masks of a few pixels."""
    n, m = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    height, width = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    return {
        "found": masks(draw, n, height, width),
        "objects": masks(draw, m, height, width),
        "crowd": np.array([crowds and draw(st.booleans()) for _ in range(m)]),
    }


def masks(draw: st.DrawFn, count: int, height: int, width: int) -> np.ndarray:
    """Bitmaps (count, height, width)."""
    size = count * height * width
    pixels = draw(st.lists(st.integers(0, 1), min_size=size, max_size=size))
    return np.array(pixels, np.uint8).reshape(count, height, width)


def specified(found: np.ndarray, objects: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """The specification, pair by pair."""
    detections = [Detection(0, 0, mask, 1.0) for mask in found]
    annotations = [
        Annotation(0, 0, mask, float(mask.sum()), bool(is_crowd))
        for mask, is_crowd in zip(objects, crowd, strict=True)
    ]
    rows = [[region_iou(d, a) for a in annotations] for d in detections]
    return np.array(rows)


def draw_masks(inputs: Inputs, expected: Any, got: Any) -> Figure | None:
    """Where one pair is asked for, the two masks; else the answers."""
    found, objects = inputs["found"], inputs["objects"]
    if len(found) != 1 or len(objects) != 1:
        return draw_answer(expected, got)
    figure = draw_answer(objects[0], found[0])
    if figure is not None:
        crowd = ", a crowd" if inputs["crowd"][0] else ""
        value = np.asarray(got.detach() if hasattr(got, "detach") else got).item()
        figure.axes[0].set_title(f"object{crowd}")
        figure.axes[1].set_title("found")
        figure.axes[1].set_xlabel("")
        figure.suptitle(f"expected {expected.item():.4g}, got {value:.4g}")
    return figure


EXERCISE = Exercise(
    id="ex12_1",
    title="IoU of masks",
    objective="Compute the overlap by which detections and objects are matched.",
    difficulty=1,
    minutes=10,
    task=(
        "Write `mask_iou(found, objects, crowd)`: the IoU of every detected mask with "
        "every object's mask. A crowd is a region that holds many objects; over it "
        "counts which part of the detection lies inside."
    ),
    hints=(
        "`a & b` of two boolean masks is their intersection, `a | b` their union; the "
        "sum of a mask is its area.",
        "For a crowd divide by the area of the detection. Where nothing is shared the "
        "value is 0, so divide only where something is.",
    ),
    solution=mask_iou,
    laws=(
        Law("The values are those of the specification.", some_masks(), specified),
        Law(
            "Without crowds it does not matter which masks come first.",
            some_masks(crowds=False),
            specified,
            got=lambda f, found, objects, crowd: np.transpose(
                np.asarray(f(objects, found, np.zeros(len(found), bool)))
            ),
        ),
    ),
    mistakes=(
        Mistake(
            "intersection over sum",
            "you divided by the sum of the areas, in which the intersection is "
            "contained twice: subtract it once.",
            {"np.sum(a | b)": "np.sum(a) + np.sum(b)"},
        ),
        Mistake(
            "Dice",
            "you computed the Dice coefficient, 2 I / (A + B); IoU is I / (A + B - I).",
            {"np.sum(a | b)": "(np.sum(a) + np.sum(b)) / 2"},
        ),
        Mistake(
            "boxes",
            "you took the boxes around the masks; the pixels count.",
            """
            def box(mask):
                rows, columns = np.nonzero(mask)
                filled = np.zeros(mask.shape, bool)
                if len(rows):
                    filled[rows.min() : rows.max() + 1,
                           columns.min() : columns.max() + 1] = True
                return filled

            iou = np.zeros((len(found), len(objects)))
            for i in range(len(found)):
                for j in range(len(objects)):
                    a, b = box(found[i]), box(objects[j])
                    shared = np.sum(a & b)
                    whole = np.sum(a) if crowd[j] else np.sum(a | b)
                    if shared > 0:
                        iou[i, j] = shared / whole
            return iou
            """,
        ),
        Mistake(
            "no crowds",
            "you divided by the union for a crowd too; there the detection's own area "
            "counts.",
            {"np.sum(a) if crowd[j] else ": ""},
        ),
        Mistake(
            "area of the crowd",
            "you divided by the crowd's area; a small detection inside of a crowd has "
            "the value 1.",
            {"np.sum(a) if": "np.sum(b) if"},
        ),
        Mistake(
            "own area always",
            "you divided by the detection's area for every object: only a crowd is "
            "treated so.",
            {" if crowd[j] else np.sum(a | b)": ""},
        ),
        Mistake(
            "area of the object",
            "you divided by the object's area: that is the part of the object that was "
            "found, and a detection of the whole image would have 1.",
            {"np.sum(a | b)": "np.sum(b)"},
        ),
        Mistake(
            "agreeing pixels",
            "you counted the pixels in which the two masks agree, the empty ones too; "
            "IoU looks at the objects alone.",
            {"np.sum(a & b)": "np.sum(a == b)", "np.sum(a | b)": "a.size"},
        ),
        Mistake(
            "only the intersection",
            "you returned the number of shared pixels; divide it by the union.",
            {" / whole": ""},
        ),
        Mistake(
            "empty masks",
            "you divided 0 by 0: masks that share no pixel have 0.",
            {"shared > 0": "True"},
        ),
        Mistake(
            "rows for columns",
            "you gave the objects the rows; the first index is the detection.",
            {"return iou": "return iou.T"},
        ),
    ),
    draw=draw_masks,
)
