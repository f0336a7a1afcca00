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
# # 14 People: keypoints as one-hot masks
#
# Where are the left hand and the right foot of this person? Mask R-CNN answers with the
# machinery it has: a keypoint is a mask with a single pixel. Little is new, and what is
# new teaches something about losses, grids and mirrors.
#
# **After this chapter you can**
#
# - turn a keypoint into its target, with the right border and the hidden points right;
# - say why this loss is a softmax over places, where the mask's is a sigmoid;
# - read a point from a map without losing half a bin;
# - mirror an image of people without teaching that left is right;
# - compute the similarity that takes the place of IoU.
#
# **Before:** chapter 3, 10, 11.
# **Minutes:** 110, of which 50 for the exercises.

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
import torch

from maskrcnn_scratch.data.stick_figures import (
    KEYPOINT_NAMES,
    SKELETON,
    generate_figures,
)
from maskrcnn_scratch.data.transforms import horizontal_flip
from maskrcnn_scratch.figures.keypoints import draw_keypoint_maps, draw_target_bins
from maskrcnn_scratch.inference import Predictor
from maskrcnn_scratch.inference.overlay import draw_comparison
from maskrcnn_scratch.learning import check, exercise, hint, show
from maskrcnn_scratch.models.keypoint_head import KeypointHead
from maskrcnn_scratch.models.presets import preset
from maskrcnn_scratch.models.roi_features import roi_features, to_rois
from maskrcnn_scratch.reference.keypoints import (
    bin_of,
    keypoint_loss,
    keypoint_readout,
    keypoint_readout_resized,
    keypoint_targets,
    object_keypoint_similarity,
)
from maskrcnn_scratch.reference.losses import binary_cross_entropy
from maskrcnn_scratch.weights.lesson import lesson_model

# %% [markdown]
# ## Stick figures
#
# COCO's people have 17 keypoints. The generated stick figures of this chapter have
# seven, and a small model that comes with the package has learned them. A keypoint is
# $(x, y, v)$ in pixels, with COCO's visibility $v$: 2 visible, 1 hidden by something
# but known, 0 not labelled (here: outside the image).
#
# A figure faces us. Its left hand is therefore at the **right** of the picture.


