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
# # 1 Bilinear interpolation
#
# RoIAlign, the layer that made Mask R-CNN work, does one thing that RoIPool does not:
# it reads the feature map **between** its cells. This chapter is about such a reading.
#
# **After this chapter you can**
#
# - read a feature map at any real coordinate, by hand and in code;
# - say what a reading gives at the border and outside of the map;
# - send a gradient back through a reading, to the cells and to the coordinates;
# - recognise a shift by half a pixel in somebody's code.
#
# **Before:** chapter 0, NumPy.
# **Minutes:** 85, of which 40 for the exercises.

# %%
import matplotlib.pyplot as plt
import numpy as np

from maskrcnn_scratch.figures.bilinear import draw_profile, draw_read
from maskrcnn_scratch.figures.bilinear_order import draw_two_steps
from maskrcnn_scratch.learning import check, exercise, hint, show
from maskrcnn_scratch.reference.bilinear import bilinear, bilinear_grad, bilinear_taps

# %% [markdown]
# ## Where a cell is
#
# A feature map has values at whole coordinates only: cell $i$ of an axis *sits* at $i$.
# These are **index coordinates**. The cell covers the stretch from $i - 1/2$ to
# $i + 1/2$.
#
# ## One axis
#
# Between two cells the value goes in a straight line. At $c$, with the cell before it
# $\lfloor c \rfloor$ and the part beyond it $t = c - \lfloor c \rfloor$:
#
# $$f(c) = (1 - t)\, f_{\lfloor c \rfloor} + t\, f_{\lfloor c \rfloor + 1}$$
#
# A quarter of the way from a cell that holds 8 to one that holds 16 stands 10.

# %%
row = np.array([[8.0, 16.0, 4.0]])
t = 0.25
assert bilinear(row, 0, t) == (1 - t) * 8 + t * 16 == 10

# %% [markdown]
# In the package this is the function `bilinear_taps`. It names the cells that a reading
# mixes and their weights. All source in these chapters is read from the package as it
# stands, so what you see is what runs.

# %%
show(bilinear_taps)

# %% [markdown]
# The weight of a cell falls linearly with its distance from $c$, and the weights sum
# to 1. Written for any cell $i$ it is a tent, $\max(0, 1 - |c - i|)$: the form that
# Spatial Transformer Networks give it (equation 5).

# %%
for c in np.linspace(0, 2, 9):
    weights = np.zeros(3)
    for cell, weight in bilinear_taps(3, c):
        weights[cell] += weight
    assert weights.sum() == 1
    assert np.array_equal(weights, np.maximum(0, 1 - np.abs(c - np.arange(3))))

# %% [markdown]
# ## The border
#
# What stands at $c = -0.3$? There is no cell at $-1$. Published implementations of
# RoIAlign agree on this rule:
#
# - from $-1$ to $0$ the first cell answers, from the last cell to *size* the last one;
# - further out the answer is 0.
#
# The rule makes the value jump at $-1$ and at *size*. It looks like a detail; a copy of
# RoIAlign without it differs at the border of every image.

# %%
figure, axes = plt.subplots(figsize=(6.5, 4.4), layout="constrained")
draw_profile(axes, row, y=0, x=0.25)
assert bilinear(row, 0, -0.3) == 8
assert bilinear(row, 0, -1.001) == 0
assert bilinear(row, 0, 3) == 4

# %% [markdown]
# ## Two axes
#
# On a map the reading at $(y, x)$ mixes four cells. The weight of a cell is the product
# of its weights along $y$ and along $x$:
#
# $$f(y, x) = \sum_{i, j} \max(0, 1 - |y - i|)\, \max(0, 1 - |x - j|)\, f_{ij}$$
#
# The product is an **area**: put a square as large as a cell around the point; the part
# of it that lies over cell $(i, j)$ is that cell's weight.

# %%
feature_map = np.array([[1.0, 2.0, 4.0], [3.0, 8.0, 6.0]])
figure, axes = plt.subplots(figsize=(5.5, 5), layout="constrained")
told = draw_read(axes, feature_map, y=0.25, x=1.5)
assert told.weights == {(0, 1): 0.375, (0, 2): 0.375, (1, 1): 0.125, (1, 2): 0.125}
assert told.value == 0.375 * 2 + 0.375 * 4 + 0.125 * 8 + 0.125 * 6 == 4

# %%
show(bilinear)

# %% [markdown]
# ### In x first, or in y?
#
# Many write-ups say: interpolate twice in $x$, then once in $y$. That is true, and the
# order does not matter. Multiply the sums out, and the same four products appear.

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
x_first = draw_two_steps(axes[0], feature_map, y=0.25, x=1.5, first="x")
y_first = draw_two_steps(axes[1], feature_map, y=0.25, x=1.5, first="y")
axes[0].set_title("in x twice, then in y")
axes[1].set_title("in y twice, then in x")

