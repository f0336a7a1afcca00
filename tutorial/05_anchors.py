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
# # 5 Anchors
#
# A network with a fixed number of outputs must find any number of objects of any size.
# The answer of Faster R-CNN, kept by Mask R-CNN: lay a fixed set of boxes over the
# image, the **anchors**, and ask of each one whether an object is near and how to
# change the anchor into it.
#
# **After this chapter you can**
#
# - compute an anchor's sides from its size and ratio, and say which ratio is meant;
# - say where the anchors of a cell stand, and in which order all of them are listed;
# - count the anchors of an image, on one feature map and on a pyramid;
# - say which objects no anchor fits well.
#
# **Before:** chapter 4.
# **Minutes:** 85, of which 40 for the exercises.

# %%
import math

import matplotlib.pyplot as plt
import numpy as np

from maskrcnn_scratch.data.shapes import draw_scene
from maskrcnn_scratch.figures.anchors import draw_cell_anchors
from maskrcnn_scratch.figures.interactive import place_anchors
from maskrcnn_scratch.learning import check, exercise, hint, show
from maskrcnn_scratch.reference.anchors import (
    cell_anchors,
    grid_anchors,
    pyramid_anchors,
)
from maskrcnn_scratch.reference.boxes import box_area, box_iou, encode_boxes

# %% [markdown]
# ## Size and ratio
#
# An anchor is given by a **size** $s$, the square root of its area in pixels, and a
# **ratio** $r = h / w$. Two equations, $w h = s^2$ and $h = r w$, have the solution
#
# $$w = \frac{s}{\sqrt r} \qquad h = s \sqrt r$$
#
# So the ratio changes the form and keeps the area. The square roots are what makes it
# so.

# %%
s, r = 32.0, 4.0
w, h = s / math.sqrt(r), s * math.sqrt(r)
assert (w, h) == (16, 64)
assert w * h == s**2
assert h / w == r
(x1, y1, x2, y2), *others = cell_anchors([s], [r, 1.0, 0.25])
assert (x2 - x1, y2 - y1) == (w, h)
assert box_area(np.array(others)).tolist() == [s**2, s**2]

# %%
show(cell_anchors)

# %% [markdown]
# Mask R-CNN uses the ratios 0.5, 1 and 2. The anchors of one cell with the size 32:

# %%
figure, axes = plt.subplots(figsize=(7.5, 4.6), layout="constrained")
told = draw_cell_anchors(axes, [32.0], [0.5, 1.0, 2.0], stride=8, cell=(3, 3))
assert np.allclose(told.areas, 32**2)
assert np.allclose(told.ratios, [0.5, 1, 2])
assert told.centre == (24, 24)

# %% [markdown]
# ### What you read elsewhere
#
# - **The ratio upside down.** Some systems mean w / h, and "1:2, 1:1, 2:1" may be read
#   either way. The set 0.5, 1, 2 is the same both ways, but the *order* of the anchors
#   is not, and with it the meaning of a network's channels.
# - **A formula that its own code did not follow.** A well-known textbook gave, for a
#   picture of $W \times H$ pixels, sides relative to the picture and $r = w / h$, the
#   width $W s \sqrt r$ and the height $H s / \sqrt r$. Its code computed the width $H s
#   \sqrt r$. In a square picture the two agree, so the examples did not show it. In any
#   other only the code's anchor has the ratio $r$. Readers reported it for years, and
#   were right.

# %%
W, H, s, r = 640, 480, 0.25, 2.0
height = H * s / math.sqrt(r)
assert math.isclose(H * s * math.sqrt(r) / height, r)  # the code
assert math.isclose(W * s * math.sqrt(r) / height, r * W / H)  # the text

# %% [markdown]
# - **Rounded anchors.** Torchvision rounds the corners to whole pixels, and its
#   published weights were trained so. Then area and ratio are only about right.

# %%
figure, axes = plt.subplots(figsize=(7.5, 4.6), layout="constrained")
told = draw_cell_anchors(
    axes, [32.0], [0.5, 1.0, 2.0], stride=8, cell=(3, 3), rounded=True
)
assert told.areas.tolist() == [46 * 22, 32 * 32, 22 * 46] == [1012, 1024, 1012]
assert told.ratios[2] == 46 / 22 > 2

