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
# # 3 RoIWarp and RoIAlign
#
# RoIPool rounds twice. RoIAlign, the layer that Mask R-CNN brought, does not round at
# all: it reads the feature map between its cells, where the bins truly are. RoIWarp
# stands half-way, and shows which half matters.
#
# **After this chapter you can**
#
# - place RoIAlign's sample points by hand, and compute its output;
# - say what `aligned`, `sampling_ratio` and mean or maximum change, and how much;
# - test any RoIAlign with a ramp, and recognise the half pixel;
# - send its gradient back, and check that with one dot product;
# - tell what part of the gain is due to what, with the paper's numbers.
#
# **Before:** chapter 1, 2.
# **Minutes:** 120, of which 55 for the exercises.

# %%
import math

import numpy as np

from maskrcnn_scratch.figures.interactive import move_roi, place_samples
from maskrcnn_scratch.figures.misalignment import follow
from maskrcnn_scratch.figures.roi_steps import draw_strips
from maskrcnn_scratch.learning import check, exercise, hint, show
from maskrcnn_scratch.reference.bilinear import bilinear, bilinear_taps
from maskrcnn_scratch.reference.crop_and_resize import points as crop_points
from maskrcnn_scratch.reference.roi_align import (
    axis_matrix,
    axis_points,
    read_bins,
    read_bins_backward,
    roi_align,
    roi_align_backward,
    sample_weights,
)
from maskrcnn_scratch.reference.roi_pool import roi_pool, roi_pool_steps
from maskrcnn_scratch.reference.roi_steps import Span
from maskrcnn_scratch.reference.roi_warp import roi_warp, roi_warp_steps

# %% [markdown]
# ## Nothing rounded
#
# The object of chapter 2 again: 665 pixels at stride 32, into 7 bins. RoIPool made 22
# cells of it, and bins of 4. RoIWarp rounds the corners as well, to borders between
# cells, but then keeps the bins as they are. RoIAlign keeps both:
#
# $$665 / 32 = 20.78125, \qquad 20.78125 / 7 = 2.96875$$

# %%
told = follow(image=800, object_side=665, stride=32, out_size=7)
show(draw_strips(told, names=("RoIPool round", "RoIWarp", "RoIAlign")))
warp, align = told.layers["RoIWarp"], told.layers["RoIAlign"]
assert (warp.quantised.size, warp.bin_size) == (21, 3)
assert (align.quantised.size, align.bin_size) == (665 / 32, 2.96875)
assert max(map(abs, align.shift)) < 1e-12

# %% [markdown]
# ## Where a bin is read
#
# A bin that begins and ends between cells is not made of cells. So it is read at
# points: cut it into $S \times S$ equal parts and read the centre of each, by the
# bilinear interpolation of chapter 1. On one axis, point $s$ of bin $k$ lies at
#
# $$c_{k,s} = \text{start} + \Big(k + \frac{s + 1/2}{S}\Big) \cdot
# \frac{\text{size}}{n} - \frac12$$
#
# in index coordinates. The last term is the **half pixel**: cell $i$ covers
# $[i, i + 1)$, and its value sits at its centre, which bears the index $i$.

# %%
show(axis_points)

# %%
(first_bin, *_) = axis_points(Span(0, 20.78125), count=7, sampling_ratio=2)
assert first_bin == (0.25 * 2.96875 - 0.5, 0.75 * 2.96875 - 0.5)
assert first_bin == (0.2421875, 1.7265625)

# %% [markdown]
# $S$ is called `sampling_ratio`. The paper takes 4 points a bin, so $S = 2$. With 0 or
# less it is chosen for each RoI, $S = \lceil \text{size} / n \rceil$, so that points
# are at most one cell apart: here 3.

# %%
assert math.ceil(20.78125 / 7) == 3
assert len(axis_points(Span(0, 20.78125), 7, sampling_ratio=0)[0]) == 3

# %% [markdown]
# ## What comes out
#
# A bin's value is the mean of its readings, or the largest. That is all.

# %%
show(sample_weights, read_bins, roi_align)

# %% [markdown]
# A case for the hand, which the tests of several published implementations share: cells
# 0 to 24 on a map of 5 x 5, a RoI from 1 to 3 on both axes, 4 x 4 bins of half a cell,
# one point each. The first point is at 1.25 in cells, so at index 0.75. The map is
# $5\,y + x$ there, so the value is $5 \cdot 0.75 + 0.75 = 4.5$.

