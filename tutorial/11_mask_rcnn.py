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
# # 11 Mask R-CNN
#
# All parts are there; this chapter puts them together and trains them. In training the
# model returns no objects but five losses, and everything it will ever know comes
# through their sum. So the chapter looks at each of the five: what it should be before
# any training, which part of the model it teaches, and how it falls.
#
# **After this chapter you can**
#
# - follow a batch through the model, in training and in evaluation;
# - say what each of the five losses is at the start, and notice when one is not;
# - tell which part learns from which loss, and through what no gradient goes;
# - train on four pictures until they are known by heart, and say what that proves;
# - go on training from given weights.
#
# **Before:** chapter 7, 8, 9, 10.
# **Minutes:** 85, of which 35 for the exercises.

# %%
import math
from itertools import repeat

import matplotlib.pyplot as plt
import numpy as np
import torch

from maskrcnn_scratch.data import generate_shapes
from maskrcnn_scratch.data.batches import collate
from maskrcnn_scratch.experiments.lesson_weights import fresh_batches, lesson_config
from maskrcnn_scratch.figures.losses import draw_losses
from maskrcnn_scratch.figures.pictures import draw_pictures
from maskrcnn_scratch.inference import Predictor
from maskrcnn_scratch.inference.overlay import draw_objects
from maskrcnn_scratch.learning import check, exercise, hint, show
from maskrcnn_scratch.models import MaskRCNN
from maskrcnn_scratch.models.terms import averaged
from maskrcnn_scratch.training.config import TrainConfig
from maskrcnn_scratch.training.loop import add_gradients, fit, make_optimizer, sum_of
from maskrcnn_scratch.training.schedule import base_rate, learning_rate
from maskrcnn_scratch.weights.lesson import lesson_model

# %% [markdown]
# ## The model
#
# A model is made from one record of settings, in which every convention that published
# systems disagree on is a field. Here are the parts of the small one of chapter 0, this
# time with random weights.

# %%
settings = (
    "train.iterations=100",
    "train.learning_rate=0.002",
    "train.warmup_iterations=20",
)
config = lesson_config("shapes", settings)
torch.manual_seed(0)
model = MaskRCNN(config.model)
for name, part in model.named_children():
    print(f"{name:10} {sum(p.numel() for p in part.parameters()):>8,} parameters")

# %% [markdown]
# In evaluation the parts stand in a row: chapter 0 showed it. In training the row
# forks. The RPN compares its anchors with the truth and has two losses. The heads do
# not wait for detections: they learn on RoIs that are **sampled** from the proposals, a
# quarter of them positive. Class and box losses are over all of these, mask losses over
# the positive ones.

# %%
show(MaskRCNN.losses, MaskRCNN.head_losses)

# %% [markdown]
# ## Five losses
#
# $$L = \underbrace{L_{obj} + L_{rpn\ box}}_{\text{RPN}}
#     + L_{cls} + L_{box} + L_{mask}$$
#
# Most write-ups give the last three, as the paper does for what it adds to the RPN's
# training. The sum is of all five, with equal weights, and it is what the gradient is
# taken of.

# %%
samples = generate_shapes(4, seed=7)
images, targets = collate(samples)
model.train()
losses = {name: loss.detach() for name, loss in model(images, targets).items()}
total = sum_of(losses)
for name, loss in losses.items():
    print(f"{name:15} {float(loss):.3f}")
assert list(losses) == ["rpn_objectness", "rpn_box", "class", "box", "mask"]
assert math.isclose(float(total), sum(map(float, losses.values())), rel_tol=1e-6)

# %% [markdown]
# ### What a model that knows nothing should lose
#
# Before you train anything, look at the first losses. The last layer of every head
# starts near zero, so all of its answers are near "I do not know", and the loss of that
# is a number one can compute:
#
# - objectness and mask: a sigmoid of 0 is one half, whatever the truth. The loss is
#   $-\ln \tfrac12 = \ln 2 = 0.693$;
# - class: with K = 4 shapes and the background a softmax of equal logits is one fifth
#   each. The loss is near $\ln 5 = 1.609$;
# - both box losses are small: few samples are positive, and they are divided by all.
#
# A first loss that is far off means a fault: an activation too many in front of the
# logits, labels that are not there, or targets in the wrong place.

# %%
assert math.isclose(losses["rpn_objectness"], math.log(2), rel_tol=0.02)
assert math.isclose(losses["mask"], math.log(2), rel_tol=0.02)
assert math.isclose(losses["class"], math.log(5), rel_tol=0.15)
assert losses["rpn_box"] + losses["box"] < 0.2

