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
# # 10 The mask head
#
# The mask head says which pixels of a box belong to the object. It does so for every
# class apart, and leaves the choice of the class to the box head. That separation is
# the second idea of Mask R-CNN, after RoIAlign, and it is a matter of one loss.
#
# **After this chapter you can**
#
# - say which tensors go in and out, and count the parameters of both mask heads of
#   Table 2e;
# - write the mask loss, and show that it leaves all other classes alone;
# - cut the target of a RoI from an object's mask;
# - paste a predicted mask into the image without shifting it.
#
# **Before:** chapter 1, 3, 4, 9.
# **Minutes:** 125, of which 65 for the exercises.

# %%
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import torch

from maskrcnn_scratch.data import generate_shapes
from maskrcnn_scratch.data.shapes import draw_scene
from maskrcnn_scratch.figures.class_masks import draw_class_maps, draw_competition
from maskrcnn_scratch.figures.masks import draw_mask_target, draw_pasted_mask
from maskrcnn_scratch.inference import Predictor
from maskrcnn_scratch.learning import check, exercise, hint, show
from maskrcnn_scratch.models.mask_head import MLP, FullyConvolutional
from maskrcnn_scratch.models.presets import PAPER
from maskrcnn_scratch.models.roi_features import roi_features, to_rois
from maskrcnn_scratch.reference.bilinear import bilinear
from maskrcnn_scratch.reference.losses import (
    binary_cross_entropy,
    mask_loss,
    softmax_mask_loss,
)
from maskrcnn_scratch.reference.masks import (
    mask_targets,
    paste_mask,
    paste_mask_legacy,
    paste_probability,
)
from maskrcnn_scratch.weights.lesson import lesson_model

# %% [markdown]
# ## A small network on each RoI
#
# With FPN the mask head reads 14 x 14 features of each RoI through RoIAlign. Four 3x3
# convolutions follow, then a deconvolution that doubles the size, then a 1x1
# convolution to $K$ maps of $m \times m$ logits. So $m$ is 28; with a C4 backbone it is
# 14. (Some write-ups say 7: that is the grid of the *box* head.)

# %%
show(FullyConvolutional)

# %%
with torch.device("meta"):  # shapes only: nothing is stored or computed
    fcn = FullyConvolutional(PAPER, channels=256)
    features = torch.empty(100, 256, PAPER.mask_pool, PAPER.mask_pool)
assert fcn(features).shape == (100, 80, 28, 28)

# %% [markdown]
# It is fully convolutional: every cell of the map comes from the features around that
# same place. A fully connected head (MLP) instead flattens the features, and has to
# learn anew where each output pixel was. Table 2e compares them: 33.6 mask AP against
# 31.5. The convolutions also need far fewer parameters. Both can be counted by hand.

# %%
in_convs = 4 * (256 * 256 * 3 * 3 + 256)
in_deconv, in_logits = 256 * 256 * 2 * 2 + 256, 256 * 80 + 80
assert sum(p.numel() for p in fcn.parameters()) == in_convs + in_deconv + in_logits
assert in_convs + in_deconv + in_logits == 2_643_280

with torch.device("meta"):
    mlp = MLP(replace(PAPER, mask_head="mlp"), channels=256)
assert mlp(features).shape == (100, 80, 28, 28)
first, second = 256 * 14 * 14 * 1024 + 1024, 1024 * 1024 + 1024
to_maps = 1024 * 80 * 28 * 28 + 80 * 28 * 28
assert sum(p.numel() for p in mlp.parameters()) == first + second + to_maps
print(f"MLP {first + second + to_maps:,}, {116_718_848 / 2_643_280:.0f} times as many")
assert first + second + to_maps == 116_718_848

