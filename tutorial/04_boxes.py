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
# # 4 Boxes and their overlap
#
# Everything in a detector is said in boxes: where an object is, where the network
# looks, what it predicts, how good that is. Most of the silent errors in detection code
# are disagreements about what the four numbers of a box mean.
#
# **After this chapter you can**
#
# - say what the numbers of a box mean, and convert between the three usual ways;
# - compute the area, the intersection and the IoU of boxes, also where they are empty;
# - clip boxes to an image;
# - turn a box into the four deltas that a network predicts, and back.
#
# **Before:** chapter 1.
# **Minutes:** 90, of which 45 for the exercises.

# %%
import math

import matplotlib.pyplot as plt
import numpy as np

from maskrcnn_scratch.figures.boxes import draw_coding, draw_overlap
from maskrcnn_scratch.learning import check, exercise, hint, show
from maskrcnn_scratch.reference.boxes import (
    LARGEST_LOG_SCALE,
    box_area,
    box_iou,
    clip_boxes,
    decode_boxes,
    encode_boxes,
    intersection_area,
)

# %% [markdown]
# ## What the four numbers mean
#
# In this project a box is $(x_1, y_1, x_2, y_2)$ in **continuous image pixels**: 0 is
# the left or upper *border* of the image, and the pixel in row $i$, column $j$ covers
# $[j, j + 1) \times [i, i + 1)$. The corners lie on borders of pixels, not on pixels,
# so
#
# $$w = x_2 - x_1 \qquad h = y_2 - y_1$$
#
# Here an object of 3 x 2 pixels stands in the columns 2, 3, 4 and the rows 1, 2.

# %%
mask = np.zeros((4, 6), bool)
mask[1:3, 2:5] = True
rows, columns = np.nonzero(mask)
xyxy = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], float)
x1, y1, x2, y2 = xyxy
assert xyxy.tolist() == [2, 1, 5, 3]
assert (x2 - x1, y2 - y1) == (3, 2)
assert box_area(xyxy[None])[0] == mask.sum() == 6

# %% [markdown]
# You will meet two other ways to write the same box.
#
# - **xywh**: corner and sides. COCO's files store boxes so.
# - **inclusive xyxy**: the first and the last *pixel*, as indices. Then a box is $x_2 -
#   x_1 + 1$ wide. Older code, the first Fast R-CNN among it, counts so.
#
# There is also (y1, x1, y2, x2), in some systems as fractions of the image's height and
# width less one. None of these can be told from the numbers alone.

# %%
xywh = np.array([x1, y1, x2 - x1, y2 - y1])
inclusive = np.array([x1, y1, x2 - 1, y2 - 1])
assert xywh.tolist() == [2, 1, 3, 2]
assert inclusive.tolist() == [2, 1, 4, 2]

# %% [markdown]
# Reading one as the other raises no error. COCO's `[2, 1, 3, 2]` taken for corners is a
# box of one pixel. With other numbers it is inside out, and the logarithms below are
# NaN: a frequent cause of a training that diverges.

# %%
assert box_area(xywh[None])[0] == 1
inside_out = np.array([[40.0, 30, 20, 10]])  # an xywh box, read as xyxy
assert box_area(inside_out)[0] == 0

# %% [markdown]
# Why not inclusive? Because it does not survive a resize. An image twice as large has
# boxes with twice the coordinates and four times the area. With the + 1 the rule
# breaks, and by the more the smaller the box.

# %%
assert box_area(2 * xyxy[None])[0] == 4 * box_area(xyxy[None])[0]
last_x, last_y = 2 * inclusive[2:]
doubled_inclusive = (last_x - 2 * x1 + 1) * (last_y - 2 * y1 + 1)
assert doubled_inclusive == 15 != 4 * 6

# %% [markdown]
# ## Intersection over union
#
# How well do two boxes agree? What two boxes share is a box again, or nothing: its
# upper left corner is the maximum of the two, its lower right corner the minimum. The
# **IoU** is the part of the covered area that both cover:
#
# $$\mathrm{IoU}(a, b) = \frac{|a \cap b|}{|a \cup b|}
# = \frac{|a \cap b|}{|a| + |b| - |a \cap b|}$$

# %%
a, b = np.array([2.0, 1, 8, 6]), np.array([5.0, 3, 12, 8])
figure, axes = plt.subplots(figsize=(6.5, 4.6), layout="constrained")
told = draw_overlap(axes, a, b)
assert told.shared.tolist() == [max(2, 5), max(1, 3), min(8, 12), min(6, 8)]
assert (told.area_a, told.area_b, told.intersection) == (6 * 5, 7 * 5, 3 * 3)
assert told.union == 30 + 35 - 9 == 56
assert told.iou == 9 / 56

# %%
show(intersection_area, box_iou)

