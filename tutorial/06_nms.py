# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 6 Non-maximum suppression
#
# Around an object dozens of anchors are moved onto it, each with a score. One box an
# object is wanted. Non-maximum suppression (**NMS**) keeps the best and drops those
# that overlap it too much. Mask R-CNN uses it twice: on proposals, and on detections.
#
# **After this chapter you can**
#
# - run greedy NMS by hand, with ties and with overlaps of exactly the threshold;
# - say why a dropped box drops no other, and what changes if it does;
# - suppress within classes, and say when the trick with offsets goes wrong;
# - say which objects NMS loses, and what it costs.
#
# **Before:** chapter 4.
# **Minutes:** 95, of which 50 for the exercises.

# %%
import numpy as np

from maskrcnn_scratch.figures.interactive import suppress_boxes
from maskrcnn_scratch.figures.interactive.suppression import BOXES
from maskrcnn_scratch.figures.nms import draw_nms
from maskrcnn_scratch.learning import check, exercise, hint, show
from maskrcnn_scratch.reference.boxes import box_iou
from maskrcnn_scratch.reference.nms import by_falling_score, nms, segmented_nms

# %% [markdown]
# ## The greedy rule
#
# Sort the boxes by falling score. Take the best: it is kept. Drop each remaining box
# whose IoU with it is greater than the threshold $t$. Of what is left take the best,
# and so on. So a box $b$ is kept exactly if
#
# $$\mathrm{IoU}(b, k) \le t \quad \text{for each kept } k \text{ of better score}$$
#
# Five boxes, two objects, $t = 0.5$:

# %%
boxes = np.array(
    [
        [0, 0, 40, 40],
        [5, 5, 45, 45],
        [10, 10, 50, 50],
        [60, 20, 92, 52],
        [64, 18, 96, 50],
    ],
    float,
)
scores = np.array([0.9, 0.8, 0.7, 0.6, 0.95])
figure, steps = draw_nms(boxes, scores, 0.5)
show(figure)

# %%
assert [step.keeps for step in steps] == [4, 0, 2]
assert [list(step.dropped) for step in steps] == [[3], [1], []]
assert steps[1].dropped[1] == 35**2 / (2 * 40**2 - 35**2)  # 35 x 35 pixels shared
assert nms(boxes, scores, 0.5).tolist() == [4, 0, 2]

# %% [markdown]
# The result lists indices by falling score: `kept[:100]` are the best 100. The whole of
# it:

# %%
show(nms, by_falling_score)

# %% [markdown]
# ## Four details
#
# ### A dropped box drops no other
#
# Look at the boxes 0, 1, 2 above. Box 1 overlaps box 2 by 0.62, more than the
# threshold, and its score is better. But box 0 had dropped it before. So box 2 stays.

# %%
iou = box_iou(boxes, boxes)
assert iou[0, 1] > 0.5
assert iou[1, 2] == 35**2 / (2 * 40**2 - 35**2) > 0.5
assert iou[0, 2] == 30**2 / (2 * 40**2 - 30**2) < 0.5

# %% [markdown]
# It would be faster to compare all pairs at once, and drop each box that *any* better
# box overlaps. Some systems do that (YOLACT calls it Fast NMS). It is another rule: a
# chain of boxes, each overlapping the next, falls to its first member.

# %%
order = by_falling_score(scores)
better = np.triu(iou[np.ix_(order, order)], k=1)  # row: the better box
all_pairs = order[better.max(axis=0) <= 0.5]
assert all_pairs.tolist() == [4, 0]

# %% [markdown]
# ### Exactly at the threshold
#
# A box is dropped if its IoU is *strictly* greater than the threshold. Chapter 4 had a
# box with an IoU of exactly 0.5, shifted by a third of its side. It stays.

# %%
pair = np.array([[0.0, 0, 6, 6], [2, 0, 8, 6]])
assert box_iou(pair[:1], pair[1:]) == 0.5
assert nms(pair, np.array([0.9, 0.8]), 0.5).tolist() == [0, 1]
assert nms(pair, np.array([0.9, 0.8]), 0.4999).tolist() == [0]

# %% [markdown]
# ### Ties
#
# Of equal scores the lower index comes first. Which rule it is hardly matters, but that
# there is one does: scores in half precision tie often, and without a rule the CPU and
# the GPU keep different boxes. Sorting upwards and reversing, `argsort(scores)[::-1]`,
# is *not* this rule: it puts the later one first.

