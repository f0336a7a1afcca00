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
# # 7 The feature pyramid and the level rule
#
# Objects are small and large, but a map of features has one stride. The Feature Pyramid
# Network (FPN) gives a detector four maps that all know what they see, and a rule that
# says which of them a RoI is read from.
#
# **After this chapter you can**
#
# - draw the pyramid, and give the shape of every map for an image of any size;
# - do one step down the pyramid by hand, on maps with odd sizes too;
# - find the level of a RoI, and say where rounding and flooring disagree;
# - read RoIs level by level and put the results back in order.
#
# **Before:** chapter 3, 5.
# **Minutes:** 80, of which 40 for the exercises.

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.nn.functional import interpolate, max_pool2d

from maskrcnn_scratch import ops
from maskrcnn_scratch.figures.feature_pyramid import draw_feature_pyramid
from maskrcnn_scratch.figures.fpn_levels import draw_fpn_levels
from maskrcnn_scratch.figures.interactive import choose_level
from maskrcnn_scratch.learning import check, exercise, hint, show
from maskrcnn_scratch.models.fpn import FPN
from maskrcnn_scratch.models.presets import PAPER
from maskrcnn_scratch.models.resnet import ResNet
from maskrcnn_scratch.reference.fpn_levels import fpn_level

# %% [markdown]
# ## Why one map is not enough
#
# A ResNet halves its maps again and again: C2, C3, C4 and C5 have the strides 4, 8, 16
# and 32, so a cell of level $n$ is $2^n$ image pixels wide. C5 has been through all
# layers and knows the most about *what* it sees, but a face of 24 pixels is less than
# one of its cells. C2 has six cells for that face, and has been through few layers.

# %%
strides = {level: 2**level for level in (2, 3, 4, 5)}
assert strides == {2: 4, 3: 8, 4: 16, 5: 32}
assert 24 / strides[5] == 0.75
assert 24 / strides[2] == 6

# %% [markdown]
# ## The pyramid
#
# The FPN lets the coarse maps tell the fine ones what they know. In the figure it goes
# up the backbone (left), across (middle), down, and out (right). The shapes are those
# of a ResNet-50 and an image of 800 x 1344 pixels. They are computed by the package's
# own network, on torch's *meta* device, which knows shapes and no numbers.

# %%
with torch.device("meta"):
    backbone = ResNet(PAPER)
    pyramid = FPN(backbone.out_channels, PAPER.fpn_channels)
    c_maps = backbone(torch.empty(1, 3, 800, 1344))
    p_maps = pyramid(c_maps)

figure, axes = plt.subplots(figsize=(8.5, 5.4), layout="constrained")
told = draw_feature_pyramid(axes, [tuple(c.shape[1:]) for c in c_maps])
for level, p in enumerate(p_maps, start=2):
    assert told.shapes[f"P{level}"] == tuple(p.shape[1:])
assert told.shapes["C5"] == (2048, 25, 42)
assert told.shapes["P2"] == (256, 200, 336)

# %% [markdown]
# With $\uparrow$ for nearest-neighbour upsampling by two, the figure says
#
# $$M_5 = \mathrm{conv}_{1\times1}(C_5), \qquad
# M_n = \mathrm{conv}_{1\times1}(C_n) + {\uparrow} M_{n+1}, \qquad
# P_n = \mathrm{conv}_{3\times3}(M_n)$$
#
# and $P_6$ is every second cell of $P_5$. In the package it is as short:

# %%
show(FPN)

# %% [markdown]
# ## Each step, by hand
#
# A pyramid with one channel can be followed with a pencil. Take weights that change
# nothing: 1x1 convolutions that multiply by 1, and 3x3 convolutions whose middle is 1
# and the rest 0. Then $P_n = M_n$ is the sum of a map and all coarser ones.

# %%
tiny = FPN([1, 1], channels=1)
middle = torch.zeros(3, 3)
middle[1, 1] = 1
with torch.no_grad():
    for conv in (*tiny.lateral, *tiny.output):
        conv.weight.copy_(middle if conv.weight.shape[-1] == 3 else torch.ones(1, 1))
        conv.bias.zero_()

fine = torch.tensor([[1.0, 2, 3, 4], [5, 6, 7, 8], [1, 1, 1, 1], [0, 0, 0, 0]])
coarse = torch.tensor([[10.0, 20], [-30, 40]])
with torch.no_grad():
    p_fine, p_coarse, p_last = (
        p[0, 0] for p in tiny([fine[None, None], coarse[None, None]])
    )
print(p_fine.numpy())
assert p_coarse.equal(coarse)
assert p_fine[0].tolist() == [1 + 10, 2 + 10, 3 + 20, 4 + 20]
assert p_fine[3].tolist() == [-30, -30, 40, 40]

# %% [markdown]
# Two details are visible here. **No activation**: after a ReLU the $-30$ could not
# stand in the result. The FPN is linear, from the C maps to the P maps. And
# **nearest**: every coarse cell is copied into the four fine cells above it.
#
# A linear map sends the sum of two inputs to the sum of their outputs. That holds for
# any weights (the biases, which are zero at the start, aside):