# %%
placed = place_samples(x=1.0, y=1.0, size=2.0, out_size=4, samples=1, point=0)
assert (placed.chosen.y, placed.chosen.x) == (0.75, 0.75)
assert placed.chosen.value == 5 * 0.75 + 0.75 == 4.5
assert np.allclose(placed.read.out[0], [4.5, 5, 5.5, 6])
assert placed.read.out[-1, -1] == 13.5

# %% [markdown]
# ## The half pixel
#
# The first implementations left the half pixel out: they took $x / \text{stride}$ for
# the index coordinate, and so read half a cell too far to the right and down. The same
# case then gives 7.5 to 16.5 in place of 4.5 to 13.5. In today's libraries that is
# `aligned=False`, and it is still there because weights were trained with it. Weights
# and layer must match: torchvision's own model is of the old kind, detectron2's of the
# new.

# %%
numbers = np.arange(25.0).reshape(1, 1, 5, 5)
rois = np.array([[0, 1.0, 1.0, 3.0, 3.0]])
legacy = roi_align(numbers, rois, (4, 4), 1.0, 1, aligned=False)[0, 0]
assert (legacy[0, 0], legacy[-1, -1]) == (7.5, 16.5)
assert np.allclose(legacy - placed.read.out, 5 * 0.5 + 0.5)

# %% [markdown]
# ### The ramp, a test for every RoIAlign
#
# Let the features be the image coordinate x itself: cell $i$ at stride 16 holds
# $16\,(i + 1/2)$, the pixel at its centre. A bin then should read the pixel at *its*
# centre. Bilinear reading is exact on a ramp, and so is a mean of points that lie
# evenly around the centre. What is left is the layer's own error, in image pixels.

# %%
stride = 16
ramp = np.tile((np.arange(50) + 0.5) * stride, (50, 1))[None, None]
rng = np.random.default_rng(3)
sides = rng.uniform(64, 448, 100)
lefts = rng.uniform(8, 800 - sides - 8)
boxes = np.stack([lefts, np.full(100, 64), lefts + sides, np.full(100, 192)], axis=1)
rois = np.column_stack([np.zeros(100), boxes])
centres = lefts[:, None] + (np.arange(7) + 0.5) / 7 * sides[:, None]

rule = ((1, 7), 1 / stride)
outs = {
    "RoIPool": roi_pool(ramp, rois, *rule)[0],
    "RoIWarp": roi_warp(ramp, rois, *rule),
    "RoIAlign, maximum": roi_align(ramp, rois, *rule, 2, mode="max"),
    "RoIAlign, legacy": roi_align(ramp, rois, *rule, 2, aligned=False),
    "RoIAlign": roi_align(ramp, rois, *rule, 2),
}
errors = {name: out[:, 0, 0] - centres for name, out in outs.items()}
for name, error in errors.items():
    print(
        f"{name:17}  {abs(error).mean():5.1f} pixels off, worst {abs(error).max():.1f}"
    )

assert np.allclose(errors["RoIAlign"], 0, atol=1e-9)
assert np.allclose(errors["RoIAlign, legacy"], stride / 2)
assert abs(errors["RoIWarp"]).max() <= stride / 2

# %% [markdown]
# RoIAlign is exact. Its legacy form is off by half a cell, always, which a network can
# learn to live with. RoIWarp is off by up to half a cell, now to the left and now to
# the right, and that it cannot learn. (A maximum leans towards the larger side of a
# ramp; for RoIPool that comes on top of its rounding.)
#
# In a running notebook, move the RoI: RoIPool jumps while RoIAlign glides.

# %%
moved = move_roi(x=40, y=36, size=50, stride=32, out_size=2, rounding="round")
assert np.allclose(np.diff(moved.trace.align), 1 / 16)
assert set(np.diff(moved.trace.pool)) == {0, 2}

# %% [markdown]
# ## Mean or maximum
#
# Some write-ups let RoIAlign take the largest of the four readings, others their mean.
# The paper tried both (table 2c): 30.2 and 30.3 AP, so it does not matter. Published
# implementations take the mean. It is linear, which the way back will use.
#
# ## One point or four
#
# "One point is nearly as good as four" is often told, and the paper says that the
# number matters little. On features that change slowly this must be so. Take waves of
# 16 cells, whose true mean over a bin is known, and bins of different sizes.

# %%
wavelength = 16
wave = np.sin(2 * np.pi * (np.arange(64) + 0.5) / wavelength)
wave = np.tile(wave, (3, 1))[None, None]