# %%
ties = np.array([0.5, 0.5, 0.5])
assert by_falling_score(ties).tolist() == [0, 1, 2]
assert np.argsort(ties, kind="stable")[::-1].tolist() == [2, 1, 0]

# %% [markdown]
# ### Only the order of scores counts
#
# NMS compares scores and does nothing else with them. Logits and their sigmoids give
# the same boxes, so the RPN need not apply its sigmoid first. And NMS of its own result
# changes nothing.

# %%
logits = np.log(scores / (1 - scores))
assert np.array_equal(nms(boxes, logits, 0.5), nms(boxes, scores, 0.5))
kept = nms(boxes, scores, 0.5)
assert nms(boxes[kept], scores[kept], 0.5).tolist() == list(range(len(kept)))

# %% [markdown]
# ## The threshold
#
# Move the threshold, and watch which boxes stay. Box 2 overlaps box 1 by more than one
# half, yet 1 never drops it at 0.5.

# %%
told = suppress_boxes(threshold=0.5)
assert told.kept == (0, 2, 4, 6, 7)
assert told.dropped_by == {1: 0, 3: 0, 5: 4}
assert box_iou(BOXES[1:2], BOXES[2:3]) > 0.5
assert told.iou[2] < 0.5  # the largest with a kept box of better score

# %% [markdown]
# Box 7 lies within box 0 and stays: it is small, so its IoU is small. NMS does not know
# that one box contains another.
#
# ### What is lost in a crowd
#
# Two people, one half behind the other: their true boxes may overlap by more than 0.5.
# Then NMS at 0.5 loses one of them, however good the network is. With a higher
# threshold both stay, and with them doubles of everybody else.
#
# Below stand 20 pairs of objects of 40 x 80 pixels, side by side at distances from 6 to
# 34.5 pixels. Each object has five boxes, with errors of 3 pixels and random scores.
# **Lost** is an object of which no box is kept, **extra** a second box of one object.

# %%
rng = np.random.default_rng(0)
distance = np.arange(6, 36, 1.5)[:, None]
place = 300 * np.arange(len(distance))[:, None]
first = np.array([[0.0, 0, 40, 80]]) + place * [1, 0, 1, 0]
objects = np.concatenate([first, first + distance * [1, 0, 1, 0]])
owner = np.repeat(np.arange(len(objects)), 5)
found = objects[owner] + rng.normal(0, 3, (len(owner), 4))
found_scores = rng.uniform(0.5, 1, len(owner))
lost, extra = {}, {}
for threshold in (0.3, 0.5, 0.6, 0.7, 0.8):
    survivors = owner[nms(found, found_scores, threshold)]
    lost[threshold] = len(objects) - len(np.unique(survivors))
    extra[threshold] = len(survivors) - len(np.unique(survivors))
    print(f"{threshold}: lost {lost[threshold]}, extra {extra[threshold]}")
assert list(lost.values()) == sorted(lost.values(), reverse=True)
assert list(extra.values()) == sorted(extra.values())
assert lost[0.5] > 0 == extra[0.5]
assert lost[0.7] == 0 < extra[0.7]

# %% [markdown]
# No threshold is right for both. Mask R-CNN chooses by what comes next. For
# **proposals** a double is harmless, since the box head looks at each one again, and a
# lost object is lost for good: 0.7. For **detections** a double is a false positive:
# 0.5. (One much-read implementation takes 0.3.) After this second NMS the mask branch
# runs, on the best 100 boxes only.
#
# ## Each class by itself
#
# A rider and a horse may well overlap by more than a half. So detections are suppressed
# within each class. The RPN has no classes; it suppresses within each level of the
# pyramid. Both are the same function, with a number for each box that says which group
# it belongs to.

# %%
show(segmented_nms)

# %%
rider_and_horse = np.array([[10.0, 0, 50, 60], [8, 10, 56, 64], [12, 2, 52, 62]])
sure = np.array([0.9, 0.8, 0.7])
person, horse = 1, 2
classes = np.array([person, horse, person])
assert box_iou(rider_and_horse[:1], rider_and_horse[1:2]) > 0.5
assert nms(rider_and_horse, sure, 0.5).tolist() == [0]
assert segmented_nms(rider_and_horse, sure, classes, 0.5).tolist() == [0, 1]