# %% [markdown]
# ## The loss: one class's mask, and a sigmoid
#
# Of the $K$ maps of a RoI only that of its true class $u$ enters the loss. Each of its
# pixels has a probability $p = \sigma(x) = 1 / (1 + e^{-x})$ and a target $t$, 0 or 1:
#
# $$L_{mask} = \frac{1}{m^2} \sum_{ij} -t_{ij} \log p_{ij}
# - (1 - t_{ij}) \log(1 - p_{ij})$$
#
# Only positive RoIs have a mask loss; a RoI of background has no mask to learn. A logit
# of $\log 3$ is a probability of $3/4$. A target of 1 then costs $\log(4/3)$, a target
# of 0 costs $\log 4$.

# %%
x = np.full((1, 1, 1, 2), np.log(3))  # one RoI, one class, two pixels
t = np.array([[[1.0, 0.0]]])
loss, gradient = mask_loss(x, np.array([0]), t)
assert np.isclose(loss, (np.log(4 / 3) + np.log(4)) / 2)

# %% [markdown]
# The slope of one pixel's cost is $p - t$, as short as it looks:
#
# $$\frac{\partial}{\partial x} \left[ t \log(1 + e^{-x}) + (1 - t) \log(1 + e^x)
# \right] = t (p - 1) + (1 - t) p = p - t$$

# %%
assert np.allclose(gradient[0, 0, 0], [(3 / 4 - 1) / 2, (3 / 4 - 0) / 2])
show(binary_cross_entropy, mask_loss)

# %% [markdown]
# ## Classes that do not compete
#
# Give the RoI three classes. The true one is the second, index 1. The gradient of the
# two other maps is not small, it is **exactly zero**: no object ever pushes another
# class's mask down.

# %%
rng = np.random.default_rng(0)
maps = rng.normal(size=(1, 3, 4, 4))
target = (rng.random((1, 4, 4)) < 0.5).astype(float)
loss, gradient = mask_loss(maps, np.array([1]), target)
assert np.count_nonzero(gradient[:, 1]) == 16
assert np.count_nonzero(gradient[:, [0, 2]]) == 0

perturbed = maps.copy()
perturbed[:, [0, 2]] += rng.normal(size=(1, 2, 4, 4))
assert mask_loss(perturbed, np.array([1]), target)[0] == loss

# %% [markdown]
# The usual way to segment is another: at every pixel a softmax over all classes and the
# background, so that they share a probability of 1. Then the same perturbation changes
# the loss, and every class gets a gradient at every pixel.

# %%
show(softmax_mask_loss)

# %%
with_background = np.concatenate([np.zeros((1, 1, 4, 4)), maps], axis=1)
loss, gradient = softmax_mask_loss(with_background, np.array([1]), target)
assert np.all(gradient != 0)
assert np.allclose(gradient.sum(axis=1), 0)  # what one class gains, others lose
with_background[:, [1, 3]] = perturbed[:, [0, 2]]
assert softmax_mask_loss(with_background, np.array([1]), target)[0] != loss

# %% [markdown]
# One pixel inside an object, in a picture. The true class's logit stays where it is;
# only another class's logit moves.

# %%
figure, axes = plt.subplots(figsize=(6, 3.4), layout="constrained")
told = draw_competition(axes, own=1.0)
assert np.ptp(told.sigmoid) == 0
assert np.all(np.diff(told.softmax) > 0)

# %% [markdown]
# Which is better was tried in Table 2b, with nothing else changed: softmax 24.8 mask
# AP, sigmoid 30.3. The box head has already decided on a class; asking the mask head to
# decide once more, at every pixel, costs 5.5 points.

# %% [markdown]
# ## The target
#
# The target of a positive RoI is "the intersection between an RoI and its associated
# ground-truth mask" (section 3.1), brought to $m \times m$. The object may reach beyond
# the RoI; what lies outside plays no part. Here are a round object and a RoI that
# catches a part of it, with $m = 4$.

# %%
rows, columns = np.mgrid[:12, :14] + 0.5
disc = ((rows - 6) ** 2 + (columns - 6) ** 2 < 5**2).astype(np.uint8)
roi = np.array([4.0, 2.0, 12.0, 10.0])
figure, told = draw_mask_target(disc, roi, m=4)
show(figure)

