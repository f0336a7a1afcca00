"""Exercise 9.3: from the box head's output to detections."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from matplotlib.figure import Figure

from maskrcnn_scratch.figures.detection_steps import Detected, draw_detected
from maskrcnn_scratch.learning.compare import plain
from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake
from maskrcnn_scratch.reference.boxes import box_iou, clip_boxes, decode_boxes
from maskrcnn_scratch.reference.nms import nms, segmented_nms

WEIGHTS = (10.0, 10.0, 5.0, 5.0)
FAR = 1e-3  # from a threshold or a tie, so that rounding decides nothing


def detect(
    logits: np.ndarray, deltas: np.ndarray, rois: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The detections of one image, best score first: boxes, scores, labels.

    Args:
        logits: (n, k + 1), of the background, column 0, and of the classes 1..k.
        deltas: (n, k, 4), a box for each of the classes 1..k, to be decoded from the
            RoI with the weights 10, 10, 5, 5; class c has the place c - 1.
        rois: (n, 4), boxes xyxy in image pixels.
        size: (height, width) of the image in pixels.

    Scores are the softmax over all k + 1 logits. Every class of every RoI whose score
    is greater than 0.05 is a candidate; the background is none. Boxes are clipped to
    the image. NMS within each class drops boxes whose IoU with a better one is greater
    than 0.5. At most the 4 best of the image are kept.

    Returns boxes (d, 4), scores (d,) and labels (d,), 1..k, by falling score.
    """
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    probability = e / e.sum(axis=1, keepdims=True)
    boxes, scores, labels = [], [], []
    for label in range(1, logits.shape[1]):
        score = probability[:, label]
        box = decode_boxes(rois, deltas[:, label - 1], (10.0, 10.0, 5.0, 5.0))
        box = clip_boxes(box, size)
        good = score > 0.05
        box, score = box[good], score[good]
        kept = nms(box, score, 0.5)
        boxes.append(box[kept])
        scores.append(score[kept])
        labels.append(np.full(len(kept), label))
    all_scores = np.concatenate(scores)
    best = np.argsort(-all_scores, kind="stable")[:4]
    return np.concatenate(boxes)[best], all_scores[best], np.concatenate(labels)[best]


@st.composite
def predictions(draw: st.DrawFn) -> Inputs:
    """A few RoIs that overlap, with two or three logits each."""
    n, k = draw(st.integers(1, 4)), draw(st.integers(1, 2))
    logits = draw(whole(n * (k + 1), -3, 3))
    deltas = draw(whole(n * k * 4, -2, 2))
    height, width = draw(st.integers(6, 9)), draw(st.integers(6, 9))
    rois = []
    for _ in range(n):
        x, y, along, down = draw(st.tuples(*[st.integers(0, 3)] * 4))
        rois.append((x, y, x + along + 2, y + down + 2))
    inputs: Inputs = {
        "logits": np.array(logits, np.float64).reshape(n, k + 1),
        "deltas": np.array(deltas, np.float64).reshape(n, k, 4),
        "rois": np.array(rois, np.float64),
        "size": (height, width),
    }
    assume(nothing_is_close(*candidates(**inputs)[:2]))
    return inputs


def whole(count: int, low: int, high: int) -> st.SearchStrategy[list[int]]:
    """``count`` whole numbers."""
    return st.lists(st.integers(low, high), min_size=count, max_size=count)


def candidates(
    logits: np.ndarray, deltas: np.ndarray, rois: np.ndarray, size: tuple[int, int]
) -> Detected:
    """Boxes, scores and labels of every class of every RoI."""
    n, k = deltas.shape[:2]
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    boxes = decode_boxes(rois.repeat(k, axis=0), deltas.reshape(-1, 4), WEIGHTS)
    labels = np.tile(np.arange(1, k + 1), n)
    return clip_boxes(boxes, size), probability[:, 1:].flatten(), labels


def nothing_is_close(boxes: np.ndarray, scores: np.ndarray) -> bool:
    """No ties of scores, no score and no IoU at its threshold."""
    gaps = np.diff(np.sort(np.append(scores, 0.05)))
    iou = box_iou(boxes, boxes)
    return bool(np.all(gaps > FAR) and np.all(np.abs(iou - 0.5) > FAR))


def specified(
    logits: np.ndarray, deltas: np.ndarray, rois: np.ndarray, size: tuple[int, int]
) -> Detected:
    """The specification: all candidates at once, segments for classes."""
    boxes, scores, labels = candidates(logits, deltas, rois, size)
    good = scores > 0.05
    boxes, scores, labels = boxes[good], scores[good], labels[good]
    kept = segmented_nms(boxes, scores, labels, 0.5)[:4]
    return boxes[kept], scores[kept], labels[kept]


