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
# # 12 Evaluation
#
# "35.7 AP" is one number for thousands of images. This chapter computes it by hand for
# five detections, then by COCO's own code for a trained model, and asks what such a
# number does not tell.
#
# **After this chapter you can**
#
# - match detections with objects, and say which are true and which false positives;
# - compute AP at one IoU threshold by hand, and AP over thresholds, classes and areas;
# - explain why box AP and mask AP differ;
# - name four things that AP hides, and say which number shows them.
#
# **Before:** chapter 4, 9, 10.
# **Minutes:** 105, of which 50 for the exercises.

# %%
import matplotlib.pyplot as plt
import numpy as np

from maskrcnn_scratch.data.images import to_float
from maskrcnn_scratch.data.shapes import CLASS_NAMES, draw_scene
from maskrcnn_scratch.data.shapes_folder import annotate
from maskrcnn_scratch.evaluation import detections_to_coco, evaluate_coco, mean_iou
from maskrcnn_scratch.figures.average_precision import (
    draw_average_precision,
    tell_average_precision,
)
from maskrcnn_scratch.figures.matches import draw_matches
from maskrcnn_scratch.inference import Predictor
from maskrcnn_scratch.learning import check, exercise, hint, show
from maskrcnn_scratch.reference.average_precision import (
    AREAS,
    IOU_THRESHOLDS,
    Annotation,
    Detection,
    average_precision,
    judge,
    match_detections,
    precision_curve,
    region_area,
    region_iou,
    scenes_of,
)
from maskrcnn_scratch.weights.lesson import lesson_model

# %% [markdown]
# ## When is an object found?
#
# When a detection of its class overlaps it enough. Overlap is IoU, of two boxes (for
# box AP) or of two masks (for mask AP). The two can differ as much as they like. These
# two triangles fill the same box of 10 x 10 pixels, and share the diagonal alone.

# %%
lower, upper = np.tri(10), np.tri(10).T
one = Detection(image=1, category=1, region=lower, score=0.9)
other = Annotation(image=1, category=1, region=upper, area=upper.sum())
assert lower.sum() == upper.sum() == 55
assert region_iou(one, other) == 10 / (55 + 55 - 10) == 0.1
box = np.array([0.0, 0.0, 10.0, 10.0])
assert region_iou(Detection(1, 1, box, 0.9), Annotation(1, 1, box, 100.0)) == 1

# %% [markdown]
# Long thin objects such as roads stay hard for this reason. Here a road, three pixels
# wide, is found one pixel beside its place. Its box is nearly right, its mask is half
# wrong.

# %%
rows, columns = np.mgrid[:40, :42]
road, beside = np.abs(rows - columns) <= 1, np.abs(rows - columns + 1) <= 1
assert (road.sum(), beside.sum(), (road & beside).sum()) == (119, 120, 80)
one, other = Detection(1, 1, beside, 0.9), Annotation(1, 1, road, road.sum())
assert region_iou(one, other) == 80 / (119 + 120 - 80)  # 0.503
box, box_beside = np.array([0.0, 0, 41, 40]), np.array([0.0, 0, 42, 40])
one, other = Detection(1, 1, box_beside, 0.9), Annotation(1, 1, box, 41 * 40)
assert region_iou(one, other) == 41 / 42  # 0.976

# %% [markdown]
# ## Matching at one threshold
#
# Detections of one class go through all images together, best score first. Each takes,
# in its image, the object that it overlaps most among those that are still **free**, if
# the IoU is at least the threshold. Then it is a true positive, else a false positive.
# So a second detection of the same object is a false positive. (Pascal VOC lets a
# detection try its best object only, free or not; COCO lets it take the next one.)

# %%
show(match_detections)

# %% [markdown]
# Here are four objects and five detections in one image.

# %%
true_boxes = [(10, 10, 30, 30), (40, 10, 60, 30), (10, 50, 40, 80), (60, 60, 90, 90)]
found_boxes = [
    (0.9, (10, 10, 30, 28.5)),
    (0.8, (12, 12, 32, 32)),
    (0.7, (40, 10, 60, 26.5)),
    (0.6, (10, 50, 40, 75)),
    (0.5, (70, 70, 100, 100)),
]