# %% [markdown]
# ### The trick with offsets
#
# Many libraries call plain NMS once, after moving the classes apart: each box goes $c\,
# (m + 1)$ to the right and down, where $c$ is its class and $m$ the largest coordinate.
# Boxes of different classes then never touch, and the IoU within a class is as before.

# %%
offsets = classes[:, None] * (rider_and_horse.max() + 1)
assert nms(rider_and_horse + offsets, sure, 0.5).tolist() == [0, 1]

# %% [markdown]
# As before in exact arithmetic. In float32 a coordinate near 120,000 (class 90 of an
# image of 1333 pixels) is a multiple of 1/128. The box below is shifted by a little
# less than a third of its side, so its IoU is above 0.5 and it must go. Moved away, its
# coordinates are rounded, the IoU becomes 0.5, and it stays.

# %%
close = np.array([[0, 0, 6, 6], [2 - 1 / 512, 0, 8 - 1 / 512, 6]], np.float32)
assert box_iou(close[:1], close[1:]) > 0.5
two = np.array([0.9, 0.8])
assert nms(close, two, 0.5).tolist() == [0]
far = close + np.float32(90 * 1334)
assert far.dtype == np.float32
assert np.spacing(far[0, 0]) == 1 / 128
assert nms(far, two, 0.5).tolist() == [0, 1]

# %% [markdown]
# Not a disaster, but a difference between two correct-looking programs that is hard to
# find. This project passes the groups along as whole numbers and moves nothing.
#
# ## What it costs
#
# Each box is compared with the boxes kept before it. If all $n$ boxes stand on one
# object, that is $n - 1$ comparisons. If none overlap, all are kept:
#
# $$0 + 1 + \dots + (n - 1) = \frac{n (n - 1)}{2}$$

# %%


def comparisons(boxes: np.ndarray, threshold: float) -> int:
    """How many IoUs NMS looks at, the boxes being sorted by falling score."""
    kept = nms(boxes, -np.arange(len(boxes)), threshold)
    return int(sum(np.sum(kept < candidate) for candidate in range(len(boxes))))


n = 30
apart = np.array([[10.0 * k, 0, 10 * k + 5, 5] for k in range(n)])
assert comparisons(apart, 0.5) == n * (n - 1) / 2 == 435
assert comparisons(apart[:1].repeat(n, axis=0), 0.5) == n - 1

# %% [markdown]
# Level P2 of a 1024 x 1024 image has 196,608 anchors (chapter 5): up to 19 billion
# pairs. So each level first gives its best 1000 or 2000 by score, at most 2 million
# pairs, and NMS runs on these. The compiled versions in `cpu/nms.py` and `cuda/` give
# the same boxes as the loops above. On the CPU kept boxes that are spread out go into a
# grid, so that a box is compared with its neighbours only.

# %%
assert 196_608 * 196_607 // 2 == 19_327_254_528
assert 2000 * 1999 // 2 == 1_999_000

# %% [markdown]
# ## Exercises
#
# The checks draw boxes in a row, with equal scores and with IoUs of exactly one half.

# %% exercise="ex06_1"
exercise("ex06_1")

# %% exercise="ex06_2"
exercise("ex06_2")

# %% exercise="ex06_3"
exercise("ex06_3")

# %% [markdown]
# ## Summary
#
# - Greedy: the best box stays and drops what overlaps it by more than the threshold.
# - Strictly more; ties to the lower index; a dropped box drops nobody.
# - Proposals at 0.7, a level at a time; detections at 0.5, a class at a time.
# - Offsets in place of groups change IoUs near the threshold in float32.
# - Objects that truly overlap by more than the threshold are lost.
# - Quadratic in the worst case, hence the best 1000 or 2000 first.
#
# ## To read
#
# - Ren et al., *Faster R-CNN*, 2015, section 3.3: NMS on proposals.
# - He et al., *Mask R-CNN*, 2017, section 3.1, "Inference".
# - Bodla et al., *Soft-NMS*, 2017: lower the scores and drop nothing.
# - `maskrcnn_scratch/reference/nms.py`, `cpu/nms.py`, `ops/nms.py`.