# %% [markdown]
# ## Where they stand
#
# The anchors of the cell in row $i$, column $j$ of a feature map with the stride $t$
# are centred at
#
# $$(x, y) = (j\, t,\; i\, t)$$
#
# That is the upper left corner of the $t \times t$ pixels that the cell stands for in
# chapter 3, not their middle. Is it an error? All of torchvision, detectron2 and
# matterport do so; others, SSD among them, put anchors at $(j + 1/2)\, t$.

# %%
show(grid_anchors)

# %% [markdown]
# A convolution takes the side of the corner. Cell $i$ after a layer with kernel $k$,
# stride $t$ and padding $p$ looks at cells around $i t - p + (k - 1) / 2$ of the layer
# before. In a ResNet $p = (k - 1) / 2$ everywhere, so this is $i t$: the **receptive
# field** of cell $i$ at stride 32 is centred at the pixel of index $32 i$, in
# continuous coordinates at $32 i + 1/2$. The middle of its 32 pixels would be $32 i +
# 16$.

# %%
RESNET_STRIDES = [(7, 2, 3), (3, 2, 1), (3, 2, 1), (3, 2, 1), (3, 2, 1)]
for i in range(25):
    centre = i
    for kernel, stride, padding in reversed(RESNET_STRIDES):
        centre = centre * stride - padding + (kernel - 1) / 2
    assert centre == 32 * i

# %% [markdown]
# And if the anchors did stand half a stride off, the deltas would make up for it: the
# same $d_x$ for every object, which is what a network learns first. An anchor is 8
# strides wide, so half a stride is 1/16. But weights that were trained with one rule
# are off with the other.

# %%
for stride, size in [(4, 32), (16, 128), (64, 512)]:
    anchor = cell_anchors([size], [1.0])
    (deltas,) = encode_boxes(anchor, anchor + stride / 2)
    assert deltas.tolist() == [1 / 16, 1 / 16, 0, 0]

# %% [markdown]
# ### The order
#
# Row by row, in a row cell by cell, the anchors of a cell together. The RPN's output is
# brought into the same order (chapter 8). So the number of an anchor tells its place by
# division, and nothing else has to be stored.

# %%
A, (grid_h, grid_w) = 3, (4, 5)
cell = cell_anchors([32.0], [0.5, 1.0, 2.0])
level = grid_anchors(cell, 8, (grid_h, grid_w))
assert level.shape == (grid_h * grid_w * A, 4)
number = 41
place, k = divmod(number, A)
i, j = divmod(place, grid_w)
assert (i, j, k) == (2, 3, 2)
assert np.array_equal(level[number], cell[k] + [3 * 8, 2 * 8, 3 * 8, 2 * 8])

# %% [markdown]
# ## How many
#
# **On one feature map** (the C4 models, stride 16) every cell has 5 sizes in 3 ratios,
# 15 anchors. **On a feature pyramid** (chapter 7) each level has one size, and 3
# anchors a cell: the levels take the place of the sizes.