# %% [markdown]
# Each bin of this RoI is 2 x 2 pixels. The share of a bin is the mean of its pixels,
# which is what RoIAlign gives with as many samples as pixels. Systems differ in what
# they do with the share: torchvision keeps it ("soft"), detectron2 makes it 1 from one
# half on ("threshold"). Matterport's system cuts objects to 56 x 56 once, when data are
# loaded, and crops from these.

# %%
assert disc[4:6, 10:12].tolist() == [[1, 0], [1, 0]]  # of the bin in row 1, column 3
assert told.soft[1, 3] == 2 / 4
assert told.threshold[1, 3] == 1
assert np.array_equal(told.threshold, told.soft >= 0.5)
show(mask_targets)

# %% [markdown]
# ## Back into the image
#
# At test time the mask "is then resized to the RoI size, and binarized at a threshold
# of 0.5" (section 3.1). The map's $m$ cells divide the box evenly, each with its value
# at its centre. The centre of the pixel in column $j$ lies at $j + 1/2$, so it reads
# the map at the index coordinate
#
# $$u = \left(j + \tfrac12 - x_1\right) \frac{m}{x_2 - x_1} - \tfrac12$$
#
# Both halves are the half pixel of chapter 1: the first goes to the pixel's centre, the
# second to the cell's. In a box that is as large as the map, pixel $x_1$ reads cell 0.

# %%
m, x1, x2 = 4, 3.0, 7.0
assert [(j + 0.5 - x1) * m / (x2 - x1) - 0.5 for j in (3, 4, 5, 6)] == [0, 1, 2, 3]
x1, x2 = 3.0, 11.0  # twice as large: two pixels read around each cell
assert [(j + 0.5 - x1) * m / (x2 - x1) - 0.5 for j in (3, 4)] == [-0.25, 0.25]
show(paste_probability, paste_mask)

# %%
probability = np.array([[0.1, 0.7, 0.3], [0.8, 1.0, 0.6], [0.2, 0.9, 0.4]])
box = np.array([1.0, 1.5, 10.0, 7.5])
figure, told = draw_pasted_mask(probability, box, size=(9, 12))
assert np.array_equal(told.mask, told.values >= 0.5)
show(figure)

# %% [markdown]
# ### What a half pixel costs
#
# Detectron's first code, and torchvision to this day, cut the box to whole pixels and
# count both ends, so it is a pixel too wide and too high. Take a map of ones, of which
# the mask should be the whole box. For a box of 8 x 6 pixels the older rule marks 80
# pixels where 48 are right; for large objects the same pixel hardly matters. Detectron2
# says it gained about half a point of mask AP by reading at pixel centres.

# %%
ones, box = np.ones((28, 28)), np.array([4.0, 3.0, 12.0, 9.0])
assert np.count_nonzero(paste_mask(ones, box, (24, 24))) == 8 * 6 == 48
assert np.count_nonzero(paste_mask_legacy(ones, box, (24, 24))) == 10 * 8 == 80

# %% [markdown]
# ### What m costs
#
# A perfect mask head predicts the target. Pasted back, how much of the object comes out
# again? For generated shapes here is the IoU with the true mask, for 7, 14 and 28
# cells, each in both forms of the target.


# %%
def there_and_back(mask: np.ndarray, m: int, rule: str) -> float:
    """IoU of a mask with its own target, pasted back into the image."""
    rows, columns = np.nonzero(mask)
    ends = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    box, object_0 = np.array(ends, np.float64), np.array([0])
    masks = mask[None].astype(np.uint8)
    target = mask_targets(masks, box[None], object_0, m, rule)[0]
    back = paste_mask(target, box, mask.shape)
    return np.count_nonzero(back & mask) / np.count_nonzero(back | mask)


scenes = [draw_scene(128, np.random.default_rng(seed)) for seed in range(3)]
masks = [mask for scene in scenes for mask in scene.masks]
mean = {
    (rule, m): np.mean([there_and_back(mask, m, rule) for mask in masks])
    for rule in ("threshold", "soft")
    for m in (7, 14, 28)
}
for (rule, m), iou in mean.items():
    print(f"{rule:10} {m:3} x {m:<3} {iou:.3f}")