def backwards(
    function: Any,
    logits: np.ndarray,
    deltas: np.ndarray,
    rois: np.ndarray,
    size: tuple[int, int],
) -> Any:
    """The detections from the RoIs in the opposite order."""
    return function(logits[::-1].copy(), deltas[::-1].copy(), rois[::-1].copy(), size)


def draw_both(inputs: Inputs, expected: Any, got: Any) -> Figure:
    """The detections that were expected and those that came."""
    boxes, scores, labels = (np.asarray(plain(part), np.float64) for part in got)
    return draw_detected(inputs["size"], expected, (boxes, scores, labels))


EXERCISE = Exercise(
    id="ex09_3",
    title="From scores and boxes to detections",
    objective="Turn the box head's output into detections, in the paper's order.",
    difficulty=3,
    minutes=25,
    task=(
        "Write `detect(logits, deltas, rois, size)`: softmax, decode, clip, threshold, "
        "NMS within each class, the best of the image. `decode_boxes`, `clip_boxes` "
        "and `nms` of the chapters 4 and 6 are imported."
    ),
    hints=(
        "Go through the classes 1..k. Of class c the scores are column c of the "
        "softmax, the deltas are `deltas[:, c - 1]`.",
        "`decode_boxes(rois, deltas, weights)`, `clip_boxes(boxes, size)` and "
        "`nms(boxes, scores, iou_threshold)`, which returns indices by falling score.",
        "Collect boxes, scores and labels of all classes, concatenate, sort by falling "
        "score and take the first 4.",
    ),
    solution=detect,
    laws=(
        Law("The detections are those of the specification.", predictions(), specified),
        Law(
            "The order of the RoIs does not matter.",
            predictions(),
            specified,
            got=backwards,
        ),
    ),
    mistakes=(
        Mistake(
            "background detected",
            "you let the background be a class; its column is for no object.",
            {
                "range(1, logits.shape[1])": "range(logits.shape[1])",
                "deltas[:, label - 1]": "deltas[:, max(label - 1, 0)]",
            },
        ),
        Mistake(
            "sigmoid",
            "you took a sigmoid of each logit: classes and background share one "
            "softmax.",
            {"e / e.sum(axis=1, keepdims=True)": "1 / (1 + np.exp(-logits))"},
        ),
        Mistake(
            "softmax without background",
            "you left the background out of the softmax: then every RoI shows "
            "something.",
            {"e.sum(axis=1, keepdims=True)": "e[:, 1:].sum(axis=1, keepdims=True)"},
        ),
        Mistake(
            "one class a RoI",
            "you kept only the likeliest class of each RoI, as matterport's system "
            "does; every class above the threshold is a candidate.",
            {"score > 0.05": "(score > 0.05) & (logits.argmax(axis=1) == label)"},
        ),
        Mistake(
            "boxes of the next class",
            "you took the boxes of another class: class c has the place c - 1.",
            {"deltas[:, label - 1]": "deltas[:, label % deltas.shape[1]]"},
        ),
        Mistake(
            "no weights",
            "you decoded without the weights: boxes move ten times too far.",
            {"(10.0, 10.0, 5.0, 5.0)": "(1.0, 1.0, 1.0, 1.0)"},
        ),
        Mistake(
            "not clipped",
            "you forgot to clip the boxes to the image.",
            {"clip_boxes(box, size)": "box"},
        ),
        Mistake(
            "width for height",
            "you exchanged height and width when clipping: size is (height, width).",
            {"clip_boxes(box, size)": "clip_boxes(box, size[::-1])"},
        ),
        Mistake(
            "no threshold",
            "you forgot the score threshold of 0.05.",
            {"score > 0.05": "score > 0"},
        ),
        Mistake(
            "no NMS",
            "you forgot non-maximum suppression: one object is detected many times.",
            {"nms(box, score, 0.5)": "np.arange(len(score))"},
        ),
        Mistake(
            "NMS over all classes",
            "you let boxes of different classes drop each other; NMS is for one class.",
            {
                "    return np": "    at = nms(np.concatenate(boxes), all_scores, 0.5)"
                "\n    best = at[:4]\n    return np"
            },
        ),
        Mistake(
            "best of each class",
            "you kept the 4 best of every class; it is 4 of the image.",
            {
                "nms(box, score, 0.5)": "nms(box, score, 0.5)[:4]",
                'kind="stable")[:4]': 'kind="stable")',
            },
        ),
        Mistake(
            "worst first",
            "you sorted by rising score.",
            {"np.argsort(-all_scores": "np.argsort(all_scores"},
        ),
        Mistake(
            "labels from 0",
            "you numbered the classes from 0; labels are 1..k.",
            {"np.full(len(kept), label)": "np.full(len(kept), label - 1)"},
        ),
    ),
    imports=(
        "import numpy as np\n\n"
        "from maskrcnn_scratch.reference.boxes import clip_boxes, decode_boxes\n"
        "from maskrcnn_scratch.reference.nms import nms"
    ),
    draw=draw_both,
)