# %%
figures = generate_figures(11, seed=14)  # not those it was trained on
image, target = figures[10]
model, class_names = lesson_model("figures")
predict = Predictor(model, class_names)
found = predict(image, score_threshold=0.5)
assert len(found) == len(target) == 3
assert found.keypoints.shape == target.keypoints.shape == (3, 7, 3)
left, right = (KEYPOINT_NAMES.index(name) for name in ("left_hand", "right_hand"))
assert (target.keypoints[:, left, 0] > target.keypoints[:, right, 0]).all()
assert (found.keypoints[:, left, 0] > found.keypoints[:, right, 0]).all()
sheet = draw_comparison(image, target, found, class_names, SKELETON)
sheet.resize((sheet.width // 2, sheet.height // 2))

# %% [markdown]
# Masks, boxes and points come from the same model: the same backbone, the same RPN,
# the same RoIs, and one head more. Nothing in it knows that a hand hangs on an arm.
#
# ## From a point to a target
#
# A RoI is cut into $m \times m$ bins. The bin that holds the keypoint is the target: a
# mask with a single one.
#
# $$\text{column} = \left\lfloor m\, \frac{x - x_1}{x_2 - x_1} \right\rfloor, \qquad
# \text{row} = \left\lfloor m\, \frac{y - y_1}{y_2 - y_1} \right\rfloor$$

# %%
show(bin_of, keypoint_targets)

# %% [markdown]
# By hand: a RoI from 10 to 50, in 8 bins of 5 pixels.
#
# - A bin holds its left edge: $x = 15$ is in bin 1.
# - **The right edge**: $x = 50$ gives $8 \cdot 40 / 40 = 8$, and there is no bin 8.
#   Boxes are drawn *through* the outermost points, so this happens all the time; such a
#   point belongs to the last bin.
# - Outside of the RoI there is no bin, and no loss. The point is not pulled in.

# %%
assert math.floor(8 * (15 - 10) / (50 - 10)) == bin_of(15, 10, 50, bins=8) == 1
assert bin_of(14.9, 10, 50, 8) == 0
assert math.floor(8 * (50 - 10) / (50 - 10)) == 8
assert bin_of(50, 10, 50, 8) == 7
assert bin_of(50.1, 10, 50, 8) is bin_of(9.9, 10, 50, 8) is None

# %% [markdown]
# A RoI is a proposal, not the object's own box: it may cut a foot off. In the picture
# point 4 lies outside (cross); 3 is hidden (ring) and has a target all the same; 2 lies
# on the right edge; 5 is not labelled and not there at all.

# %%
points = np.array(
    [[17, 5, 2], [17, 11, 2], [30, 14, 2], [9, 23, 1], [20, 33, 2], [0, 0, 0]]
)
roi = np.array([4.0, 2, 30, 30])
figure, axes = plt.subplots(figsize=(5.2, 5.2), layout="constrained")
told = draw_target_bins(axes, points.astype(float), roi, size=8)
assert told.bins == ((0, 4), (2, 4), (3, 7), (6, 1), None, None)

# %% [markdown]
# ### Why 56 bins
#
# The centre of a bin is all that a map can say, so even a perfect map is off by up to
# half a bin. A person 280 pixels wide has bins of 5 pixels with $m = 56$, and of 10
# with the mask head's 28. A mask's border is an average over many cells; a keypoint
# stands alone. Hence the finer map.

# %%
for m, half_a_bin in ((56, 2.5), (28, 5.0), (14, 10.0)):
    assert 280 / m / 2 == half_a_bin

# %% [markdown]
# ## The head
#
# Eight 3x3 convolutions of 512 channels, a deconvolution that doubles the size, and a
# bilinear upsampling that doubles it again: $14 \to 28 \to 56$. One map for each
# keypoint, and no classes: there is one class, person.

# %%
config = preset("r50-fpn-keypoints")
with torch.device("meta"):
    head = KeypointHead(config, channels=256)
    maps = head(torch.empty(5, 256, 14, 14))
assert maps.shape == (5, 17, 56, 56)
show(KeypointHead.forward)

# %% [markdown]
# ## A softmax over places
#
# The loss of one map with logits $x$, where $b$ is the right bin:
#
# $$L = -\log p_b, \qquad p_i = \frac{e^{x_i}}{\sum_j e^{x_j}}, \qquad
# \frac{\partial L}{\partial x_i} = p_i - [i = b]$$
#
# with the sum over **all $m^2$ places of this map**. Maps of different keypoints know
# nothing of each other. The mean is over the keypoints that have a bin.

# %%
show(keypoint_loss)

# %%
logits = np.zeros((1, 1, 2, 2))
logits[0, 0] = [[math.log(5), 0], [0, 0]]  # p = 5/8, 1/8, 1/8, 1/8
there = np.array([[True]])
loss, gradient = keypoint_loss(logits, np.array([[0]]), there)
assert np.isclose(loss, -math.log(5 / 8))
assert np.allclose(gradient, [[[[5 / 8 - 1, 1 / 8], [1 / 8, 1 / 8]]]])
assert keypoint_loss(logits, np.array([[0]]), ~there)[0] == 0  # nothing to learn

# %% [markdown]
# ### Why not a sigmoid, as for masks
#
# Chapter 10 praised the sigmoid because classes must not compete. **Places must**: a
# person has one left hand, so more here has to mean less there. What a sigmoid
# at every place does instead can be computed. Take a fresh map, all logits 0:
#
# - With a sigmoid each of 3136 places asks for one half. The mean gradient at the right
#   bin is $-\frac12 / 3136$, and 3135 places pull the other way. The fastest way to a
#   small loss is a map that says *nowhere*.
# - With the softmax the right bin is pushed by almost 1, and all others together are
#   pulled by as much. The gradient sums to 0: nothing is gained by lowering all logits.

# %%
m = 56
flat, hot = np.zeros((1, 1, m, m)), np.zeros((m, m))
hot[20, 30] = 1
index = np.array([[20 * m + 30]])

loss, gradient = keypoint_loss(flat, index, there)
assert np.isclose(loss, math.log(3136))
assert np.isclose(gradient[0, 0, 20, 30], 1 / 3136 - 1)
assert np.isclose(gradient.sum(), 0)

_, slopes = binary_cross_entropy(flat[0, 0], hot)
slopes /= 3136
assert np.isclose(slopes[20, 30], -0.5 / 3136)
assert np.isclose(slopes.sum(), 0.5 * 3134 / 3136)  # downhill is: less everywhere

nowhere, _ = binary_cross_entropy(flat[0, 0] - 8, hot)
right_place, _ = binary_cross_entropy(np.where(hot, 0, -8.0), hot)
assert nowhere.mean() < 0.003  # "nowhere" costs next to nothing,
assert nowhere.mean() - right_place.mean() < 0.003  # and knowing the place gains little
everywhere, _ = keypoint_loss(flat - 8, index, there)
assert np.isclose(everywhere, math.log(3136))  # the softmax is not fooled

# %% [markdown]
# ## From a map to a point
#
# The best bin, and its **centre**: half a bin has to be added. Without it all points
# move to the upper left, by as much as a perfect map may err at most.

# %%
show(keypoint_readout)

# %%
box = np.array([[10.0, 20, 50, 60]])
heat = np.zeros((1, 1, 8, 8))
heat[0, 0, 2, 5] = 9
x, y, score = keypoint_readout(heat, box)[0, 0]
assert (x, y) == (10 + (5 + 0.5) * 40 / 8, 20 + (2 + 0.5) * 40 / 8) == (37.5, 32.5)
assert np.isclose(score, math.exp(9) / (math.exp(9) + 63))

rng = np.random.default_rng(14)
truth = np.column_stack([rng.uniform(10, 50, 200), rng.uniform(20, 60, 200)])
labelled = np.column_stack([truth, np.full(200, 2)])[:, None]
same_box = np.repeat(box, 200, axis=0)
bins, _ = keypoint_targets(labelled, same_box, size=8)
perfect = np.zeros((200, 1, 64))
np.put_along_axis(perfect, bins[:, :, None], 9.0, axis=2)
points = keypoint_readout(perfect.reshape(200, 1, 8, 8), same_box)[:, 0, :2]
errors = np.abs(points - truth)
assert errors.max() <= 40 / 8 / 2
assert np.abs((points - truth).mean()) < 0.2  # no drift to any side

# %% [markdown]
# Published systems read a little finer. They enlarge the map to the size of the box, by
# bicubic interpolation, and take the best **pixel**: where neighbours are warm, the
# maximum moves towards them. Their score is the logit there, not a probability. The
# paper leaves the rule open. On a map in the image's resolution both rules agree to
# half a pixel; in a large box the second gains up to half a bin.

# %%
warm = np.zeros((1, 1, 8, 8))
warm[0, 0, 2, 4:7] = 4, 9, 8  # the right neighbour is nearly as good
coarse = keypoint_readout(warm, box)[0, 0]
fine = keypoint_readout_resized(warm, box)[0, 0]
print(f"bin's centre x = {coarse[0]:.2f}, resized x = {fine[0]:.2f}")
assert coarse[0] == 37.5
assert 37.5 < fine[0] < 40  # towards the neighbour, by less than half a bin
assert fine[2] > 9  # a logit of the enlarged map, not a probability

# %% [markdown]
# ## What the model sees
#
# The maps of one figure, by the model's parts: features, RoIs read to 14 x 14, the
# head. The colour shows where a map puts its probability, small ones made stronger to
# be seen; the ring is around the best bin, the number is its probability.

# %%
with torch.no_grad():
    features = model.feature_maps(model.batch([image]))
    rois = to_rois([found.boxes])
    read = roi_features(model.config, features, rois, model.config.keypoint_pool)
    heatmaps = model.keypoint_head(read).double().numpy()
assert heatmaps.shape == (3, 7, 56, 56)
pixels = (image * 255).byte().permute(1, 2, 0).numpy()
largest = int((found.boxes[:, 2] - found.boxes[:, 0]).argmax())
figure, shown = draw_keypoint_maps(
    pixels, heatmaps[largest], found.boxes[largest].double().numpy(), KEYPOINT_NAMES
)
assert np.allclose(shown.probabilities.sum(axis=(1, 2)), 1)
assert np.abs(shown.places[:, :2] - found.keypoints[largest, :, :2].numpy()).max() < 2
figure

# %% [markdown]
# ## Left and right
#
# Training mirrors half of all images. A mirrored left hand **is a right hand**, so the
# two rows have to change places as well:

# %%
show(horizontal_flip)

# %%
swap = list(range(7))
for name, other in (("left_hand", "right_hand"), ("left_foot", "right_foot")):
    one, two = KEYPOINT_NAMES.index(name), KEYPOINT_NAMES.index(other)
    swap[one], swap[two] = two, one
assert swap == [0, 1, 2, 4, 3, 6, 5]

flipped_image, flipped = horizontal_flip(image, target, swap)
_, careless = horizontal_flip(image, target)
seen = target.keypoints[..., 2] > 0
mirrored = torch.where(seen, 128 - target.keypoints[..., 0], 0)
assert torch.equal(flipped.keypoints[..., 0], mirrored[:, swap])
assert (flipped.keypoints[:, left, 0] > flipped.keypoints[:, right, 0]).all()
assert (careless.keypoints[:, left, 0] < careless.keypoints[:, right, 0]).all()

# %% [markdown]
# Without the exchange a network is told that the left hand is at the right of the
# picture, and in the next epoch that it is at the left. Ours was told the truth: on the
# mirrored image the left hand is again at the right.

# %%
again = predict(flipped_image, score_threshold=0.5)
assert (again.keypoints[:, left, 0] > again.keypoints[:, right, 0]).all()

# %% [markdown]
# ## How good is it? OKS
#
# IoU says nothing about points. COCO's *object keypoint similarity* does, with the
# distance $d_i$ in pixels, the object's area $s^2$, and $\sigma_i$, how far careful
# annotators are apart for this kind of point, in parts of $s$:
#
# $$\mathrm{OKS} = \frac1n \sum_{v_i > 0} \exp\left(
# -\frac{d_i^2}{2\, s^2\, (2 \sigma_i)^2}\right)$$
#
# The sum and $n$ are over the labelled points. An error of $2 \sigma_i s$ leaves
# $e^{-1/2} \approx 0.61$. Eyes have $\sigma = 0.025$, hips 0.107: a hip may be off four
# times as far.

# %%
show(object_keypoint_similarity)

# %%
area, sigma = 100.0**2, 0.05
labelled = np.array([[50.0, 50, 2], [80, 50, 1], [0, 0, 0]])
guess = labelled[:, :2] + [[2 * sigma * 100, 0], [0, 0], [70, 70]]
similarity = object_keypoint_similarity(guess, labelled, area, np.full(3, sigma))
assert np.isclose(similarity, (math.exp(-1 / 2) + 1) / 2)

# %% [markdown]
# AP for keypoints is chapter 12 with OKS in the place of IoU. For our three figures,
# with a common $\sigma$ of 0.05 and each figure's visible area:

# %%
assert target.masks is not None
similarities = []
for keypoints, mask in zip(target.keypoints.numpy(), target.masks, strict=True):
    size = float(mask.sum())
    per_figure = [
        object_keypoint_similarity(k, keypoints, size, np.full(7, 0.05))
        for k in found.keypoints[..., :2].double().numpy()
    ]
    similarities.append(max(per_figure))
print(np.round(similarities, 2))
assert min(similarities) > 0.5

# %% [markdown]
# It does not always go so well. In the next image (the truth at the left) two figures
# of one colour stand one before the other. The model takes them for one, and its points
# jump between them: each map picks the best place in the RoI, whoever it belongs to.

# %%
image, target = figures[9]
found = predict(image, score_threshold=0.5)
sheet = draw_comparison(image, target, found, class_names, SKELETON)
sheet.resize((sheet.width // 3, sheet.height // 3))

# %% [markdown]
# ## What the paper found
#
# - Keypoints need precise RoIs: 64.2 AP with RoIAlign, 59.8 with RoIPool (Table 6), on
#   a pyramid whose finest cells are 4 pixels wide.
# - Masks and keypoints learned together: 63.1 keypoint AP, against 62.7 for keypoints
#   alone (Table 4). Write-ups that say "the same network does pose" are right: the head
#   is new, all else stays.

# %% [markdown]
# ## Exercises
#
# The target, the loss, the read-out and the mirror.

# %% exercise="ex14_1"
exercise("ex14_1")

# %% exercise="ex14_2"
exercise("ex14_2")

# %% exercise="ex14_3"
exercise("ex14_3")

# %% exercise="ex14_4"
exercise("ex14_4")

# %% [markdown]
# ## Summary
#
# - A keypoint is a one-hot mask of 56 x 56 bins over its RoI.
# - On the right edge: the last bin. Outside or not labelled: no loss. Hidden: a loss.
# - One softmax over all places of a map, for a point is at one place. A sigmoid at each
#   place learns *nowhere* first.
# - Read the centre of the best bin, or the best pixel of the enlarged map.
# - Mirror: $x \to w - x$, and left and right change places.
# - OKS is a mean of Gaussians, scaled by the object's area and the kind of point.
#
# ## To read
#
# - He et al., *Mask R-CNN*, 2017, section 5 and Tables 4 to 6.
# - COCO's page on keypoint evaluation, for OKS and its sigmas.
# - `maskrcnn_scratch/reference/keypoints.py`, `models/keypoint_head.py`,
#   `data/stick_figures.py`.
