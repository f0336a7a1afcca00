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
# # 9 The box head and detections
#
# The RPN proposes boxes that may hold something. The box head looks at each of them
# once more, through RoIAlign, and answers two questions: what is it, and where exactly?
# This chapter is about its two losses, and about the way from its answers to a short
# list of detections.
#
# **After this chapter you can**
#
# - say which tensors go into the box head and come out, and count its parameters;
# - choose the RoIs that it learns from;
# - write both losses, and say which RoIs and which class's box count in them;
# - turn scores and deltas into detections, in the right order.
#
# **Before:** chapter 3, 4, 6, 8.
# **Minutes:** 105, of which 50 for the exercises.

# %%
from dataclasses import replace

import numpy as np
import torch

from maskrcnn_scratch.data import generate_shapes
from maskrcnn_scratch.figures.detection_steps import draw_detection_steps
from maskrcnn_scratch.learning import check, exercise, hint, show
from maskrcnn_scratch.models.box_head import BoxHead
from maskrcnn_scratch.models.mask_rcnn import image_sizes
from maskrcnn_scratch.models.presets import PAPER
from maskrcnn_scratch.models.roi_features import roi_features, to_rois
from maskrcnn_scratch.models.sampling import SampledRoIs
from maskrcnn_scratch.reference.boxes import (
    box_iou,
    clip_boxes,
    decode_boxes,
    encode_boxes,
)
from maskrcnn_scratch.reference.losses import smooth_l1, softmax_cross_entropy
from maskrcnn_scratch.reference.matching import BACKGROUND, match, sample
from maskrcnn_scratch.reference.nms import nms, segmented_nms
from maskrcnn_scratch.weights.lesson import lesson_model

# %% [markdown]
# ## In and out
#
# RoIAlign turns each proposal into 7 x 7 features of 256 channels. With FPN two fully
# connected layers of 1024 follow, then two last layers side by side: **class logits**,
# one for the background and one for each of the $K$ classes, and **deltas**, four for
# each class. Figures for COCO, $K = 80$, and 1000 proposals:

# %%
with torch.device("meta"):  # shapes only: nothing is stored or computed
    head = BoxHead(PAPER, channels=256)
    logits, deltas = head(torch.empty(1000, 256, 7, 7))
assert logits.shape == (1000, 81)
assert deltas.shape == (1000, 80, 4)

# %% [markdown]
# Write-ups of matterport's system give the deltas as (1000, 81, 4): it keeps a box for
# the background too, which nothing ever reads. Detectron2 puts the background's logit
# last, here and in torchvision it is number 0. Almost all parameters are in the first
# layer.

# %%
first = 256 * 7 * 7 * 1024 + 1024
second, last = 1024 * 1024 + 1024, 1024 * (81 + 320) + 81 + 320
assert sum(p.numel() for p in head.parameters()) == first + second + last
print(f"first layer: {first:,} of {first + second + last:,} parameters")
show(BoxHead.predict)

# %% [markdown]
# ## Which RoIs to learn from
#
# An RoI is **positive** if its IoU with an object is at least 0.5, otherwise it is
# background; nothing is ignored. (Some write-ups say "greater than 0.5". The paper says
# "at least". It rarely matters, but here is a RoI with exactly 0.5.) The rule is that
# of chapter 8, with one threshold for both borders.

# %%
objects = np.array([[0.0, 0.0, 10.0, 10.0], [20.0, 0.0, 30.0, 10.0]])
rois = np.array(
    [[0, 0, 10, 5], [0, 0, 10, 4.5], [21, 0, 31, 10], [40, 40, 50, 50]], np.float64
)
iou = box_iou(objects, rois)
assert iou[0, 0] == 0.5
matched = match(iou, high=0.5, low=0.5, allow_low_quality=False)
assert matched.tolist() == [0, BACKGROUND, 1, BACKGROUND]