assert mean["soft", 7] < mean["soft", 14] < mean["soft", 28]
assert all(mean["threshold", m] < mean["soft", m] for m in (7, 14, 28))

# %% [markdown]
# The shapes are 15 to 85 pixels large. On an object of 600 pixels a cell of 28 covers
# 21 pixels a side, and thin parts such as spokes or a winding road fall between the
# cells. No threshold brings them back. More cells for large objects is the subject of
# later work (PointRend).

# %% [markdown]
# ## The masks of a trained model
#
# The package brings a small model, trained on generated shapes. It finds objects in an
# image that it has not seen. For each of them all four classes' maps are computed here;
# the model itself computes only the one that is needed.

# %%
model, class_names = lesson_model("shapes")
((image, truth),) = generate_shapes(1, seed=28)
found = Predictor(model, class_names)(image, 0.7)
features = roi_features(
    model.config,
    model.feature_maps(model.batch([image])),
    to_rois([found.boxes]),
    model.config.mask_pool,
)
with torch.no_grad():
    logits = model.mask_head.net(features)
print(tuple(features.shape), "->", tuple(logits.shape))
rows = torch.arange(len(found))
chosen = logits[rows, found.labels - 1].sigmoid()
assert torch.allclose(chosen, found.mask_probabilities, atol=1e-4)

# %%
pixels = (image.permute(1, 2, 0) * 255).round().byte().numpy()
labels = found.labels.tolist()
figure, told = draw_class_maps(
    pixels, found.boxes.numpy(), logits.sigmoid().numpy(), labels, class_names
)
show(figure)

# %% [markdown]
# The framed map is that of the predicted class; it alone is pasted. The other maps are
# not empty. Each says: "if this is a star, these are its pixels". Nobody asked them to
# be silent, so they mostly show the same object, more or less. After a softmax they
# would have to be empty here.
#
# If the maps look so alike, is one for all classes enough? That is the *class-agnostic*
# head, and the paper reports nearly the same: 29.7 mask AP against 30.3 (R-50-C4). The
# class is the box head's business.

# %%
own = told.shares[np.arange(len(labels)), found.labels.numpy() - 1]
others = (told.shares.sum(axis=1) - own) / (len(class_names) - 1)
print("share of cells of 0.5 or more: own class", own.round(2))
print("                               others   ", others.round(2))
agnostic = FullyConvolutional(replace(PAPER, mask_class_agnostic=True), channels=256)
assert agnostic.mask_logits.weight.shape == (1, 256, 1, 1)

# %% [markdown]
# ## Exercises
#
# The loss, its gradient, the target, and the way back into the image.

# %% exercise="ex10_1"
exercise("ex10_1")

# %% exercise="ex10_2"
exercise("ex10_2")

# %% exercise="ex10_3"
exercise("ex10_3")

# %% exercise="ex10_4"
exercise("ex10_4")

# %% [markdown]
# ## Summary
#
# - The mask head gives $K$ maps of $m \times m$ logits: 28 x 28 with FPN, 14 x 14 with
#   C4.
# - The loss is the mean binary cross-entropy of the true class's map, for positive RoIs
#   alone; all other maps get a gradient of exactly 0.
# - A softmax over classes makes them compete: 24.8 instead of 30.3 mask AP.
# - The target is the part of the object's mask in the RoI, as shares of bins or cut at
#   one half.
# - Pasting reads the map at pixel centres and cuts at 0.5; the predicted class's map is
#   taken.
# - The convolutional head has 44 times fewer parameters than the fully connected one,
#   and is better.
#
# ## To read
#
# - He et al., *Mask R-CNN*, 2017, section 3 ("Mask Representation", "Loss"), section
#   3.1, Tables 2b and 2e.
# - Kirillov et al., *PointRend: Image Segmentation as Rendering*, 2020, on borders
#   sharper than 28 x 28.
# - `maskrcnn_scratch/reference/losses.py`, `reference/masks.py`,
#   `models/mask_head.py`.
