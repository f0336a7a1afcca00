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
# # 2 RoIPool and its two quantisations
#
# A detector looks at regions of all sizes, and its heads want one size. RoIPool, the
# layer of Fast R-CNN, brings every region to the same small grid. It rounds twice on
# the way. This chapter follows the rounding, number by number, because it is what Mask
# R-CNN removes.
#
# **After this chapter you can**
#
# - compute by hand what RoIPool reads for a box, under both rules in circulation;
# - say how far off that is, in cells and in image pixels, and give the bounds;
# - tell which of the two quantisations a worked example is about;
# - pool by the maximum, and send a gradient back through it.
#
# **Before:** chapter 0, 1.
# **Minutes:** 95, of which 45 for the exercises.

# %%
import math
from itertools import pairwise

import numpy as np

from maskrcnn_scratch.figures.interactive import move_roi
from maskrcnn_scratch.figures.misalignment import follow
from maskrcnn_scratch.figures.roi_steps import draw_layers, draw_strips
from maskrcnn_scratch.learning import check, exercise, hint, show
from maskrcnn_scratch.reference.roi_pool import (
    largest,
    overlapping_bins,
    quantise,
    roi_pool,
    roi_pool_backward,
    roi_pool_steps,
    round_half_away,
    whole_cell_bins,
)
from maskrcnn_scratch.reference.roi_steps import Span

# %% [markdown]
# ## The case to follow
#
# An image of 800 x 800 pixels goes through a network whose features have a **stride**
# of 32: one cell for 32 x 32 pixels, so a map of 25 x 25 cells. An object takes 665 x
# 665 pixels, from the upper left corner on. A **RoI** (region of interest) is its box.
# On the map it is
#
# $$x_\text{cells} = x_\text{pixels} / \text{stride}, \qquad
# 665 / 32 = 20.78125$$
#
# cells wide. Coordinates here count from the border of the map: cell $i$ covers
# $[i, i + 1)$. (The index coordinates of chapter 1 are half a cell less.)

# %%
stride = 32
assert 800 / stride == 25
assert 665 / stride == 20.78125

# %% [markdown]
# The head wants 7 x 7 numbers a channel. So the RoI is cut into 7 x 7 **bins**, and
# the largest value of each bin is taken. 20.78 is no whole number of cells, and neither
# is a seventh of it. RoIPool reads whole cells only, so it must round, twice. Each
# rounding is called a **quantisation**. Rows and columns never mix, so one axis tells
# all.
#
# ## The first quantisation: the RoI's corners
#
# The Mask R-CNN paper writes $[x / 16]$ for it, with brackets for rounding. There are
# two rules.
#
# - **floor**: both corners go down. Most walk-throughs tell it so: 20.78 becomes 20.
# - **round**: both go to the nearest whole number, as in the code of Fast R-CNN and in
#   torchvision: 20.78 becomes 21.

# %%
show(quantise, round_half_away)

# %%
object_in_cells = Span(0, 665 / stride)
assert quantise(object_in_cells, "floor") == (0, 20)
assert quantise(object_in_cells, "round") == (0, 21)

# %% [markdown]
# Halves need a word. C's `round` takes them away from zero, Python's and NumPy's to the
# even number. A copy that calls `round` differs from the layer at every second half.

# %%
halves = [0.5, 1.5, 2.5, -0.5]
assert [round_half_away(c) for c in halves] == [1, 2, 3, -1]
assert [round(c) for c in halves] == [0, 2, 2, 0]

# %% [markdown]
# Then the rules differ once more. Under **round** the two numbers name the first and
# the last cell, and both belong to the RoI. From 0 to 21 these are 22 cells. Under
# **floor** the second number is the end itself: 20 cells.

# %%
box = np.array([0, 0, 665, 665])
floor = roi_pool_steps(box, (7, 7), 1 / stride, "floor").x
rounded = roi_pool_steps(box, (7, 7), 1 / stride, "round").x
assert (floor.quantised.size, rounded.quantised.size) == (20, 22)

# %% [markdown]
# What is lost? Under floor 0.78125 cells of the object, or 25 of its 665 pixels. Round
# adds more than that: 1.21875 cells, 39 pixels that are not the object's.

# %%
assert floor.lost == 0.78125 == 25 / stride
assert rounded.lost == -1.21875 == -39 / stride

# %% [markdown]
# ### Bounds
#
# A corner at $c$ cells moves by less than a whole cell when it goes down, and by at
# most half a cell when it goes to the nearest whole number:
#
# $$0 \le c - \lfloor c \rfloor < 1, \qquad |c - \text{round}(c)| \le \tfrac12$$
#
# A cell is a stride of image pixels. At stride 16 the bounds are just under 16 pixels
# and 8 pixels, at stride 32 twice that. The coarser the map, the worse.

# %%
for stride_ in (16, 32):
    pixels = np.arange(0, 200, 0.25)
    down = [x - quantise(Span(x / stride_, 0), "floor").start * stride_ for x in pixels]
    near = [x - quantise(Span(x / stride_, 0), "round").start * stride_ for x in pixels]
    assert (min(down), max(down)) == (0, stride_ - 0.25)
    assert max(map(abs, near)) == stride_ / 2