# %%
torch.manual_seed(7)
small = FPN([4, 6], channels=5)
one, other = ([torch.randn(1, 4, 6, 6), torch.randn(1, 6, 3, 3)] for _ in range(2))
with torch.no_grad():
    sums = small([a + b for a, b in zip(one, other, strict=True)])
    for both, a, b in zip(sums, small(one), small(other), strict=True):
        torch.testing.assert_close(both, a + b)

# %% [markdown]
# ### Odd sizes
#
# A stride-2 layer makes $\lceil n / 2 \rceil$ cells of $n$. From an image 100 pixels
# wide come 25, 13, 7 and 4 cells, and twice 4 is not 7. The upsampled map is cut to the
# finer one's size; then cell $i$ still gets cell $\lfloor i / 2 \rfloor$.

# %%
widths = [100]
for _ in range(5):
    widths.append(math.ceil(widths[-1] / 2))
assert widths[2:] == [25, 13, 7, 4]

for width in range(1, 50):
    cells = torch.arange(math.ceil(width / 2), dtype=torch.float32)
    upsampled = interpolate(cells[None, None], size=width, mode="nearest")[0, 0]
    assert upsampled.tolist() == [i // 2 for i in range(width)]

# %% [markdown]
# ### What the 3x3 convolution is for
#
# Copying makes stairs. A coarse map that rises evenly comes out in pairs of equal
# cells: steps of 0 and 1 in turn. This pattern belongs to the upsampling and not to the
# image; it is called *aliasing*. A filter over neighbours can take it away: with the
# weights $(1, 2, 1) / 4$ the stairs become the even slope that was meant. The network
# learns its own filter, one for each pair of channels.

# %%
stairs = np.repeat(np.arange(6.0), 2)
smooth = np.convolve(stairs, [0.25, 0.5, 0.25], mode="valid")
figure, axes = plt.subplots(figsize=(6.5, 2.8), layout="constrained")
axes.plot(stairs, "o-", color="0.6", label="copied")
axes.plot(range(1, 11), smooth, "o-", color="black", ms=4, label="(1, 2, 1) / 4")
axes.set(xlabel="cell of the finer map", ylabel="value")
axes.legend()
assert set(np.diff(stairs)) == {0, 1}
assert set(np.diff(smooth)) == {0.5}
# %% [markdown]
# ### P6
#
# The largest anchors, of 512 pixels, get a level of their own, P6 with stride 64. It is
# made from P5 by taking every second cell, which code writes as a max pooling with a
# window of one cell. Some write-ups draw it from M5; the 3x3 convolution lies between,
# so that is another map. **P6 is for the RPN alone**: RoIs are read from P2 to P5.

# %%
p5 = torch.randn(1, 1, 25, 42)
assert max_pool2d(p5, kernel_size=1, stride=2).equal(p5[:, :, ::2, ::2])
assert p_last.tolist() == [[10]]  # of the pyramid above: 2 x 2 cells become one
assert tuple(p_maps[-1].shape[2:]) == (13, 21)

# %% [markdown]
# ## The level of a RoI
#
# A RoI of width $w$ and height $h$ pixels is read from the level
#
# $$k = \left\lfloor k_0 + \log_2 \frac{\sqrt{w h}}{224} \right\rfloor, \qquad
# k_0 = 4, \qquad 2 \le k \le 5$$
#
# 224 is the side of the images that the backbone was trained to classify. A RoI of that
# size is read from level 4, where a detector without a pyramid would read it. A RoI
# with half that side is read one level finer, since $\log_2 \frac12 = -1$.

# %%
show(fpn_level)


# %%
def level_of_size(w: float, h: float, **how: str) -> int:
    return fpn_level(np.array([0, 0, w, h], np.float64), **how)


assert 4 + math.log2(224 / 224) == level_of_size(224, 224) == 4
assert 4 + math.log2(112 / 224) == level_of_size(112, 112) == 3
assert 4 + math.log2(448 / 224) == level_of_size(448, 448) == 5
assert level_of_size(56, 56) == level_of_size(10, 10) == 2  # clamped
assert level_of_size(896, 896) == level_of_size(5000, 5000) == 5  # clamped
assert level_of_size(56, 224) == level_of_size(112, 112)  # only the area counts

# %% [markdown]
# The rule has a simple meaning. A RoI whose side is $s$ has $s / 2^k$ cells a side on
# its level. Between the clamped ends this number always lies from 14 up to 28:
# $s = 112$ on P3 is 14 cells, and $s$ just under 224 is nearly 28. So a head that reads
# 7 x 7 or 14 x 14 bins finds one to four cells a bin side, for objects of any size.

# %%
for side in (112, 150, 223.9, 224, 300, 447.9):
    cells = side / 2 ** level_of_size(side, side)
    assert 14 <= cells < 28

# %% [markdown]
# ## Floor and round
#
# One well-known code base, matterport's, rounds to the nearest level. Its borders lie a
# factor of $\sqrt 2$ lower: P4 begins at $224 / \sqrt 2 \approx 158.4$ pixels and not
# at 224. Weights have to be used with the rule that they were trained with, since their
# heads expect objects of a certain size in cells.
#
# In the figure a full circle is where a box goes under floor, an empty one where round
# sends it. The boxes 1 and 3 change their level, 0 and 2 do not.

# %%
boxes = np.array(
    [[20, 20, 120, 80], [300, 60, 490, 250], [60, 420, 240, 550], [330, 300, 790, 620]]
)
figure, levels = draw_fpn_levels(boxes.astype(np.float64))
figure

# %%
assert levels.levels == {"floor": (2, 3, 3, 4), "round": (2, 4, 3, 5)}
for rule, factor in (("floor", 1), ("round", math.sqrt(2))):
    borders = np.array(levels.rules[rule].borders)
    assert np.allclose(borders, np.array([112, 224, 448]) / factor)
assert level_of_size(158, 158, rounding="round") == 3
assert level_of_size(159, 159, rounding="round") == 4
assert level_of_size(159, 159) == 3

# %% [markdown]
# The two agree from 112 to 158 pixels, from 224 to 316, and so on: on half of the axis,
# if sizes are counted by factors. A RoI of exactly 112, 224 or 448 pixels has the same
# level under both.
#
# A second trap is in print: one write-up divides by "24 x 224". It means a box of
# **224 x 224** pixels, whose side is 224. Read as it stands, $\sqrt{24 \cdot 224}$ is
# 73, and every RoI would be read more than one level too high.

# %%
misprint = math.sqrt(24 * 224)
assert 73 < misprint < 74
assert math.log2(224 / misprint) > 1.6

# %% [markdown]
# Move the sides of a RoI and watch it change its level. Make it long and thin: the
# level depends on the area alone, so a road of 800 x 28 pixels is read from P3, where
# it is 100 cells long and not four cells wide.

# %%
told = choose_level(width=180, height=140)
assert told.levels == {"floor": 3, "round": 4}
assert told.cells["floor"] == (180 / 8, 140 / 8)
assert level_of_size(800, 28) == 3
assert 28 / 2**3 == 3.5

# %% [markdown]
# ## Reading from the right map
#
# To read RoIs from four maps: find the level of each, give every level's RoIs to
# RoIAlign with that level's map and stride, and put the results back into the order
# of the RoIs. The package does it in one operator. A test that needs no network: let
# cell $(i, j)$ of each level hold the $x$ of its centre in the image,
# $(j + \frac12)\, 2^k$. Then a RoI's mean is the $x$ of its own centre, whichever level
# it is read from. A wrong stride, or results in the wrong order, would show at once.

# %%
maps = []
for level in (2, 3, 4, 5):
    size = 1024 // 2**level
    x = (torch.arange(size) + 0.5) * 2**level
    maps.append(x.expand(1, 1, size, size).contiguous())

rois = torch.tensor(
    [[0.0, 600, 200, 960, 560], [0, 40, 40, 90, 90], [0, 100, 8, 260, 200]]
)
features = ops.multiscale_roi_align(
    maps, rois, ops.LevelRule(), (7, 7), [1 / 4, 1 / 8, 1 / 16, 1 / 32]
)
levels_read = ops.fpn_levels(rois[:, 1:]).tolist()
assert levels_read == [4, 2, 3]
centres = (rois[:, 1] + rois[:, 3]) / 2
torch.testing.assert_close(features.mean(dim=(1, 2, 3)), centres)

# %% [markdown]
# ## Exercises
#
# The rule, one step of the pyramid, and the order in which everything is put back.

# %% exercise="ex07_1"
exercise("ex07_1")

# %% exercise="ex07_2"
exercise("ex07_2")

# %% exercise="ex07_3"
exercise("ex07_3")

# %% [markdown]
# ## Summary
#
# - C2 to C5 have strides 4 to 32. The FPN gives P2 to P5 the same strides, 256
#   channels each, and the knowledge of all coarser levels.
# - 1x1 across without activation, nearest upsampling down, added; 3x3 at the end.
# - P6 is every second cell of P5 and serves the RPN alone.
# - $k = \lfloor 4 + \log_2(\sqrt{wh} / 224) \rfloor$, clamped to 2..5: objects are 14
#   to 28 cells large where they are read.
# - Rounding instead of flooring moves the borders from 112, 224, 448 to 79, 158, 317.
#
# ## To read
#
# - Lin et al., *Feature Pyramid Networks for Object Detection*, 2017, section 3,
#   figure 3, and equation 1.
# - He et al., *Mask R-CNN*, 2017, section 3.1, "Network architecture".
# - `maskrcnn_scratch/models/fpn.py`, `reference/fpn_levels.py`, and
#   `models/roi_features.py`, where the level rule meets the RoI layer.