# %% [markdown]
# Of all proposals of an image 512 are drawn (64 with a C4 backbone), positives to
# background as 1 : 3. So at most 128 are positive. In most images there are fewer, and
# background takes their places. The objects' own boxes join the proposals, so that
# there are positives even while the RPN knows nothing yet.

# %%
rng = np.random.default_rng(0)
many = rng.choice([0, 1, BACKGROUND], size=2000, p=[0.1, 0.1, 0.8])
positives, negatives = sample(many, count=512, positive_fraction=1 / 4, rng=rng)
assert (len(positives), len(negatives)) == (128, 384)
few = np.where(np.arange(2000) < 20, 0, BACKGROUND)
positives, negatives = sample(few, count=512, positive_fraction=1 / 4, rng=rng)
assert (len(positives), len(negatives)) == (20, 492)

# %% [markdown]
# ## The loss of the class
#
# The $K + 1$ logits $x$ of a RoI become probabilities that sum to 1, and the loss is
# minus the logarithm of the true class's one:
#
# $$p_c = \frac{e^{x_c}}{\sum_j e^{x_j}} \qquad L_{cls} = -\log p_u
# \qquad \frac{\partial L_{cls}}{\partial x_c} = p_c - [c = u]$$
#
# Logits of $\log 1$, $\log 2$ and $\log 5$ are probabilities of 1/8, 2/8 and 5/8.

# %%
x = np.log([[1.0, 2.0, 5.0]])
loss, gradient = softmax_cross_entropy(x, np.array([1]))
assert np.isclose(loss, -np.log(2 / 8))
assert np.allclose(gradient, [[1 / 8, 2 / 8 - 1, 5 / 8]])
assert np.isclose(gradient.sum(), 0)  # classes compete: what one gains, others lose
show(softmax_cross_entropy)

# %% [markdown]
# Here classes **should** compete: an RoI holds one thing. The mask head, in the next
# chapter, does it the other way.
#
# Code that takes the exponentials first fails: $e^{1000}$ is no number. A softmax does
# not change when the same number is taken from all logits, so take the greatest.

# %%
with np.errstate(over="ignore"):
    assert np.isinf(np.exp(1000.0))
loss, _ = softmax_cross_entropy(np.array([[1000.0, 0.0]]), np.array([1]))
assert loss == 1000

# %% [markdown]
# ## The loss of the box
#
# The head predicts a box for every class. Only that of the true class $u$ is asked to
# be right, and only where there is an object, $u \geq 1$:
#
# $$L_{box} = \frac{1}{N} \sum_{i:\, u_i \geq 1}\; \sum_{j \in \{x, y, w, h\}}
# \text{smooth}_{L_1}\!\left(t^{u_i}_{ij} - v_{ij}\right)$$
#
# Smooth-L1 is $d^2 / 2$ within 1 and $|d| - 1/2$ beyond (chapter 8). $N$ counts **all
# sampled RoIs**, background too. Divided by the positives alone, an image with one
# positive would give that one as much weight as another image gives to its hundred.
#
# Three RoIs, two classes. The first is of class 2, the second background, the third of
# class 1.

# %%
labels = np.array([2, 0, 1])
deltas = np.zeros((3, 2, 4))
deltas[0, 1] = [0.5, 0, 0, 0]  # class 2, as asked: off by 1/2 in x
deltas[0, 0] = [9, 9, 9, 9]  # class 1 of the same RoI: counts for nothing
deltas[1] = 7  # background: no box counts
deltas[2, 0] = [0, 0, 3, 0]  # class 1: off by 3 in the width
goals = np.zeros((3, 4))

positive = np.flatnonzero(labels)
own = deltas[positive, labels[positive] - 1]
total, gradient = smooth_l1(own, goals[positive], beta=1.0)
assert total == 0.5**2 / 2 + (3 - 1 / 2)
assert gradient.tolist() == [[0.5, 0, 0, 0], [0, 0, 1, 0]]
by_hand = total / len(labels)
assert by_hand == 2.625 / 3

