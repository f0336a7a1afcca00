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
# # 8 The Region Proposal Network
#
# Mask R-CNN looks closely at about a thousand boxes of an image. Which ones? The Region
# Proposal Network (RPN) asks two questions of every anchor: is there an object, and
# how has the anchor to move to hold it? This chapter is about how it learns the
# answers, and how answers become proposals.
#
# **After this chapter you can**
#
# - say which anchors are positive, negative and ignored, ties and weak objects
#   included;
# - draw the anchors that an image is learned from;
# - compute both losses of the RPN, for every choice of beta in use;
# - turn the RPN's output into proposals, in the right order of steps.
#
# **Before:** chapter 4, 5, 6, 7.
# **Minutes:** 130, of which 70 for the exercises.

# %%
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import torch

from maskrcnn_scratch import ops
from maskrcnn_scratch.data import generate_shapes
from maskrcnn_scratch.figures.matching import draw_matching
from maskrcnn_scratch.figures.proposals import draw_proposals
from maskrcnn_scratch.figures.smooth_l1 import draw_smooth_l1
from maskrcnn_scratch.learning import check, exercise, hint, show
from maskrcnn_scratch.models.presets import PAPER
from maskrcnn_scratch.models.rpn import RPN
from maskrcnn_scratch.reference.boxes import clip_boxes, decode_boxes, encode_boxes
from maskrcnn_scratch.reference.losses import (
    binary_cross_entropy,
    objectness_loss,
    smooth_l1,
    softmax_cross_entropy,
)
from maskrcnn_scratch.reference.matching import BACKGROUND, IGNORED, match, sample
from maskrcnn_scratch.reference.nms import segmented_nms
from maskrcnn_scratch.weights.lesson import lesson_model

# %% [markdown]
# ## The network
#
# A 3x3 convolution, and two 1x1 convolutions beside each other: one number an anchor
# for *is there an object*, four for *how to move*. The same weights serve all levels of
# the pyramid, since every level's anchors have the same size in cells.

# %%
show(RPN.forward)

# %% [markdown]
# An image of 1024 x 1024 pixels has P2 to P6 of 256, 128, 64, 32 and 16 cells a side,
# and 3 anchors a cell:
#
# $$3\,(256^2 + 128^2 + 64^2 + 32^2 + 16^2) = 261{,}888$$