# %%
sizes, strides, ratios = [32, 64, 128, 256, 512], [4, 8, 16, 32, 64], [0.5, 1.0, 2.0]
c4 = cell_anchors([float(size) for size in sizes], ratios)
assert len(c4) == 5 * 3 == 15
assert (1024 // 16) ** 2 * 15 == 61_440
assert [size // stride for size, stride in zip(sizes, strides, strict=True)] == [8] * 5

# %% [markdown]
# An image of 1024 x 1024 pixels has on P2 to P6
#
# $$3 \left(256^2 + 128^2 + 64^2 + 32^2 + 16^2\right) = 261{,}888$$
#
# anchors. Three quarters of them are on P2. This number stands in the shapes of one
# much-read implementation, as outputs `(1, 261888, 2)` and `(1, 261888, 4)`: two scores
# an anchor for a softmax, and four deltas. The paper's own code has one score an
# anchor, for a sigmoid.

# %%
counts = [3 * (1024 // stride) ** 2 for stride in strides]
assert sum(counts) == 261_888
assert counts[0] / sum(counts) > 0.75

# %% [markdown]
# A cell that the image covers only in part counts. The published models round up at
# every halving.

# %%
grids = [(math.ceil(100 / stride), math.ceil(150 / stride)) for stride in strides]
assert grids == [(25, 38), (13, 19), (7, 10), (4, 5), (2, 3)]
levels = pyramid_anchors(sizes, ratios, strides, grids)
assert [len(level) for level in levels] == [3 * h * w for h, w in grids]

# %% [markdown]
# ## Over a picture
#
# Each dot is the centre of the anchors of one cell. Look at how the levels differ, and
# at how many anchors leave the picture. Those that cross its border are kept: boxes are
# clipped after decoding.

# %%
scene = draw_scene(256, np.random.default_rng(5))
placed = place_anchors(scene.pixels, level=4)
assert placed.stride == 16
assert placed.anchors.grid_size == (16, 16)
assert placed.anchors.count == 3 * 16 * 16
assert placed.sizes == (128,)

# %% [markdown]
# ## What they cannot fit
#
# How well does the best anchor fit an object, if it happens to stand exactly at its
# centre? Take square objects. An anchor of side $s$ inside an object of side $q \ge s$
# has the IoU $s^2 / q^2$. The worst case lies half way to the next anchor, at $q =
# \sqrt 2\, s$:
#
# $$\mathrm{IoU} = \frac{s^2}{2 s^2} = \frac{(\sqrt 2\, s)^2}{(2 s)^2} = \frac12$$

# %%
square = cell_anchors([32.0, 64.0], [1.0])
between = cell_anchors([32 * math.sqrt(2)], [1.0])
assert np.allclose(box_iou(between, square), 0.5)

# %% [markdown]
# The RPN calls an anchor positive from an IoU of 0.7 on. Half way between two sizes
# there are objects for which **no** anchor reaches that. Small objects fall far short
# of it: one of 8 x 8 pixels has 1/16 with the smallest anchor. This is why the RPN's
# rule has a second half (chapter 8): the best anchor of each object counts, whatever
# its IoU. It is also why some later systems put three sizes into each octave.

# %%
assert box_iou(cell_anchors([8], [1.0]), square)[0, 0] == 8**2 / 32**2 == 1 / 16
octave = cell_anchors([32 * 2 ** (k / 3) for k in range(4)], [1.0])
between = cell_anchors([32 * 2 ** (1 / 6)], [1.0])
assert np.isclose(box_iou(between, octave).max(), 2 ** (-1 / 3))
assert 2 ** (-1 / 3) > 0.79

# %% [markdown]
# The same for the objects of the scene above, over all anchors of all its levels:

# %%
grids = [(256 // stride, 256 // stride) for stride in strides]
anchors = np.concatenate(pyramid_anchors(sizes, ratios, strides, grids))
boxes = []
for mask in scene.masks:
    rows, columns = np.nonzero(mask)
    boxes.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
best = box_iou(np.array(boxes, float), anchors).max(axis=1)
for (x1, y1, x2, y2), iou in zip(boxes, best, strict=True):
    print(f"{x2 - x1:3} x {y2 - y1:3} pixels: best anchor {iou:.2f}")
assert best.min() < 0.7 < best.max()

# %% [markdown]
# ## Exercises
#
# The first two build all the anchors of a level. The third goes the other way, which
# you will need whenever you want to see what a score of the RPN is about.

# %% exercise="ex05_1"
exercise("ex05_1")

# %% exercise="ex05_2"
exercise("ex05_2")

# %% exercise="ex05_3"
exercise("ex05_3")

# %% [markdown]
# ## Summary
#
# - w = s / sqrt(r) and h = s sqrt(r), with r = h / w: the ratio keeps the area.
# - The anchors of cell (i, j) are centred at (j stride, i stride).
# - Order: level, row, column, anchor; so a number tells the place.
# - C4: 5 sizes x 3 ratios a cell. FPN: one size a level, 3 a cell, 261,888 in all for
#   1024 x 1024 pixels.
# - Between two sizes the best IoU of a square falls to 1/2; below the smallest further.
#
# ## To read
#
# - Ren et al., *Faster R-CNN*, 2015, section 3.1.1: anchors.
# - Lin et al., *Feature Pyramid Networks*, 2017, section 4.1: one size a level.
# - Lin et al., *Focal Loss*, 2017, section 4: three sizes within an octave.
# - `maskrcnn_scratch/reference/anchors.py`.