upper, lower = (2 + 4) / 2, (8 + 6) / 2
assert x_first.between == ((0, 1.5, upper), (1, 1.5, lower))
assert x_first.value == 0.75 * upper + 0.25 * lower == 4
left, right = 0.75 * 2 + 0.25 * 8, 0.75 * 4 + 0.25 * 6
assert y_first.between == ((0.25, 1, left), (0.25, 2, right))
assert y_first.value == (left + right) / 2 == 4

# %% [markdown]
# ## What it gets right, and what it cannot
#
# On a **ramp**, a map whose values grow evenly, the reading is exact: there is nothing
# between the cells but more of the same. This is the sharpest test of any copy of this
# code. Half a pixel of shift on a ramp of slope 2 is an error of exactly 1.

# %%
rows, columns = np.mgrid[:4, :5]
ramp = 3.0 + 2 * rows - columns
for y, x in [(0.5, 0.5), (1.25, 3.75), (2.0, 0.125)]:
    assert bilinear(ramp, y, x) == 3 + 2 * y - x
shifted = bilinear(ramp, 1.25 - 0.5, 2.0)
assert bilinear(ramp, 1.25, 2.0) - shifted == 1

# %% [markdown]
# On a map that bends, it cuts the corner. Between two cells of a parabola $f = x^2$ the
# straight line lies above the curve, by $t (1 - t)$: at most a quarter.

# %%
parabola = (np.arange(5.0) ** 2)[None]
for x in (0.5, 1.25, 2.75):
    t = x - int(x)
    assert bilinear(parabola, 0, x) - x**2 == t * (1 - t) <= 0.25

# %% [markdown]
# ## The way back
#
# A network learns through its layers, so each layer must say how its output changes
# with its inputs. A reading is a weighted sum. So the derivative by a cell **is its
# weight**, whatever the map holds:
#
# $$\frac{\partial f(y, x)}{\partial f_{ij}}
# = \max(0, 1 - |y - i|)\, \max(0, 1 - |x - j|)$$

# %%
d_map, d_y, d_x = bilinear_grad(feature_map, 0.25, 1.5)
print(d_map)
nudged = feature_map.copy()
nudged[0, 1] += 1
assert bilinear(nudged, 0.25, 1.5) - bilinear(feature_map, 0.25, 1.5) == d_map[0, 1]

# %% [markdown]
# By a coordinate it is the slope between the cells. RoIAlign has no use for it, since a
# box's coordinates come from elsewhere; RoIWarp (chapter 3) does learn through it.

# %%
step = 1 / 64
slope_y = (bilinear(feature_map, 0.25 + step, 1.5) - 4) / step
slope_x = (bilinear(feature_map, 0.25, 1.5 + step) - 4) / step
assert (slope_y, slope_x) == (d_y, d_x) == (4, 1)

# %% [markdown]
# ## Half a pixel
#
# There is a second way to count: put the *corner* of the map at 0, so that the centre
# of cell $i$ lies at $i + 1/2$. Image pixels are counted so, and boxes too. A point $p$
# in these **continuous coordinates** is the index coordinate $p - 1/2$. Whoever forgets
# to subtract reads half a cell too far, everywhere, and nothing crashes. The first
# RoIAlign did that; chapter 3 shows what it cost.

# %%
p = 2.0  # the border between the cells 1 and 2, in continuous coordinates
assert bilinear(ramp, 0, p - 0.5) == (ramp[0, 1] + ramp[0, 2]) / 2
assert bilinear(ramp, 0, p) == ramp[0, 2]  # without the half: the centre of cell 2

# %% [markdown]
# ## Exercises
#
# Each `check` runs your function on many small inputs. If it fails, you are shown the
# smallest input that was found.

# %% exercise="ex01_1"
exercise("ex01_1")

# %% exercise="ex01_2"
exercise("ex01_2")

# %% exercise="ex01_3"
exercise("ex01_3")

# %% [markdown]
# ## Summary
#
# - Cell $i$ sits at index coordinate $i$; between cells values go in a straight line.
# - A reading mixes four cells; a weight is a product of distances, and an area.
# - Up to one cell outside the border cell answers, beyond that 0.
# - Exact on ramps; the gradient by a cell is the cell's weight.
# - Continuous coordinate minus one half is the index coordinate.
#
# ## To read
#
# - Jaderberg et al., *Spatial Transformer Networks*, 2015, equations 3 to 7.
# - He et al., *Mask R-CNN*, 2017, section 3, "RoIAlign".
# - `maskrcnn_scratch/reference/bilinear.py`, and its compiled siblings in `cpu/taps.py`
#   and `cuda/taps.py`.