def annotation(box: tuple[float, ...], crowd: bool = False) -> Annotation:
    """A true object of class 1 in image 1."""
    region = np.array(box, np.float64)
    return Annotation(1, 1, region, region_area(region), crowd)


objects = [annotation(box) for box in true_boxes]
detections = [Detection(1, 1, np.array(box, float), s) for s, box in found_boxes]
(scene,) = scenes_of(objects, detections)
print(scene.iou.round(3))

figure, axes = plt.subplots(figsize=(5, 5.4), layout="constrained")
matches = draw_matches(axes, objects, detections, iou_threshold=0.5)
assert matches == [0, -1, 1, 2, -1]

# %% [markdown]
# The second detection overlaps object 0 by 0.68, but that is taken. The last one
# overlaps object 3 by 0.29, which is too little.
#
# ### What does not count
#
# COCO marks regions with many objects of a class as *crowd*. Nobody drew the single
# objects there, so a detection in a crowd is neither right nor wrong: it is left out of
# the list. Its "IoU" with the crowd is the part of the detection that lies inside.
# Where figures are about a range of areas, objects outside the range are left out in
# the same way.

# %%
crowd = annotation((50, 50, 100, 100), crowd=True)
assert region_iou(detections[4], crowd) == 1
(with_crowd,) = scenes_of([*objects, crowd], detections)
verdicts, count = judge(with_crowd, 0.5, AREAS["all"], limit=100)
assert count == 4
assert verdicts == [(0.9, True), (0.8, False), (0.7, True), (0.6, True)]

# %% [markdown]
# ## Average precision at one threshold
#
# Go down the list of detections. After $k$ of them, $t$ of which are true,
#
# $$\text{precision} = \frac{t}{k} \qquad \text{recall} = \frac{t}{\text{objects}}$$
#
# Recall can only grow. Precision falls at every false positive and rises at every true
# one, in a zigzag. COCO asks at 101 levels of recall, 0.00 to 1.00: what is the best
# precision that can be had **at this recall or more**? Where recall never gets so far,
# the answer is 0. AP is the mean of the 101 answers.

# %%
told = tell_average_precision(objects, detections, iou_threshold=0.5)
show(draw_average_precision(told))

# %% [markdown]
# By hand: up to a recall of 0.25 the best precision is 1, which is 26 levels; up to
# 0.75 it is 3/4, reached at the fourth detection, which is 50 levels; at the other 25
# levels it is 0.

# %%
assert told.hits.tolist() == [True, False, True, True, False]
assert np.array_equal(told.precision, [1 / 1, 1 / 2, 2 / 3, 3 / 4, 3 / 5])
assert np.array_equal(told.recall, [1 / 4, 1 / 4, 2 / 4, 3 / 4, 3 / 4])
assert np.isclose(told.ap, (26 * 1 + 50 * 3 / 4 + 25 * 0) / 101)
show(precision_curve)

# %% [markdown]
# Other benchmarks sum differently. Pascal VOC asked at 11 levels until 2007, and has
# since taken the area under the same staircase. One list, three numbers:

# %%
area_under = 0.25 * 1 + 0.5 * 3 / 4
at_eleven = (3 * 1 + 5 * 3 / 4 + 3 * 0) / 11  # 0.0, 0.1, 0.2; 0.3 to 0.7; 0.8 to 1.0
print(
    f"COCO {told.ap:.4f}, VOC 2007 {at_eleven:.4f}, VOC from 2010 on {area_under:.4f}"
)
assert told.curve[[0, 10, 20]].tolist() == [1, 1, 1]
assert told.curve[30:80:10].tolist() == [0.75] * 5

# %% [markdown]
# ## The mean over thresholds
#
# An IoU of 0.5 is a loose fit. COCO repeats the whole for IoU 0.50, 0.55, ..., 0.95 and
# takes the mean: that is "AP". AP50 and AP75 are two of the ten. In our list the three
# hits have the IoUs 0.925, 0.825 and 0.833, so all of them count up to 0.80, one up to
# 0.90, and none at 0.95.