def true_mean(start: float, end: float) -> float:
    """The mean of the wave from start to end, in cells: an integral."""
    k = 2 * np.pi / wavelength
    return (np.cos(k * start) - np.cos(k * end)) / (k * (end - start))


mean_error = {}
for bin_size in (1, 2, 4, 6):
    starts = np.linspace(1, 62 - 7 * bin_size, 50)
    rois = np.array([[0, start, 0, start + 7 * bin_size, 3] for start in starts])
    edges = starts[:, None] + bin_size * np.arange(8)
    right = true_mean(edges[:, :-1], edges[:, 1:])
    for samples in (1, 2, 4):
        out = roi_align(wave, rois, (1, 7), 1.0, samples)[:, 0, 0]
        mean_error[bin_size, samples] = abs(out - right).mean()
    row = "  ".join(f"{mean_error[bin_size, s]:.3f}" for s in (1, 2, 4))
    print(f"bins of {bin_size} cells, 1, 4, 16 points: mean error {row}")

for samples in (1, 2, 4):
    assert mean_error[1, samples] < 0.02
    assert mean_error[2, samples] < 0.02
assert mean_error[6, 1] > 5 * mean_error[6, 2]

# %% [markdown]
# Bins of one or two cells are read well by one point. In bins of four cells and more
# one point misses most of the bin. So the sentence is true where bins are small against
# what they show. With FPN (chapter 7) bins of a 7 x 7 grid have 2 to 4 cells in most
# RoIs, where four points are in place.
#
# ### Fewer points than RoIPool?
#
# Another sentence: RoIAlign visits fewer points than RoIPool. Count. RoIAlign with
# $S = 2$ reads $49 \cdot 4 = 196$ points, whatever the RoI, and each mixes 4 cells.
# RoIPool reads all the cells of all its bins, which overlap.


# %%
def cells_read(side: float, stride: int) -> int:
    """How many cells RoIPool reads in the 7 x 7 bins of a square RoI, one by one."""
    steps = roi_pool_steps(np.array([0, 0, side, side]), (7, 7), 1 / stride)
    return sum(len(steps.points(i, j)) for i, j in np.ndindex(7, 7))


counts = {side: cells_read(side, stride=16) for side in (56, 112, 224, 448, 665)}
print(counts)
assert counts == {56: 121, 112: 196, 224: 441, 448: 1296, 665: 2401}

# %% [markdown]
# At stride 16 it is true of objects above 112 pixels, where both read 196, and false
# below. In cells that are touched, $4 \cdot 196 = 784$, it is true of large objects
# only.
#
# ## 14 x 14, then 7 x 7
#
# "RoIAlign interpolates to 14 x 14 and pools to 7 x 7": with one point a bin of the
# finer grid, the points are the very same, and so is the mean of each 2 x 2 block.

# %%
features = np.random.default_rng(1).standard_normal((1, 1, 12, 12))
roi = np.array([[0, 20.0, 28, 150, 170]])
fine = roi_align(features, roi, (14, 14), 1 / 16, sampling_ratio=1)[0, 0]
coarse = roi_align(features, roi, (7, 7), 1 / 16, sampling_ratio=2)[0, 0]
assert np.allclose(fine.reshape(7, 2, 7, 2).mean(axis=(1, 3)), coarse)

# %% [markdown]
# It is another matter with TensorFlow's `crop_and_resize`, on which this sentence
# usually rests. That function spreads its reads from the RoI's first pixel to its last,
# not over the centres of equal parts, and counts a map of $V$ cells as $V - 1$ steps.
# For the 665 pixels its outer reads lie 8 and 13 pixels further out.

# %%
reads = crop_points(first=0, last=664, pixels=800, cells=25, count=14)
points = np.ravel(axis_points(Span(0, 20.78125), count=14, sampling_ratio=1))
outwards = 32 * np.array([points[0] - reads[0], reads[-1] - points[-1]])
print(np.round(outwards, 1))
assert np.allclose(outwards, [7.75, 12.9], atol=0.1)

# %% [markdown]
# ## The way back
#
# Each bin's gradient goes to its points in equal shares, and from each point to the
# cells that it mixed, by their weights (chapter 1).

# %%
show(read_bins_backward, roi_align_backward)

# %% [markdown]
# RoIAlign with the mean is **linear** in the map: out $= A f$, where $A$ holds how much
# of each cell is in each bin. The gradient by the map is then $A^T g$, the **adjoint**,
# and there is a test that needs no derivatives. For any map $f$ and any $g$:
#
# $$\langle g, A f \rangle = \langle A^T g, f \rangle$$