# %% [markdown]
# Two places in this code deserve a look.
#
# **Boxes that lie apart.** Then a side of the "intersection" comes out negative. If
# both do, their product is positive: an area that nobody shares. So each side is
# clamped to 0 before they are multiplied.

# %%
far = np.array([10.0, 9, 12, 11])
near = np.array([2.0, 1, 8, 6])
width, height = min(12, 8) - max(10, 2), min(11, 6) - max(9, 1)
assert (width, height) == (-2, -3)
assert width * height == 6 > 0  # the trap
assert intersection_area(near, far) == 0

# %% [markdown]
# **Boxes without area.** Two of them have the union 0, and 0 / 0 is no number. They
# share no area, so the IoU is 0. Boxes that only touch share no area either.

# %%
point = np.array([[3.0, 3, 3, 3]])
assert box_iou(point, point) == 0
left, right = np.array([[0.0, 0, 4, 4]]), np.array([[4.0, 0, 8, 4]])
assert box_iou(left, right) == 0

# %% [markdown]
# ### How strict is an IoU?
#
# Shift a box of side $s$ by $d$ along one axis. It shares $s (s - d)$ with where it
# was, so
#
# $$\mathrm{IoU} = \frac{s - d}{s + d}$$
#
# A shift by a third of its side gives 0.5, which looks like half but is not: each of
# the two is covered by two thirds. A shift by half gives 1/3. And the same 2 pixels
# that a large box does not feel are the end of a small one.

# %%
for s, d in [(6, 2), (8, 4), (16, 2), (128, 2)]:
    box = np.array([[0.0, 0, s, s]])
    iou = box_iou(box, box + np.array([d, 0, d, 0]))[0, 0]
    assert iou == (s - d) / (s + d)
    print(f"side {s:3}, shift {d}: IoU {iou:.3f}")
assert (6 - 2) / (6 + 2) == 0.5

# %% [markdown]
# The first line is a box whose IoU is **exactly** 0.5. Is it a positive example when
# the rule is "0.5"? Many write-ups of Mask R-CNN say greater than 0.5. The paper says
# *at least* 0.5, so it is. NMS (chapter 6) has the other rule: it drops a box only if
# its IoU is strictly greater. Whole coordinates make such ties common.
#
# A box inside another has the ratio of their areas, wherever it stands inside.

# %%
outer = np.array([[0.0, 0, 10, 10]])
inner = np.array([[1.0, 1, 6, 6], [5, 4, 10, 9]])
assert box_iou(outer, inner).tolist() == [[0.25, 0.25]]

# %% [markdown]
# What does counting inclusively do to an IoU? The two boxes below share a third. With +
# 1 on every side, code written for pixel indices finds 0.43.

# %%
a, b = np.array([0.0, 0, 4, 4]), np.array([2.0, 0, 6, 4])
assert box_iou(a[None], b[None]) == 8 / (16 + 16 - 8) == 1 / 3
plus_one = (2 + 1) * (4 + 1)
wrong = plus_one / (2 * (4 + 1) ** 2 - plus_one)
assert round(wrong, 2) == 0.43

# %% [markdown]
# ## Clipping
#
# Predicted boxes reach over the border of the image. They are cut to $0 \le x \le$
# width and $0 \le y \le$ height. The width itself is allowed, since it is the last
# pixel's right border. `image_size` is (height, width), as in an array's `shape`: the
# order is the trap here.

# %%
show(clip_boxes)

# %%
wide_image = (100, 200)  # 100 high, 200 wide
over = np.array([[-8.0, 90, 210, 130], [220, 10, 260, 40]])
clipped = clip_boxes(over, wide_image)
assert clipped[0].tolist() == [0, 90, 200, 100]
assert clipped[1].tolist() == [200, 10, 200, 40]  # outside: now empty
assert box_area(clipped).tolist() == [2000, 0]

# %% [markdown]
# ## What the network predicts: deltas
#
# A network does not predict corners. It starts from a box that is already there, an
# anchor (chapter 5) or a RoI, and predicts how to change it. With the centres $(x, y)$
# and $(x_a, y_a)$ of the box and of the one it starts from:
#
# $$d_x = \frac{x - x_a}{w_a} \quad d_y = \frac{y - y_a}{h_a} \quad
# d_w = \log \frac{w}{w_a} \quad d_h = \log \frac{h}{h_a}$$

# %%
anchor, box = np.array([2.0, 2, 10, 6]), np.array([6.0, 3, 18, 11])
figure, axes = plt.subplots(figsize=(6.5, 5), layout="constrained")
told = draw_coding(axes, anchor, box)
dx, dy, dw, dh = told.deltas
assert (dx, dy) == ((12 - 6) / 8, (7 - 4) / 4)
assert (dw, dh) == (math.log(12 / 8), math.log(8 / 4))
assert np.allclose(told.decoded, box)