# %% [markdown]
# ### By what is divided
#
# A loss is a sum and a count, kept apart until the end. With several images, the mean
# over all of their RoIs is not the mean of the images' means: three positive RoIs in
# one image and one in another count as four, not as two halves. Exercise 3 is about it.
#
# $$\frac{1 + 2 + 3 + 10}{3 + 1} = 4 \quad\text{and not}\quad
#   \tfrac12 \left(\tfrac{1 + 2 + 3}{3} + \tfrac{10}{1}\right) = 6$$

# %%
show(averaged)
assert (1 + 2 + 3 + 10) / (3 + 1) == 4
assert ((1 + 2 + 3) / 3 + 10 / 1) / 2 == 6

# %% [markdown]
# ## Who learns from which loss
#
# Each loss alone is sent back through the model. The table shows the size of what
# arrives in each part.

# %%
parts = dict(model.named_children())
reached = np.zeros((len(losses), len(parts)))
for row, name in enumerate(losses):
    model.zero_grad()
    model(images, targets)[name].backward()
    for column, part in enumerate(parts.values()):
        gradients = [p.grad for p in part.parameters() if p.grad is not None]
        reached[row, column] = sum(float(g.square().sum()) for g in gradients) ** 0.5
model.zero_grad()

figure, axes = plt.subplots(figsize=(6.2, 3), layout="constrained")
axes.imshow(reached > 0, cmap="Blues", vmin=0, vmax=2, aspect="auto")
axes.set_xticks(range(len(parts)), parts)
axes.set_yticks(range(len(losses)), losses)
for (row, column), size in np.ndenumerate(reached):
    text = f"{size:.2g}" if size else "0"
    axes.text(column, row, text, ha="center", va="center", size=9)
axes.set_title("norm of the gradient of each loss in each part", size=10)

to = {name: reached[:, column] for column, name in enumerate(parts)}
assert (to["backbone"] > 0).all()
assert (to["fpn"] > 0).all()
assert (to["rpn"] > 0).tolist() == [True, True, False, False, False]
assert (to["box_head"] > 0).tolist() == [False, False, True, True, False]
assert (to["mask_head"] > 0).tolist() == [False, False, False, False, True]

# %% [markdown]
# Backbone and FPN learn from all five: that is what the parts have in common. Each head
# learns from its own losses. And nothing goes from the heads to the RPN, although they
# read where it points: the proposals are taken as given. Ren et al. call this
# approximate joint training; the paper does the same.
#
# ## The learning rate
#
# The paper: SGD with momentum 0.9 and weight decay 0.0001, 16 images a step (2 on each
# of 8 GPUs), the rate 0.02 for 120,000 of 160,000 steps, then a tenth of it. What the
# paper does not mention, and every public re-implementation has, is a warm-up: the rate
# rises in a line over the first 500 or 1000 steps. Without, the first gradients are too
# large for the fresh layers.
#
# Who has fewer images a step takes a lower rate in proportion: two images, 0.0025.
# For the short trainings here AdamW with half a cosine gets further.

# %%
paper = TrainConfig()
figure, axes = plt.subplots(1, 2, figsize=(9, 2.8), layout="constrained")
for axis, one, title in (
    (axes[0], paper, "the paper's, with a warm-up"),
    (axes[1], config.train, "this chapter's"),
):
    steps = np.unique(np.linspace(1, one.iterations, 2000).astype(int))
    axis.plot(steps, [learning_rate(one, int(step)) for step in steps])
    axis.set_xticks(np.linspace(0, one.iterations, 5))
    axis.set_xlabel("step")
    axis.set_title(title, size=10)
axes[0].set_ylabel("learning rate")

assert learning_rate(paper, 501) == learning_rate(paper, 120_000) == 0.02
assert math.isclose(learning_rate(paper, 120_001), 0.002)
assert learning_rate(paper, 1) == 0.02 * paper.warmup_factor
assert base_rate(TrainConfig(batch_size=2)) == 0.02 * 2 / 16 == 0.0025

# %% [markdown]
# ## One step
#
# Forward, backward, step. The gradient is cut to a norm of at most 5, for AdamW takes
# long to forget a large one.

# %%
show(add_gradients, fit)

# %% [markdown]
# ## Four pictures by heart
#
# The first thing to train a new model on is **one batch, again and again**. A model
# with all its parts in order learns it by heart in a minute. If it does not, no
# amount of data will help: a loss that stays where it was names the part to look at.

# %%
rows = []


def keep(iteration: int, values: dict[str, float]) -> None:
    rows.append({"iteration": iteration, **values})
    if iteration % 25 == 0 or iteration == 1:
        told = "  ".join(f"{name} {values[name]:.3f}" for name in losses)
        print(f"{iteration:4}  {told}")