# %% [markdown]
# ## The second quantisation: the bins' borders
#
# Now 20 cells go into 7 bins: $20 / 7 = 2.857$ cells each (some texts round it to 2.9).
# Again there are two rules.
#
# **floor**, the walk-throughs' rule, takes the size of a bin down to 2 cells. Seven
# bins of 2 cells are 14 cells. The other 6 of the 20, and the 0.78 that went before,
# are in no bin at all.

# %%
show(whole_cell_bins)

# %%
assert abs(20 / 7 - 2.857) < 5e-4
assert math.floor(20 / 7) == 2
assert [span.size for span in floor.bins] == [2] * 7
assert floor.covered == 14
assert (floor.roi.size - floor.covered) * stride == 217  # pixels in no bin

# %% [markdown]
# **round**, the layer of Fast R-CNN and of torchvision, does not round the size. Bin
# $k$ of $n$ is the $k$-th part of the RoI, and takes every cell that this part touches:
#
# $$\text{start}_k = \lfloor k \cdot s \rfloor, \qquad
# \text{end}_k = \lceil (k + 1) \cdot s \rceil, \qquad s = \text{size} / n$$
#
# Neighbouring bins share cells, and no cell of the RoI is left out.

# %%
show(overlapping_bins)

# %%
size = 22 / 7
assert [tuple(span) for span in rounded.bins] == [
    (math.floor(k * size), math.ceil((k + 1) * size)) for k in range(7)
]
assert [tuple(span) for span in rounded.bins[:3]] == [(0, 4), (3, 7), (6, 10)]
assert set(range(22)) == {c for cells in rounded.points for c in cells}

# %% [markdown]
# Both rules in one picture. Dotted lines are the ends of the object; bins stand in two
# lanes in turn, so that one can see where they overlap. A dot is a cell that is read.

# %%
told = follow(image=800, object_side=665, stride=32, out_size=7)
assert told.cells == 25
show(draw_strips(told, names=("RoIPool floor", "RoIPool round")))

# %% [markdown]
# The last bin belongs 17.8 to 20.8 cells from the left. Under floor it reads the cells
# 12 and 13, which is 201.5 pixels too far to the left: nearly a third of the object.
# Under round it is 22.5 pixels too far to the right.

# %%
assert floor.shift[-1] * stride == -201.5
assert np.isclose(rounded.shift[-1] * stride, 22.5)

# %% [markdown]
# ### Each one's share
#
# The shift of a bin is the sum of what the corners did and what the borders did. Over
# many boxes at stride 16, on average and without sign:

# %%
rng = np.random.default_rng(2)
sides = rng.uniform(64, 448, 200)
lefts = rng.uniform(0, 800 - sides)
for rule in ("floor", "round"):
    steps = [
        roi_pool_steps(np.array([x, x, x + side, x + side]), (7, 7), 1 / 16, rule).x
        for x, side in zip(lefts, sides, strict=True)
    ]
    corners = 16 * np.array([one.corner_shift for one in steps])
    borders = 16 * np.array([one.border_shift for one in steps])
    shifts = 16 * np.array([one.shift for one in steps])
    assert np.allclose(corners + borders, shifts)
    print(
        f"{rule}: corners {abs(corners).mean():.1f} pixels, "
        f"borders {abs(borders).mean():.1f}, both {abs(shifts).mean():.1f}"
    )

# %% [markdown]
# So the two rules do not only differ in a detail. In the walk-throughs' layer the bins'
# borders do most of the harm. In the layer that was really used the corners do: with
# the last cell taken in, they move a bin half a cell to the right on average, and the
# overlapping bins then are nearly where they belong. Say which rule an example follows.
#
# ## 8 cells into 7 bins
#
# One more case is often told: an 8 x 8 RoI pooled to 7 x 7, in which some outputs mix
# one cell and some two, so that no place in the output stands for a fixed place in the
# input. That is true where the borders are shared and rounded down. The layer itself
# mixes two cells in every bin, and the rule of the walk-throughs one, leaving out the
# last cell.

# %%
ends = [math.floor(k * 8 / 7) for k in range(8)]
shared = [after - before for before, after in pairwise(ends)]
assert shared == [1, 1, 1, 1, 1, 1, 2]
eight = Span(0, 8)
assert [span.size for span in overlapping_bins(eight, 7)] == [2] * 7
assert [span.size for span in whole_cell_bins(eight, 7)] == [1] * 7
assert whole_cell_bins(eight, 7)[-1].end == 7

# %% [markdown]
# ## The maximum
#
# What is left is the largest value of each bin. The layer also keeps **where** it
# stood, as a flat index `row * width + column`, for the way back. A bin that has no
# cell on the map, because the box lies outside, gives 0 and the index -1.

# %%
show(largest, roi_pool)