# %% [markdown]
# The head's own losses, on the same three RoIs. It receives boxes instead of goals and
# encodes them itself; RoIs on their objects have goals of 0.

# %%
box_head = BoxHead(replace(PAPER, num_classes=2, box_head_width=4), channels=1)
boxes = torch.tensor([[0.0, 0, 8, 8], [8, 8, 16, 16], [4, 0, 12, 8]])
sampled = SampledRoIs(
    boxes=boxes,
    labels=torch.tensor(labels),
    objects=torch.tensor([0, 0, 1]),
    goals=boxes,
    valid=torch.ones(3, dtype=torch.bool),
)
logits = torch.tensor([[0.0, 1, 2], [3, 0, 0], [1, 1, 1]])
terms = box_head.losses(logits, torch.from_numpy(deltas).float(), sampled)
assert terms["box"].number == 3
assert np.isclose(terms["box"].total / terms["box"].number, by_hand)
class_loss, _ = softmax_cross_entropy(logits.double().numpy(), labels)
assert np.isclose(terms["class"].total / terms["class"].number, class_loss)
show(BoxHead.losses)

# %% [markdown]
# The switch of smooth-L1 stands at 1 in the paper and in matterport's system, at 1/9 in
# torchvision, and at 0 in detectron2, which is plain L1. Matterport also divides by the
# positives alone. So a box loss of 0.1 in one system is not a box loss of 0.1 in
# another.

# %% [markdown]
# ## Why 10, 10, 5, 5
#
# Proposals already lie near their objects, so the deltas are small. If they were learnt
# as they are, their loss would be tiny beside that of the classes. They are multiplied
# by fixed weights, 10 for $dx, dy$ and 5 for $dw, dh$, which brings their spread to
# about 1. Here are the deltas of a trained model's proposals, from 20 images.

# %%
model, class_names = lesson_model("shapes")
weights = model.config.box_weights
assert weights == (10, 10, 5, 5)


def proposed(image: torch.Tensor) -> np.ndarray:
    """The RPN's proposals, best first."""
    with torch.no_grad():
        maps = model.feature_maps(model.batch([image]))
        (found,) = model.proposals(maps, image_sizes([image]), None)
    return found.boxes.double().numpy()


raw = []
for image, truth in generate_shapes(20, seed=9):
    objects, rois = truth.boxes.double().numpy(), proposed(image)
    matched = match(box_iou(objects, rois), 0.5, 0.5, allow_low_quality=False)
    good = matched >= 0
    raw.append(encode_boxes(rois[good], objects[matched[good]]))
spread = np.concatenate(raw).std(axis=0)
print("spread of dx, dy, dw, dh:", spread.round(3))
print("times their weights:     ", (spread * weights).round(2))
assert np.all((spread * weights > 0.7) & (spread * weights < 1.5))

# %% [markdown]
# ## From answers to detections
#
# At test time there are no labels. The order is
#
# 1. softmax: every RoI gets a score for every class;
# 2. decode the deltas of every class from the RoI, and clip to the image;
# 3. drop everything with a score of 0.05 or less;
# 4. NMS with a threshold of 0.5, **each class by itself**;
# 5. keep the 100 best of the image (20 in this small model).
#
# One RoI can become several detections of different classes: a class needs a score
# above 0.05, not the greatest. That is good for AP, where a second guess costs little.
# Matterport's system keeps the likeliest class of each RoI alone.

# %%
show(BoxHead.detect)

# %% [markdown]
# Step by step, with the functions of earlier chapters, on an image that the model has
# not seen.

# %%
((image, truth),) = generate_shapes(1, seed=32)
size = (image.shape[1], image.shape[2])
rois = proposed(image)
with torch.no_grad():
    maps = model.feature_maps(model.batch([image]))
    roi_list = to_rois([torch.from_numpy(rois).float()])
    features = roi_features(model.config, maps, roi_list, model.config.box_pool)
    logits, deltas = model.box_head(features)