# %%
by_threshold = [tell_average_precision(objects, detections, t) for t in IOU_THRESHOLDS]
assert [one.hits.sum() for one in by_threshold] == [3] * 7 + [1] * 2 + [0]
figures = average_precision(objects, detections)
assert np.isclose(figures["ap"], (7 * 63.5 + 2 * 26 + 1 * 0) / 101 / 10)
assert figures["ap50"] == figures["ap75"] == told.ap

# %% [markdown]
# Classes are treated one by one, and AP is the mean over classes; a rare class weighs
# as much as a common one. A class without objects has no AP, which is written -1 and
# left out. The same -1 stands for an area range without objects. All our objects are
# below 32 x 32 pixels, so there is nothing medium or large.

# %%
assert max(item.area for item in objects) == 30 * 30 < 32**2
assert figures["ap_small"] == figures["ap"]
assert figures["ap_medium"] == figures["ap_large"] == -1

# %% [markdown]
# ## A model, and COCO's own code
#
# The small trained model looks at eight images of shapes. `evaluate_coco` hands its
# results to pycocotools, the code with which all published numbers were made.

# %%
model, class_names = lesson_model("shapes")
predictor = Predictor(model, class_names)
scenes = [draw_scene(128, np.random.default_rng([12, i])) for i in range(8)]
truth = {
    "images": [{"id": i, "width": 128, "height": 128} for i in range(len(scenes))],
    "annotations": [
        entry for i, scene in enumerate(scenes) for entry in annotate(scene, i, 100 * i)
    ],
    "categories": [{"id": i, "name": n} for i, n in enumerate(CLASS_NAMES, start=1)],
}
found = [predictor(to_float(scene.pixels)) for scene in scenes]
results = [
    result
    for i, one in enumerate(found)
    for result in detections_to_coco(one, i, {label: label for label in range(1, 5)})
]
scores = evaluate_coco(truth, results)
print(f"{len(truth['annotations'])} objects, {len(results)} detections")

# %% [markdown]
# The same with the loops above, which never call pycocotools. All twelve figures agree.


# %%
def of_loops(kind: str) -> dict[str, float]:
    """COCO's figures by the reference: "bbox" or "segm"."""
    annotations, detections = [], []
    entries = iter(truth["annotations"])
    for i, (scene, one) in enumerate(zip(scenes, found, strict=True)):
        for mask, label in zip(scene.masks, scene.labels, strict=True):
            x, y, width, height = next(entries)["bbox"]
            box = np.array([x, y, x + width, y + height])
            region = mask if kind == "segm" else box
            annotations.append(Annotation(i, label, region, float(mask.sum())))
        regions = one.masks if kind == "segm" else one.boxes.double()
        for region, label, score in zip(regions, one.labels, one.scores, strict=True):
            found_here = Detection(i, label.item(), region.numpy(), score.item())
            detections.append(found_here)
    return average_precision(annotations, detections)


print(f"{'':10} {'box':>7} {'mask':>7}")
by_loops = {kind: of_loops(kind) for kind in ("bbox", "segm")}
for name, value in scores["segm"].figures.items():
    print(f"{name:10} {scores['bbox'].figures[name]:7.3f} {value:7.3f}")
for kind, figures in by_loops.items():
    for name, value in figures.items():
        assert abs(value - scores[kind].figures[name]) < 1e-9, (kind, name)

# %% [markdown]
# ## Mean IoU, a number and a curve
#
# Some write-ups report mIoU for Mask R-CNN, and one draws its curve over the training:
# 0.66 on the training images, 0.60 on the test images. Such a curve shows whether
# training still helps, and its gap whether the model learns its images by heart. But
# two things have to be said beside the number. First, what was averaged: the best IoU
# of each *object*, or the IoU of each *class's* pixels, all objects united. Second, the
# score from which on a detection is shown, for IoU knows no ranking.