# %%
feature_map = np.array(
    [
        [1, 5, 2, 0, 3, 1],
        [4, 2, 8, 6, 2, 0],
        [0, 7, 3, 1, 9, 2],
        [2, 1, 6, 4, 5, 3],
        [3, 0, 2, 7, 1, 8],
        [1, 2, 4, 0, 6, 5],
    ],
    dtype=np.float64,
)
figure, told = draw_layers(
    *(feature_map, np.array([20, 12, 76, 68]), (2, 2)),
    stride=16,
    names=("RoIPool floor", "RoIPool round"),
)
show(figure)

# %% [markdown]
# The box from x = 20 to 76 is 1.25 to 4.75 cells. Floor makes it the cells 1 to 3,
# and bins of floor(3 / 2) = 1 cell. Round makes it the cells 1 to 5, five of them: two
# bins of 2.5 cells, which read 1 to 3 and 3 to 5.

# %%
x = told["RoIPool floor"].steps.x
assert (x.quantised, [tuple(b) for b in x.bins]) == ((1, 4), [(1, 2), (2, 3)])
x = told["RoIPool round"].steps.x
assert (x.quantised, [tuple(b) for b in x.bins]) == ((1, 6), [(1, 4), (3, 6)])
assert told["RoIPool round"].out.tolist() == [[8, 9], [7, 8]]

features, rois = feature_map[None, None], np.array([[0, 20, 12, 76, 68]])
out, argmax = roi_pool(features, rois, (2, 2), 1 / 16)
winners = [(1, 2), (2, 4), (4, 3), (4, 5)]
assert [divmod(place, 6) for place in argmax.ravel()] == winners

# %% [markdown]
# ## The way back
#
# A maximum changes with the cell that won, as fast as that cell, and with no other. So
# each bin sends its whole gradient $g$ to one cell, and a cell that won several bins
# gets the sum (Fast R-CNN, section 2.3):
#
# $$\frac{\partial L}{\partial f_{p}} = \sum_{\text{bins } b} [p = \text{argmax}_b]\;
# g_b$$

# %%
show(roi_pool_backward)

# %%
gradient = np.array([[1.0, 10.0], [100.0, 1000.0]])[None, None]
d_features = roi_pool_backward(gradient, argmax, rois, features.shape)
print(d_features[0, 0])
for cell, value in zip(winners, (1, 10, 100, 1000), strict=True):
    assert d_features[0, 0][cell] == value
assert d_features.sum() == gradient.sum()

step = 1 / 64
nudged = features.copy()
nudged[0, 0, 2, 4] += step
slope = (roi_pool(nudged, rois, (2, 2), 1 / 16)[0] - out) / step
assert slope[0, 0].tolist() == [[0, 1], [0, 0]]

# %% [markdown]
# By the box there is no gradient worth the name. Move the box a little and nothing
# changes; move it over a rounding border and the output jumps. In the figure the
# features are a slope. What the bin with the black frame reads is drawn below, for
# every place of the RoI. In a running notebook the controls move it.

# %%
moved = move_roi(x=20, y=28, size=56, stride=16, out_size=3, rounding="round")
assert moved.trace.jumps == (8, 16, 24, 32, 40, 48, 56, 64)
between = (moved.trace.x >= 16) & (moved.trace.x < 24)
assert len(set(moved.trace.pool[between])) == 1
assert np.allclose(np.diff(moved.trace.align), 1 / 16)

# %% [markdown]
# The RoI is 56 pixels wide, 3.5 cells, so that one of its two corners jumps every half
# cell, at 8, 16, 24 and so on. The other line is RoIAlign, which glides: 1/16 a pixel,
# just what the slope rises. It is the next chapter's subject.
#
# Does it matter? For the class of an object hardly: it stays the same when its features
# shift a little. For a mask, which is drawn pixel by pixel, very much.
#
# The command `maskrcnn-scratch misalignment` prints every number of this chapter for
# any image, object and stride, and draws all layers side by side.
#
# ## Exercises
#
# Together they are RoIPool: corners, borders, maxima, and the way back.

# %% exercise="ex02_1"
exercise("ex02_1")

# %% exercise="ex02_2"
exercise("ex02_2")

# %% exercise="ex02_3"
exercise("ex02_3")

# %% exercise="ex02_4"
exercise("ex02_4")

# %% [markdown]
# ## Summary
#
# - RoIPool rounds twice: the RoI's corners, then the bins' borders.
# - 665 pixels at stride 32 are 20.78 cells: 20 by flooring, 21 by rounding, of which
#   both ends are taken, so 22.
# - 20 / 7 = 2.857 floored to 2 leaves 14 of 20.78 cells; the layer of Fast R-CNN floors
#   starts and ceils ends, so bins overlap and cover all.
# - A corner moves by at most half a stride when rounded, by less than a stride when
#   floored.
# - The gradient goes to the cell that won; the box gets none.
#
# ## To read
#
# - Girshick, *Fast R-CNN*, 2015, sections 2.1 and 2.3.
# - He et al., *Mask R-CNN*, 2017, section 3, "RoIAlign", for $[x / 16]$.
# - `maskrcnn_scratch/reference/roi_steps.py` and `roi_pool.py`.
