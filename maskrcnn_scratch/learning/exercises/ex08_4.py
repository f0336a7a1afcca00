"""Exercise 8.4: from the RPN's output to proposals."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from matplotlib.figure import Figure

from maskrcnn_scratch.figures.proposals import draw_two_lists
from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake
from maskrcnn_scratch.reference.boxes import box_iou, clip_boxes, decode_boxes
from maskrcnn_scratch.reference.nms import nms


def propose(
    anchors: np.ndarray,
    deltas: np.ndarray,
    logits: np.ndarray,
    image_size: tuple[int, int],
    before: int,
    after: int,
) -> np.ndarray:
    """The proposals of one level of one image, best first.

    Args:
        anchors: boxes (x1, y1, x2, y2) in image pixels, (n, 4).
        deltas: predicted for each anchor, (n, 4), as ``decode_boxes`` takes them.
        logits: objectness of each anchor, (n,), no two equal.
        image_size: (height, width) in pixels.
        before: how many of the best-scored anchors go on.
        after: how many proposals remain at most.

    The ``before`` best anchors are moved by their deltas and clipped to the image;
    boxes without width or height are dropped; NMS with an IoU of 0.7 follows; the
    ``after`` best remain. Returns boxes in image pixels, (proposals, 4).
    """
    best = np.argsort(-logits)[:before]
    boxes = decode_boxes(anchors[best], deltas[best])
    boxes = clip_boxes(boxes, image_size)
    scores = logits[best]
    sides = boxes[:, 2:] - boxes[:, :2]
    large = np.all(sides > 0, axis=1)
    boxes, scores = boxes[large], scores[large]
    kept = nms(boxes, scores, 0.7)
    proposals: np.ndarray = boxes[kept[:after]]
    return proposals


@st.composite
def outputs(draw: st.DrawFn) -> Inputs:
    """Anchors of one size near two places of a small image, or beside it, and moves.

    No two boxes overlap by about 0.7, where rounding would decide.
    """
    n = draw(st.integers(2, 6))
    places = st.sampled_from(((4, 4), (5, 4), (4, 5), (12, 13), (24, 4)))
    x, y = np.array(draw(st.lists(places, min_size=n, max_size=n))).T
    anchors = np.stack([x - 4, y - 4, x + 4, y + 4], axis=1).astype(np.float64)
    still, moves = (0.0,) * 4, st.sampled_from((0.0, 0.125, 0.5, -0.5))
    rows = st.just(still) | st.just(still) | st.tuples(*[moves] * 4)
    deltas = np.array(draw(st.lists(rows, min_size=n, max_size=n)))
    order = draw(st.permutations(range(n)))
    case: Inputs = {
        "anchors": anchors,
        "deltas": deltas,
        "logits": np.array(order, np.float64) - draw(st.integers(0, n)),
        "image_size": draw(st.sampled_from(((16, 20), (20, 16)))),
        "before": max(1, n + draw(st.sampled_from((0, 1, -1, -2)))),
        "after": draw(st.sampled_from((2, 3, 5, 1))),
    }
    boxes = clip_boxes(decode_boxes(anchors, deltas), case["image_size"])
    assume((np.abs(box_iou(boxes, boxes) - 0.7) > 1e-3).all())
    return case


def proposals_of(
    anchors: np.ndarray,
    deltas: np.ndarray,
    logits: np.ndarray,
    image_size: tuple[int, int],
    before: int,
    after: int,
) -> np.ndarray:
    """The same anchor by anchor, from the best on."""
    clipped = clip_boxes(decode_boxes(anchors, deltas), image_size)
    ranking = sorted(range(len(logits)), key=lambda i: -logits[i])
    proposals: list[np.ndarray] = []
    for i in ranking[:before]:
        x1, y1, x2, y2 = clipped[i]
        known = np.array(proposals).reshape(-1, 4)
        new = not (box_iou(known, clipped[[i]]) > 0.7).any()
        if x2 > x1 and y2 > y1 and new:
            proposals.append(clipped[i])
    return np.array(proposals).reshape(-1, 4)[:after]


def draw_lists(inputs: Inputs, expected: Any, got: Any) -> Figure:
    """The proposals that are expected, and those that came."""
    return draw_two_lists(inputs["image_size"], expected, np.asarray(got, np.float64))


EXERCISE = Exercise(
    id="ex08_4",
    title="Proposals",
    objective="Turn the RPN's output into a short list of boxes.",
    difficulty=3,
    minutes=20,
    task=(
        "Write `propose(anchors, deltas, logits, image_size, before, after)`: all "
        "steps from the RPN's output to proposals. `clip_boxes`, `decode_boxes` and "
        "`nms` are the package's; they are there already."
    ),
    hints=(
        "`best = np.argsort(-logits)[:before]`: indices, by which anchors, deltas and "
        "logits are all to be chosen.",
        "The order is: choose, decode, clip, drop empty boxes, NMS, cut. Only after "
        "clipping can a box be empty.",
        "`nms(boxes, scores, 0.7)` returns the indices of the survivors, best first; "
        "the first `after` of them are the proposals.",
    ),
    solution=propose,
    imports=(
        "import numpy as np\n\n"
        "from maskrcnn_scratch.reference.boxes import clip_boxes, decode_boxes\n"
        "from maskrcnn_scratch.reference.nms import nms"
    ),
    laws=(
        Law(
            "The proposals are those of the steps.",
            outputs(),
            proposals_of,
        ),
        Law(
            "Another zero point of the logits changes nothing: scores only rank.",
            outputs(),
            expected=proposals_of,
            got=lambda f, **case: f(*(case | {"logits": case["logits"] - 50}).values()),
        ),
    ),
    mistakes=(
        Mistake(
            "background dropped",
            "you dropped anchors with a probability below one half: proposals are the "
            "best that there are, however small their scores.",
            {"[:before]": "[:before]\n    best = best[logits[best] > 0]"},
        ),
        Mistake(
            "all enter NMS",
            "you did not cut to the `before` best anchors at first.",
            {"[:before]": ""},
        ),
        Mistake(
            "the first ones",
            "you took the first `before` anchors, not the best.",
            {"np.argsort(-logits)": "np.arange(len(logits))"},
        ),
        Mistake(
            "worst first",
            "you took the anchors of the lowest scores: sort by falling score.",
            {"-logits": "logits"},
        ),
        Mistake(
            "deltas of others",
            "you moved the chosen anchors by the deltas of the first ones: choose all "
            "three by the same indices.",
            {"deltas[best]": "deltas[: len(best)]"},
        ),
        Mistake(
            "not clipped",
            "you did not clip the boxes to the image.",
            {"    boxes = clip_boxes(boxes, image_size)\n": ""},
        ),
        Mistake(
            "width for height",
            "you clipped with width and height exchanged: sizes are (height, width).",
            {"clip_boxes(boxes, image_size)": "clip_boxes(boxes, image_size[::-1])"},
        ),
        Mistake(
            "empty boxes kept",
            "you kept boxes without area: what lies outside the image is empty once it "
            "is clipped.",
            {"sides > 0": "sides > -1"},
        ),
        Mistake(
            "no NMS",
            "you left NMS out: many anchors land on the same object.",
            {"nms(boxes, scores, 0.7)": "np.argsort(-scores)"},
        ),
        Mistake(
            "half",
            "you ran NMS with 0.5, as for detections: for proposals it is 0.7.",
            {"0.7": "0.5"},
        ),
        Mistake(
            "NMS of anchors",
            "you ran NMS on the anchors: it is for the boxes after they have moved.",
            {"nms(boxes, scores": "nms(anchors[best][large], scores"},
        ),
        Mistake(
            "no last cut",
            "you return all survivors of NMS: `after` of them remain.",
            {"[:after]": ""},
        ),
        Mistake(
            "cut before NMS",
            "you cut to `after` before NMS: the places of boxes that NMS drops then "
            "stay empty.",
            {
                "kept = nms": "boxes, scores = boxes[:after], scores[:after]\n"
                "    kept = nms"
            },
        ),
        Mistake(
            "width and height",
            "you returned widths and heights in place of x2 and y2.",
            {
                "    proposals:": "    boxes[:, 2:] -= boxes[:, :2]\n    proposals:",
            },
        ),
        Mistake(
            "not moved",
            "you returned anchors: they have to be moved by their deltas.",
            {"decode_boxes(anchors[best], deltas[best])": "anchors[best]"},
        ),
    ),
    draw=draw_lists,
)