# %% [markdown]
# Why so complicated? The shift is measured in the anchor's sides and the sides as
# factors. So the numbers do not change when the image is enlarged or the pair stands
# elsewhere, and one small regressor can serve anchors of 32 and of 512 pixels. The
# logarithm makes twice as wide and half as wide equally far from 0, and no prediction
# can give a negative width.

# %%
deltas = encode_boxes(anchor[None], box[None])
for factor, shift in [(1, 100), (16, 0), (16, 100)]:
    moved = encode_boxes(factor * anchor[None] + shift, factor * box[None] + shift)
    assert np.allclose(moved, deltas)
twice, half = np.array([[0.0, 0, 16, 4]]), np.array([[0.0, 0, 4, 4]])
start = np.array([[0.0, 0, 8, 4]])
assert encode_boxes(start, twice)[0, 2] == math.log(2)
assert encode_boxes(start, half)[0, 2] == -math.log(2)

# %%
show(encode_boxes, decode_boxes)

# %% [markdown]
# ### The weights
#
# RoIs lie close to their objects, so their deltas are small, and small targets are
# learned slowly beside a classification loss. The box head therefore multiplies them by
# 10, 10, 5, 5. (Some systems divide by 0.1, 0.1, 0.2, 0.2: the same.) Below, boxes are
# drawn at random and those kept that overlap a RoI by at least 0.5. The weights bring
# their deltas to a standard deviation of about 1.

# %%
rng = np.random.default_rng(0)
roi = np.array([[100.0, 100, 200, 200]])
objects = decode_boxes(roi.repeat(2000, axis=0), rng.normal(0, 0.3, (2000, 4)))
objects = objects[box_iou(roi, objects)[0] >= 0.5]
rois = roi.repeat(len(objects), axis=0)
spread = encode_boxes(rois, objects).std(axis=0)
weighted = encode_boxes(rois, objects, (10, 10, 5, 5)).std(axis=0)
print(len(objects), "boxes; standard deviations", spread.round(2), weighted.round(2))
assert np.allclose(weighted, spread * (10, 10, 5, 5))
assert np.all((weighted > 0.8) & (weighted < 1.5))

# %% [markdown]
# ### The clamp
#
# Decoding needs $w = w_a \, e^{d_w}$. An untrained network may predict $d_w = 100$, and
# that exponential is beyond float32. So $d_w$ and $d_h$ are cut to at most
#
# $$\log (1000 / 16) \approx 4.135$$
#
# after the weights are divided out: no anchor grows more than 62.5 times, one of 16
# pixels to 1000. No paper says so. Detectron's code does, and with it most systems of
# today; some have no clamp at all. It cuts from above only.

# %%
assert math.log(1000 / 16) == LARGEST_LOG_SCALE
small = np.array([[92.0, 92, 108, 108]])
(wild,) = decode_boxes(small, np.array([[0.0, 0, 100, -100]]))
assert np.isclose(wild[2] - wild[0], 1000)
assert np.isclose(wild[3] - wild[1], 0)
assert math.exp(100) > float(np.finfo(np.float32).max)

# %% [markdown]
# Encoding has no such guard: an empty box has no logarithm. The reference refuses it,
# in place of a NaN that appears in the loss much later.

# %%
try:
    encode_boxes(anchor[None], np.array([[20.0, 5, 20, 9]]))
except ValueError as error:
    print(error)
else:
    raise AssertionError("an empty box must be refused")

# %% [markdown]
# ## Exercises
#
# The three functions below are all that a detector asks of boxes. The checks try them
# on boxes that lie apart, touch, or have no area.

# %% exercise="ex04_1"
exercise("ex04_1")

# %% exercise="ex04_2"
exercise("ex04_2")

# %% exercise="ex04_3"
exercise("ex04_3")

# %% [markdown]
# ## Summary
#
# - A box is (x1, y1, x2, y2) on the borders of pixels; it is x2 - x1 wide, with no + 1.
# - xywh and inclusive boxes look the same and fail silently: convert where data enters.
# - IoU = intersection / union; clamp each side to 0; two boxes without area have IoU 0.
# - An IoU of 0.5 is a shift by a third of a side, and "0.5" needs > or >= beside it.
# - Deltas are measured in the anchor's sides, so they do not depend on place and size.
# - Encoding multiplies by the weights; decoding divides, clamps, then takes exp.
#
# ## To read
#
# - Girshick et al., *Rich feature hierarchies*, 2014, appendix C: the deltas.
# - Ren et al., *Faster R-CNN*, 2015, section 3.1.2, equation 2.
# - `maskrcnn_scratch/reference/boxes.py`; `ops/boxes.py` has the same in PyTorch.