# %%
shown = np.linspace(0.05, 0.95, 19)
curve = [mean_iou(truth, results, score_threshold=s) for s in shown]
per_object = np.array([one.per_object for one in curve])
figure, axes = plt.subplots(figsize=(6, 3.4), layout="constrained")
axes.plot(shown, per_object, marker="o", ms=4, label="mean over objects")
axes.plot(shown, [one.classes for one in curve], marker="s", ms=4, label="over classes")
axes.set(xlabel="score from which on detections count", ylabel="mIoU", ylim=(0, 1))
axes.grid(alpha=0.3)
axes.legend()
assert np.all(np.diff(per_object) <= 0)  # fewer detections never cover more objects

# %% [markdown]
# ## What AP hides
#
# **False alarms at the end of the list.** Add forty wrong detections with scores below
# all others. No figure changes. Whoever looks at the picture sees forty errors, unless
# a score threshold hides them. AP is not measured at your threshold.

# %%
far_away = np.array([200.0, 200, 210, 210])
alarms = [Detection(1, 1, far_away + i, 0.01) for i in range(40)]
assert average_precision(objects, detections + alarms) == average_precision(
    objects, detections
)
precision = 3 / (len(detections) + len(alarms))
print(f"precision of the whole list: {3 / 5:.2f}, with the alarms {precision:.2f}")

# %% [markdown]
# **What a score means.** Only the order of the scores enters. A model whose 0.9 is
# right nine times in ten, and one whose 0.09 is, have the same AP.

# %%
timid = [Detection(1, 1, item.region, item.score / 10) for item in detections]
assert average_precision(objects, timid) == average_precision(objects, detections)

# %% [markdown]
# **Which kind of error.** Two models for two objects. The first finds both, each with
# an IoU of 0.72. The second finds one of them perfectly and misses the other. Their AP
# is nearly the same. AP50 and AP75 tell them apart.

# %%
two = [annotation((0, 0, 50, 50)), annotation((100, 0, 150, 50))]
loose = [
    Detection(1, 1, np.array([x, 0.0, x + 50, 36]), 0.9 - x / 1000) for x in (0.0, 100)
]
exact = [Detection(1, 1, two[0].region, 0.9)]
of_loose, of_exact = (average_precision(two, some) for some in (loose, exact))
assert (of_loose["ap50"], of_loose["ap75"]) == (1, 0)
assert np.isclose(of_loose["ap"], 5 / 10)  # right at 0.50, 0.55, 0.60, 0.65, 0.70
assert np.isclose(of_exact["ap"], 51 / 101)
assert of_exact["ap50"] == of_exact["ap75"] == of_exact["ap"]

# %% [markdown]
# **Who pays.** The mean over classes says nothing about single classes, and a mask AP
# contains the errors of the box head: a perfect mask with a wrong class is a false
# positive. Look at AP by class and by area, and at pictures.

# %%
by_class = zip(class_names, scores["segm"].class_ap(), strict=True)
for name, value in by_class:
    print(f"{name:10} mask AP {value:.3f}")
known = [value for value in scores["segm"].class_ap() if value >= 0]
assert np.isclose(np.mean(known), scores["segm"].ap)

# %% [markdown]
# ## Exercises
#
# The overlap, the matching, and the average.

# %% exercise="ex12_1"
exercise("ex12_1")

# %% exercise="ex12_2"
exercise("ex12_2")

# %% exercise="ex12_3"
exercise("ex12_3")

# %% [markdown]
# ## Summary
#
# - Detections, best score first, each take the free object that they overlap most, if
#   the IoU reaches the threshold; crowds and objects out of range are left out.
# - AP at one threshold is the mean, over 101 levels of recall, of the best precision at
#   that recall or more.
# - AP is the mean over ten IoU thresholds and over classes; -1 means that there was
#   nothing to find.
# - mIoU says nothing without its definition and its score threshold; AP has none.
# - AP hides false alarms behind the last hit, the scale of scores, the kind of error,
#   and the single class.
#
# ## To read
#
# - Lin et al., *Microsoft COCO: Common Objects in Context*, 2014, and the code of
#   `pycocotools/cocoeval.py`.
# - Everingham et al., *The Pascal Visual Object Classes Challenge*, 2010, section 4.2.
# - Bolya et al., *TIDE: A General Toolbox for Identifying Object Detection Errors*,
#   2020.
# - `maskrcnn_scratch/reference/average_precision.py`, `evaluation/`.