# %%
with torch.device("meta"):  # shapes without numbers, as in chapter 7
    rpn = RPN(PAPER, 256)
    maps = {
        level: torch.empty(1, 256, 1024 // 2**level, 1024 // 2**level)
        for level in PAPER.anchor_levels
    }
    logits, deltas = rpn(maps)
assert sum(len(one) for one in rpn.anchors(maps)) == 261_888
assert torch.cat(logits, dim=1).shape == (1, 261_888)
assert torch.cat(deltas, dim=1).shape == (1, 261_888, 4)
assert 3 * sum((1024 // 2**level) ** 2 for level in range(2, 7)) == 261_888

# %% [markdown]
# ### One logit or two
#
# Some write-ups give the output as [1, 261888, 2]: one logit for background, one for
# object, and a softmax. That is the original Faster R-CNN and matterport's code. The
# FPN systems have one logit and a sigmoid. Both say the same, because the softmax of
# two logits depends on their difference alone:
#
# $$\frac{e^{b}}{e^{a} + e^{b}} = \frac{1}{1 + e^{-(b - a)}}$$
#
# and with it the loss. Two logits cost twice the output and add nothing.

# %%
two = np.array([[0.5, 2.0], [1.0, -3.0], [40.0, 40.0]])
difference = two[:, 1] - two[:, 0]
softmax = np.exp(two[:, 1]) / np.exp(two).sum(axis=1)
assert np.allclose(softmax, 1 / (1 + np.exp(-difference)))
labels = np.array([1, 0, 1])
of_softmax, _ = softmax_cross_entropy(two, labels)
of_sigmoid, _ = objectness_loss(difference, labels)
assert np.isclose(of_softmax, of_sigmoid)

# %% [markdown]
# ## Matching: what an anchor has to say
#
# Nobody labels anchors. Their labels follow from the objects, by IoU:
#
# - **positive** with an IoU of at least 0.7;
# - **negative** (background) below 0.3 with every object;
# - **ignored** between: too good to be called background, too bad to learn a box from.
#
# Some objects have no anchor of 0.7, because they are small, or long, or lie between
# the anchors. So a second rule: the best anchors of every object are positive too,
# however low their IoU, *all* of those that tie. In code these are the *low-quality
# matches*.

# %%
show(match)

# %% [markdown]
# A table to follow by hand: two objects (rows), six anchors (columns).
#
# - Anchor 0 is positive for object 0, anchor 1 is ignored, anchor 2 background.
# - Object 1 has no anchor of 0.7. Its best are anchors 3 and 4, which tie at 0.5.
# - Anchor 3 overlaps object 0 even more (0.6), so it learns **its own** object 0. That
#   is what all published systems do. Here anchor 4 is left for object 1; without it,
#   object 1 would have no anchor at all.

# %%
iou = np.array(
    [
        [0.8, 0.5, 0.1, 0.6, 0.0, 0.2],
        [0.0, 0.0, 0.2, 0.5, 0.5, 0.0],
    ]
)
matched = match(iou, high=0.7, low=0.3, allow_low_quality=True)
assert matched.tolist() == [0, IGNORED, BACKGROUND, 0, 1, BACKGROUND]
strict = match(iou, high=0.7, low=0.3, allow_low_quality=False)
assert strict.tolist() == [0, IGNORED, BACKGROUND, IGNORED, IGNORED, BACKGROUND]
assert match(iou[:0], 0.7, 0.3, True).tolist() == [BACKGROUND] * 6  # no object

# %% [markdown]
# The limits belong to positive and to ignored: 0.7 is positive, 0.3 is ignored.
# Write-ups that say "more than 0.7" differ where an IoU is met exactly.

# %%
assert match(np.array([[0.7, 0.3, 1.0]]), 0.7, 0.3, False).tolist() == [0, IGNORED, 0]

# %% [markdown]
# ## An image, and the anchors on it
#
# From here on a small trained model is at work. It comes with the package, knows
# generated shapes, and sees images of 128 x 128 pixels with anchors of 16 to 256
# pixels. The image is not one that it was trained on.

# %%
model, class_names = lesson_model("shapes")
image, target = generate_shapes(8, seed=8)[7]
objects = target.boxes.double().numpy()
pixels = (image * 255).byte().permute(1, 2, 0).numpy()
with torch.no_grad():
    maps = model.feature_maps(model.batch([image]))
    anchors = model.rpn.anchors(maps)
    logits, deltas = model.rpn(maps)
every_anchor = torch.cat(anchors).double().numpy()
assert [len(one) for one in anchors] == [3 * (128 // 2**k) ** 2 for k in range(2, 7)]
assert len(every_anchor) == 4092

# %%
figure, axes = plt.subplots(1, 2, figsize=(8.5, 5.2), layout="constrained")
told = draw_matching(axes[0], (128, 128), objects, every_anchor, kinds=["positive"])
axes[0].set_title("six objects, and their positive anchors")
shown = ("positive", "ignored")
one = draw_matching(axes[1], (128, 128), objects[5:], every_anchor, kinds=shown)
axes[1].set_title("one of them, and what it makes ignored")
positive, ignored, negative = (
    told.of_kind(kind) for kind in ("positive", "ignored", "negative")
)
assert len(positive) + len(ignored) + len(negative) == 4092
assert (len(positive), len(ignored), len(negative)) == (7, 287, 3798)
assert set(told.matched[positive].tolist()) == set(range(len(objects)))

# %% [markdown]
# Six objects have 7 positive anchors among 4092. By the first rule alone there would be
# fewer, and some objects would not be learned:

# %%
by_rule_one = (told.iou.max(axis=0) >= 0.7).sum()
weak = np.flatnonzero(told.iou.max(axis=1) < 0.7)
print(f"{by_rule_one} anchors reach 0.7; objects {weak.tolist()} have none of them")
assert by_rule_one == 3
assert len(weak) > 0

# %% [markdown]
# ## Sampling
#
# Learned from all anchors, "never an object" would be right 99.8 times of 100. So the
# RPN learns from a random **sample of 256 anchors an image, at most half of them
# positive**. Where positives are missing, and they nearly always are, negatives take
# their places. Ignored anchors are never drawn.

# %%
show(sample)

# %%
rng = np.random.default_rng(0)
few = np.array([0] * 5 + [BACKGROUND] * 1000 + [IGNORED] * 50)
drawn = sample(few, count=256, positive_fraction=0.5, rng=rng)
assert [len(one) for one in drawn] == [5, 251]
many = np.array([0] * 500 + [BACKGROUND] * 1000)
assert [len(one) for one in sample(many, 256, 0.5, rng)] == [128, 128]
tiny = np.array([0] * 500 + [BACKGROUND] * 10)
assert [len(one) for one in sample(tiny, 256, 0.5, rng)] == [128, 10]

# %% [markdown]
# ## The two losses
#
# **Objectness.** With $p = \sigma(x)$ the probability that the logit $x$ stands for,
# and $t = 1$ for a positive, $t = 0$ for a negative anchor, the binary cross-entropy is
#
# $$L = -t \log p - (1 - t) \log (1 - p), \qquad \frac{\partial L}{\partial x} = p - t$$
#
# Not as it stands: for $x = -1000$ the exponential overflows or $\log 0$ appears. With
# $-\log p = \log(1 + e^{-x})$ and a function that computes $\log(e^0 + e^y)$ safely, no
# logit is too large.

# %%
x = np.array([0.0, 2.0, -1000.0])
loss, slope = binary_cross_entropy(x, np.array([1.0, 0.0, 1.0]))
assert np.isclose(loss[0], np.log(2))  # p = 1/2: a coin
assert np.isclose(loss[1], -np.log(1 - 1 / (1 + np.exp(-2))))
assert loss[2] == 1000
assert np.allclose(slope, [0.5 - 1, 1 / (1 + np.exp(-2)), 0 - 1])
with np.errstate(over="ignore", divide="ignore"):
    assert -np.log(1 / (1 + np.exp(1000.0))) == np.inf  # the formula as it stands

# %% [markdown]
# **Box.** For positive anchors alone, the four deltas of chapter 4 are compared with
# those that lead to the object, by smooth-L1 of the difference $d$:
#
# $$\mathrm{smooth}_{L_1}(d) = \begin{cases} d^2 / (2 \beta) & |d| < \beta \\
# |d| - \beta / 2 & \text{otherwise} \end{cases}$$
#
# Its slope never exceeds 1, so that one wild anchor cannot rule a step. Papers and
# write-ups put the switch at $\beta = 1$, with which matterport trains; torchvision has
# 1/9, and detectron2 0, which is plain L1. With 0 a careless parabola divides
# by zero.

# %%
figure, axes = plt.subplots(1, 2, figsize=(8.5, 3.2), layout="constrained")
curves = draw_smooth_l1(*axes)
assert curves.loss.keys() == {1, 1 / 9, 0}
assert np.array_equal(curves.loss[0], np.abs(curves.d))
for beta in (1, 1 / 9):
    far = np.abs(curves.d) >= beta
    assert np.allclose(curves.loss[beta][far], np.abs(curves.d[far]) - beta / 2)
    assert np.allclose(curves.loss[beta][~far], curves.d[~far] ** 2 / (2 * beta))
    assert np.abs(curves.slope[beta]).max() == 1
zero = np.zeros(1)
assert smooth_l1(zero, zero, beta=0)[0] == 0
assert smooth_l1(zero + 1, zero, beta=1)[0] == 1 / 2  # where the pieces meet
assert smooth_l1(zero + 3, zero, beta=1)[0] == 3 - 1 / 2

# %% [markdown]
# **What they are divided by.** With $N$ sampled anchors, $p_i$ and $t_i$ as above,
# $d_i$ the four differences of anchor $i$:
#
# $$L = \frac1N \sum_i L_{\mathrm{obj}}(p_i, t_i) +
# \frac1N \sum_i t_i\, \mathrm{smooth}_{L_1}(d_i)$$
#
# Both have the **same** $N$, the sampled anchors, not the positives. So a box weighs
# the same in an image with one positive anchor as in one with many. Systems differ
# here: detectron2 divides by the nominal 256 even where fewer were drawn, matterport
# takes the mean over the positives. Ren et al. divide the boxes by the number of cells,
# about 2400, and multiply by 10: nearly the same as 256.
#
# The package's loss of our image, once by the model and once by the reference, on the
# same sample:

# %%
config = model.config
with torch.no_grad():
    generator = torch.Generator().manual_seed(1)
    terms = model.rpn.losses(anchors, logits, deltas, [target], [generator])
of_model = {name: float(term.total / term.number) for name, term in terms.items()}

generator = torch.Generator().manual_seed(1)
rows, is_positive, valid = ops.sample(
    torch.tensor(told.matched), config.rpn_samples, 0.5, generator
)
rows, is_positive = rows.numpy(), is_positive.numpy()
assert (len(rows), is_positive.sum()) == (64, 7)  # this model samples 64
x = torch.cat(logits, dim=1)[0].double().numpy()
d = torch.cat(deltas, dim=1)[0].double().numpy()
own = rows[is_positive]
goals = encode_boxes(every_anchor[own], objects[told.matched[own]])
by_hand = {
    "rpn_objectness": objectness_loss(x[rows], is_positive.astype(int))[0],
    "rpn_box": smooth_l1(d[own], goals, beta=1 / 9)[0] / len(rows),
}
print(by_hand)
for name, value in by_hand.items():
    assert np.isclose(value, of_model[name], rtol=1e-4)

# %% [markdown]
# ## Proposals
#
# After training, the output becomes a list of boxes. The order of the steps matters:
#
# 1. On each level the **best-scored** anchors: 1000 (in training 2000).
# 2. **Decode**: move each by its deltas.
# 3. **Clip** to the image, and drop boxes without width or height.
# 4. **NMS** with IoU 0.7, each level for itself.
# 5. Of all levels together the **best** 1000.
#
# No threshold on the score: proposals are the best there are. Sorting logits or
# probabilities is the same, since the sigmoid rises everywhere.
#
# The small model takes 200 and 100. Here are the steps with the reference, and the
# result is the model's:

# %%
boxes, scores, levels = [], [], []
for level, (anchor, logit, delta) in enumerate(
    zip(anchors, logits, deltas, strict=True)
):
    score = logit[0].double().numpy()
    best = np.argsort(-score, kind="stable")[: config.rpn_pre_nms_test]
    moved = decode_boxes(anchor.double().numpy()[best], delta[0].double().numpy()[best])
    clipped = clip_boxes(moved, (128, 128))
    large = (clipped[:, 2:] > clipped[:, :2]).all(axis=1)
    boxes.append(clipped[large])
    scores.append(score[best][large])
    levels.append(np.full(large.sum(), level))
boxes, scores, levels = (np.concatenate(x) for x in (boxes, scores, levels))
kept = segmented_nms(boxes, scores, levels, config.rpn_nms_iou)
proposals = boxes[kept[: config.rpn_post_nms_test]]

sizes = torch.tensor([[128.0, 128.0]])
(of_model,) = model.rpn.propose(anchors, logits, deltas, sizes)
assert len(proposals) == len(of_model.boxes) == 100
assert np.allclose(proposals, of_model.boxes.numpy(), atol=1e-3)
print(f"4092 anchors, {len(boxes)} enter NMS, {len(kept)} survive, 100 remain")

# %%
figure, axes = plt.subplots(1, 3, figsize=(9.5, 3.5), layout="constrained")
for panel, count in zip(axes, (5, 20, 100), strict=True):
    shown = draw_proposals(panel, pixels, objects, proposals[:count])
assert len(shown.found) == len(objects)

# %% [markdown]
# A few proposals hold the obvious objects; the others have to wait for lower ranks. The
# hundredth proposal costs little and may be the only one on some object: this is why
# proposals are many, and why NMS is generous here (0.7) and strict on detections (0.5).
# How much of an object is held by the best proposal, from 0 to 1:

# %%
print(np.round(shown.iou, 2))
assert (shown.iou >= 0.5).all()

# %% [markdown]
# In the paper's setting the heads see 1000 proposals, each read to 256 x 7 x 7
# features, and nothing of the RPN's ranking is used again: the box head of chapter 9
# gives new scores and moves the boxes once more.

# %%
assert (PAPER.rpn_pre_nms_test, PAPER.rpn_post_nms_test) == (1000, 1000)
assert (PAPER.rpn_pre_nms_train, PAPER.rpn_post_nms_train) == (2000, 2000)
assert (PAPER.rpn_samples, PAPER.rpn_positive_fraction) == (256, 0.5)
with torch.device("meta"):
    wide = RPN(replace(PAPER, rpn_objectness="softmax"), 256)
assert wide.objectness.out_channels == 2 * rpn.objectness.out_channels == 6

# %% [markdown]
# ## Exercises
#
# Matching, sampling, the box loss, and the way from the output to proposals.

# %% exercise="ex08_1"
exercise("ex08_1")

# %% exercise="ex08_2"
exercise("ex08_2")

# %% exercise="ex08_3"
exercise("ex08_3")

# %% exercise="ex08_4"
exercise("ex08_4")

# %% [markdown]
# ## Summary
#
# - For every anchor one logit and four deltas; two logits with softmax say the same.
# - Positive from IoU 0.7 and where best for an object, negative below 0.3, the rest
#   ignored. An anchor that is best for one object keeps its own.
# - 256 anchors an image are learned from, at most half of them positive.
# - Binary cross-entropy of all sampled, smooth-L1 of the positives, both over the
#   number sampled. Beta is 1, 1/9 or 0.
# - Best-scored, decode, clip, drop empty boxes, NMS a level, best of all.
#
# ## To read
#
# - Ren et al., *Faster R-CNN*, 2015, sections 3.1.2 and 3.1.3, equation 1.
# - Lin et al., *Feature Pyramid Networks*, 2017, section 4.1.
# - Girshick, *Fast R-CNN*, 2015, equation 3.
# - `maskrcnn_scratch/models/rpn.py`, `reference/matching.py`, `reference/losses.py`.