print(tuple(features.shape), "->", tuple(logits.shape), tuple(deltas.shape))

powers = np.exp(logits.double().numpy())
probability = powers / powers.sum(axis=1, keepdims=True)
assert np.allclose(probability.sum(axis=1), 1)

# %%
n, k = deltas.shape[:2]
decoded = decode_boxes(
    rois.repeat(k, axis=0), deltas.double().numpy().reshape(-1, 4), weights
)
boxes = clip_boxes(decoded, size)
scores, labels = probability[:, 1:].flatten(), np.tile(np.arange(1, k + 1), n)
good = scores > 0.05
boxes, scores, labels = boxes[good], scores[good], labels[good]
kept = segmented_nms(boxes, scores, labels, 0.5)[: model.config.max_detections]

sure = [i for i in kept if scores[i] >= 0.5]
captions = [f"{class_names[labels[i] - 1]} {scores[i]:.2f}" for i in sure]
pixels = (image.permute(1, 2, 0) * 255).round().byte().numpy()
steps = {
    "proposals": rois,
    "score above 0.05": boxes,
    "after NMS": boxes[kept],
    "score from 0.5 on": boxes[sure],
}
figure, counts = draw_detection_steps(pixels, steps, captions)
assert counts["score above 0.05"] <= n * k
show(figure)

# %% [markdown]
# The last panel is for the eye. Evaluation gets the whole list, weak scores included
# (chapter 12). The model's own answer is the same.

# %%
with torch.no_grad():
    (found,) = model([image])
assert len(found) == len(kept)
assert found.labels.tolist() == labels[kept].tolist()
assert np.allclose(found.boxes.numpy(), boxes[kept], atol=1e-2)
assert np.allclose(found.scores.numpy(), scores[kept], atol=1e-4)

# %% [markdown]
# Matterport's system writes detections as one table with six columns: y1, x1, y2, x2,
# class, score. A shape of (16, 6) in a write-up means that this image had sixteen.

# %%
assert found.rows_yx().shape == (len(found), 6)
per_roi = good.reshape(n, k).sum(axis=1)
print(f"{(per_roi > 1).sum()} of {n} RoIs have more than one class above 0.05")

# %% [markdown]
# ### Why each class by itself
#
# A rider sits on a horse, and their boxes overlap. NMS over all classes would drop one
# of them.

# %%
horse, rider = [10.0, 20.0, 60.0, 70.0], [20.0, 15.0, 58.0, 68.0]
pair, pair_scores = np.array([horse, rider]), np.array([0.9, 0.8])
assert box_iou(pair, pair)[0, 1] > 0.5
assert nms(pair, pair_scores, 0.5).tolist() == [0]
assert segmented_nms(pair, pair_scores, np.array([1, 2]), 0.5).tolist() == [0, 1]

# %% [markdown]
# ## Exercises
#
# Both losses, and the way to detections.

# %% exercise="ex09_1"
exercise("ex09_1")

# %% exercise="ex09_2"
exercise("ex09_2")

# %% exercise="ex09_3"
exercise("ex09_3")

# %% [markdown]
# ## Summary
#
# - 7 x 7 features of each RoI, two layers of 1024, then $K + 1$ logits and $K$ boxes.
# - It learns from 512 RoIs an image, at most a quarter of them positive: IoU at least
#   0.5.
# - $L_{cls} = -\log p_u$ over all of them; $L_{box}$ for the true class's box of
#   positives alone, divided by all of them.
# - Deltas are learnt ten and five times enlarged, so that their spread is about 1.
# - Softmax, decode, clip, score above 0.05, NMS in each class, the 100 best.
#
# ## To read
#
# - Girshick, *Fast R-CNN*, 2015, sections 2.1 to 2.3.
# - Lin et al., *Feature Pyramid Networks*, 2017, section 4.2.
# - He et al., *Mask R-CNN*, 2017, section 3.1.
# - `maskrcnn_scratch/models/box_head.py`, `models/sampling.py`, `reference/losses.py`.