# %%
g = np.random.default_rng(2).standard_normal((1, 1, 7, 7))
out = roi_align(features, roi, (7, 7), 1 / 16, 2)
d_features = roi_align_backward(g, features, roi, 1 / 16, 2)
assert np.isclose((g * out).sum(), (d_features * features).sum())
assert np.isclose(d_features.sum(), g.sum())  # the weights of a bin sum to 1

# %% [markdown]
# Since points form a grid and a weight is row weight times column weight, $A$ falls
# apart into one small matrix an axis: forward $A_y F A_x^T$, backward $A_y^T G A_x$.
# Fast kernels live on this (chapter 13).

# %%
show(axis_matrix)

# %%
a_y = axis_matrix(12, axis_points(Span(28 / 16, 170 / 16), 7, 2))
a_x = axis_matrix(12, axis_points(Span(20 / 16, 150 / 16), 7, 2))
assert np.allclose(a_y.sum(axis=1), 1)
assert np.allclose(a_y @ features[0, 0] @ a_x.T, out[0, 0])
assert np.allclose(a_y.T @ g[0, 0] @ a_x, d_features[0, 0])

# %% [markdown]
# The box gets no gradient from RoIAlign: published versions treat it as given.
# Multi-task Network Cascades, where RoIWarp comes from, wanted that gradient, and a
# bilinear reading has it (the slope of chapter 1). With corners rounded, as in Mask
# R-CNN's comparison, it is 0 wherever there is one.
#
# ## What matters: not to round
#
# RoIWarp reads between the cells, as RoIAlign does. It rounds the RoI, as RoIPool does.

# %%
show(roi_warp_steps)

# %% [markdown]
# The paper's measurements (mask AP on COCO; tables 2c and 2d, ResNet-50):
#
# | layer | stride 16: AP | AP75 | stride 32: AP | AP75 |
# | --- | --- | --- | --- | --- |
# | RoIPool, maximum | 26.9 | 26.4 | 23.6 | 21.6 |
# | RoIWarp, maximum | 27.2 | 27.1 | | |
# | RoIWarp, mean | 27.1 | 27.1 | | |
# | RoIAlign, maximum | 30.2 | 31.8 | | |
# | RoIAlign, mean | 30.3 | 31.5 | 30.9 | 32.1 |
#
# Reading between cells brings 0.2 or 0.3 points, not rounding 3.1 or so. The gain grows
# with the stride, for the error is measured in cells; and at a stricter IoU, since AP75
# asks for a mask that sits right. Keypoints, which need one pixel, go from 59.8 to 64.2
# (table 6).
#
# Two figures from write-ups, with these numbers: "a gain of about 7 %" is 7.3 *points*,
# at stride 32; "10 % to 50 % better" is *relative*, from 13 % at stride 16 to 49 % for
# AP75 at stride 32.

# %%
assert (round(30.9 - 23.6, 1), round(30.3 - 26.9, 1)) == (7.3, 3.4)
assert round(100 * (30.3 / 26.9 - 1)) == 13
assert round(100 * (30.9 / 23.6 - 1)) == 31
assert round(100 * (32.1 / 21.6 - 1)) == 49

# %% [markdown]
# ## Exercises
#
# Together they are RoIAlign, there and back.

# %% exercise="ex03_1"
exercise("ex03_1")

# %% exercise="ex03_2"
exercise("ex03_2")

# %% exercise="ex03_3"
exercise("ex03_3")

# %% [markdown]
# ## Summary
#
# - RoIAlign rounds nothing; a bin is the mean of $S \times S$ bilinear readings at the
#   centres of its equal parts.
# - Index coordinate = $x / \text{stride} - 1/2$; without the half pixel everything is
#   read half a cell too far, on a ramp by exactly that.
# - Mean or maximum is the same to 0.1 AP; one point does where bins are small.
# - The gradient is the adjoint: the same weights, the other way; and it is separable.
# - RoIWarp interpolates but rounds the RoI, and gains next to nothing over RoIPool.
#
# ## To read
#
# - He et al., *Mask R-CNN*, 2017, section 3, "RoIAlign", tables 2c, 2d and 6.
# - Dai et al., *Instance-aware Semantic Segmentation via Multi-task Network Cascades*,
#   2016, for RoIWarp.
# - `maskrcnn_scratch/reference/roi_align.py`, `roi_warp.py` and `crop_and_resize.py`;
#   `tests/test_roi_align.py` holds every law of this chapter.