optimizer = make_optimizer(config.train, model)
fit(config.train, model, optimizer, repeat((images, targets)), keep)

# %%
figure, curves = draw_losses(rows)
show(figure)
assert all(curve[-1] < 0.5 * curve.max() for curve in curves.values())
assert curves["box"].max() > 5 * curves["box"][0]  # it rises first
assert rows[-1]["loss"] < 0.3 * rows[0]["loss"]

# %% [markdown]
# Note the order in which they fall. The box loss rises first: at the start the
# proposals are poor and few RoIs are positive, so there is hardly a box to correct.
# When the RPN gets better there are more positives, and their loss counts. The
# mask loss is the last to fall.
#
# Here are the four pictures: in each pair the truth is at the left, and at the right
# what the model now finds.

# %%
class_names = ["rectangle", "ellipse", "triangle", "star"]
learnt = Predictor(model, class_names)
pictures, titles = [], []
for image, target in samples:
    found = learnt(image, score_threshold=0.5)
    for objects, title in ((target, "the truth"), (found, "found")):
        no_captions = [""] * len(objects)
        pictures.append(draw_objects(image, objects.boxes, objects.masks, no_captions))
        titles.append(f"{title}: {len(objects)}")
show(draw_pictures(pictures, titles))


# %%
def found_part(predictor: Predictor, pictures: list) -> float:
    """The part of the objects that a mask of their class covers with IoU 0.5."""
    hits = []
    for image, target in pictures:
        found = predictor(image, 0.5)
        for true, label in zip(target.masks.bool(), target.labels, strict=True):
            own = found.masks[found.labels == label]
            both, either = (own & true).sum((1, 2)), (own | true).sum((1, 2))
            hits.append(bool((both >= 0.5 * either).any()))
    return sum(hits) / len(hits)


others = generate_shapes(20, seed=8)
print(f"found of the four pictures: {found_part(learnt, samples):.0%}")
print(f"found of 20 others:         {found_part(learnt, others):.0%}")
assert found_part(learnt, samples) > 0.8
assert found_part(learnt, others) < 0.6

# %% [markdown]
# It knows these four and little else. That was to be expected, and it is a
# success: every loss can reach its part, and prediction undoes what the targets did.
# The rest is data and time.
#
# ## Going on from trained weights
#
# The weights of chapter 0 took 8000 steps on 32,000 pictures, no picture twice, and a
# quarter of an hour on one core. A training goes on from them as from any others: load,
# lower the rate, fit. The paper starts this way too, from a backbone that was
# trained on ImageNet.

# %%
trained, _ = lesson_model("shapes")
print(f"found of 20 others: {found_part(Predictor(trained, class_names), others):.0%}")
assert found_part(Predictor(trained, class_names), others) > 0.8

further = lesson_config(
    "shapes", ("train.iterations=20", "train.learning_rate=0.0001")
).train
rows.clear()
trained.train()
fit(
    further, trained, make_optimizer(further, trained), fresh_batches("shapes", 4), keep
)
start = np.mean([row["loss"] for row in rows[:5]])
assert start < 0.5 * float(total)

# %% [markdown]
# The losses begin where the training left them, less than half of what a fresh model
# has. The command does the same with pictures from a folder, and writes down everything
# it does:
#
#     maskrcnn-scratch train shapes-tiny
#     maskrcnn-scratch evaluate runs/shapes-tiny --data runs/shapes-data
#
# ## Exercises

# %% exercise="ex11_1"
exercise("ex11_1")

# %% exercise="ex11_2"
exercise("ex11_2")

# %% exercise="ex11_3"
exercise("ex11_3")

# %% [markdown]
# ## Summary
#
# - Five losses, added with equal weights: two of the RPN, two of the box head, one of
#   the mask head.
# - A fresh model loses ln 2, a little, ln (K + 1), a little, ln 2: look before you
#   train.
# - All five teach backbone and FPN; each head learns from its own; no gradient goes
#   through the proposals.
# - Learn one batch by heart first: it shows that all parts are connected.
# - Then data, time, a warm-up and a schedule; or weights to start from.
#
# ## To read
#
# - He et al., *Mask R-CNN*, 2017, sections 3 and 3.1.
# - Ren et al., *Faster R-CNN*, 2015, section 3.2, approximate joint training.
# - Goyal et al., *Accurate, Large Minibatch SGD*, 2017: the rate and the batch.
# - `maskrcnn_scratch/models/mask_rcnn.py`, `training/loop.py`, `training/schedule.py`.
