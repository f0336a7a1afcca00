"""Generated stick figures with keypoints: people, as simple as they can be.

One class, seven points each, overlapping, on textured ground. A figure faces us, so its
left hand is at the right of the picture, as with COCO's people.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8

from maskrcnn_scratch.data.images import to_float
from maskrcnn_scratch.data.shapes import (
    SUBSAMPLES,
    Drawn,
    paint_objects,
    subsamples,
)
from maskrcnn_scratch.data.transforms import Sample, boxes_around
from maskrcnn_scratch.structures import Target

CLASS_NAMES = ("figure",)
KEYPOINT_NAMES = (
    "head",
    "neck",
    "hip",
    "left_hand",
    "right_hand",
    "left_foot",
    "right_foot",
)
SKELETON = ((0, 1), (1, 2), (1, 3), (1, 4), (2, 5), (2, 6))
"""The sticks: pairs of keypoints, counted from 0."""

MOST_FIGURES = 3
SMALLEST, LARGEST = 0.35, 0.75  # a figure's height, as a part of the image's side
LARGEST_LEAN = 0.35  # radians, either way
HEAD, STICK = 0.1, 0.04  # radii, as parts of the height
NECK, HIP, ARM, LEG = 0.12, 0.32, 0.36, 0.42  # lengths: head to neck, neck to hip, ...
LEAST_INSIDE = 6  # of a figure's keypoints lie in the image

UNLABELLED, HIDDEN, VISIBLE = 0.0, 1.0, 2.0


@dataclass(frozen=True)
class Figures:
    """One image and who is in it, nearest figure last.

    Masks are of what can be seen. Keypoints are (x, y, v) in pixels: v is 2, or 1 where
    a nearer figure hides the point, or 0 (and x = y = 0) outside the image.
    """

    pixels: UInt8[np.ndarray, "size size 3"]
    masks: Bool[np.ndarray, "figures size size"]
    keypoints: Float[np.ndarray, "figures points 3"]


def generate_figures(count: int, size: int = 128, seed: int = 0) -> list[Sample]:
    """``count`` images of ``size`` x ``size`` pixels as (RGB in 0..1, Target).

    The same seed gives the same images, and image i is the same for any count. Image
    ids are 1, 2, ...; every object has the label 1 and the points KEYPOINT_NAMES.
    """
    return [
        figures_sample(
            draw_figures(size, np.random.default_rng([seed, index])), index + 1
        )
        for index in range(count)
    ]


def figures_sample(scene: Figures, image_id: int) -> Sample:
    """A scene in the form of a dataset's item."""
    masks = torch.from_numpy(scene.masks.astype(np.uint8))
    return to_float(scene.pixels), Target(
        image_id=image_id,
        boxes=boxes_around(masks),
        labels=torch.ones(len(masks), dtype=torch.int64),
        masks=masks,
        crowd=torch.zeros(len(masks), dtype=torch.bool),
        keypoints=torch.from_numpy(scene.keypoints.astype(np.float32)),
    )


def draw_figures(size: int, rng: np.random.Generator) -> Figures:
    """Figures one before the other on a textured ground."""
    if size < 64:
        raise ValueError(f"size is {size} pixels; figures need 64 or more")

    def draw() -> Drawn[Float[np.ndarray, "points 2"]]:
        pose, height = draw_pose(size, rng)
        inside = ((pose >= 0) & (pose < size)).all(axis=1)
        will_do = bool(inside.sum() >= LEAST_INSIDE)
        return figure_cover(pose, height, size), pose, will_do

    pixels, masks, poses = paint_objects(size, MOST_FIGURES, draw, rng)
    seen = [with_visibility(*pair) for pair in zip(poses, masks, strict=True)]
    return Figures(pixels, masks, np.stack(seen))


def draw_pose(
    size: int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "points 2"], float]:
    """(x, y) of the seven points, and the figure's height in pixels.

    Arms hang, reach out or point up, legs stand apart; neither cross the body, so left
    and right can always be told.
    """
    height = size * math.exp(rng.uniform(math.log(SMALLEST), math.log(LARGEST)))
    lean = rng.uniform(-LARGEST_LEAN, LARGEST_LEAN)
    arms, legs = rng.uniform(0.35, 2.5, 2), rng.uniform(0.12, 0.6, 2)
    neck = np.zeros(2)
    hip = neck + HIP * down(lean)
    places = [
        neck - NECK * down(lean),
        neck,
        hip,
        neck + ARM * down(lean - arms[0]),
        neck + ARM * down(lean + arms[1]),
        hip + LEG * down(lean - legs[0]),
        hip + LEG * down(lean + legs[1]),
    ]
    center = rng.uniform(0.15 * size, 0.85 * size, 2)
    return center + height * (np.stack(places) - hip / 2), height


def down(angle: float) -> Float[np.ndarray, " 2"]:
    """The unit vector (x, y) that points down, turned clockwise by ``angle``."""
    return np.array([-math.sin(angle), math.cos(angle)])


def figure_cover(
    pose: Float[np.ndarray, "points 2"], height: float, size: int
) -> Float[np.ndarray, "size size"]:
    """How much of each pixel the figure covers, 0 to 1."""
    x = subsamples(0, size)
    head_x, head_y = pose[0]
    inside = (x - head_x) ** 2 + (x[:, None] - head_y) ** 2 <= (HEAD * height) ** 2
    for one, other in SKELETON:
        squared = squared_distance(x, pose[one], pose[other])
        inside |= squared <= (STICK * height) ** 2
    blocks = inside.reshape(size, SUBSAMPLES, size, SUBSAMPLES)
    cover: Float[np.ndarray, "size size"] = blocks.mean((1, 3))
    return cover


def squared_distance(
    samples: Float[np.ndarray, " s"],
    start: Float[np.ndarray, " 2"],
    end: Float[np.ndarray, " 2"],
) -> Float[np.ndarray, "s s"]:
    """Of each point (samples[j], samples[i]) from the stick from start to end."""
    x, y = samples - start[0], (samples - start[1])[:, None]
    along_x, along_y = end - start
    part = (x * along_x + y * along_y) / (along_x**2 + along_y**2)
    part = part.clip(0, 1)
    squared: Float[np.ndarray, "s s"] = (x - part * along_x) ** 2
    squared += (y - part * along_y) ** 2
    return squared


def with_visibility(
    pose: Float[np.ndarray, "points 2"], mask: Bool[np.ndarray, "size size"]
) -> Float[np.ndarray, "points 3"]:
    """(x, y, v) of a figure of which ``mask`` can be seen."""
    keypoints = np.zeros((len(pose), 3))
    for point, (x, y) in zip(keypoints, pose, strict=True):
        if 0 <= x < mask.shape[1] and 0 <= y < mask.shape[0]:
            point[:] = x, y, VISIBLE if mask[int(y), int(x)] else HIDDEN
    return keypoints
