"""A generated set of shapes: overlapping, textured, noisy, exactly annotated.

Small enough to train on in minutes, and yet with everything that instance segmentation
is about: objects of many sizes that overlap and hide each other, classes that only
their outline tells apart (colours and textures are the same for all).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from numpy.typing import NDArray

from maskrcnn_scratch.data.images import to_float
from maskrcnn_scratch.data.transforms import Sample, boxes_around
from maskrcnn_scratch.structures import Target

CLASS_NAMES = ("rectangle", "ellipse", "triangle", "star")

MOST_OBJECTS = 6
SMALLEST, LARGEST = 0.1, 0.22  # a shape's mean radius, as a part of the image's side
LARGEST_TURN = 0.3  # radians, either way
LEAST_VISIBLE = 0.5  # of a shape's pixels, whatever covers it
LEAST_PIXELS = 30  # visible
LEAST_CONTRAST = 0.3  # between a shape's colour and the background's, RGB in 0..1
PIXEL_NOISE = 0.03  # standard deviation
TIP = 1.3  # radius of triangles' and stars' tips, where a disc has 1
FARTHEST = TIP  # of any shape's outline from its centre
SUBSAMPLES = 2  # along each side of a pixel, for smooth edges

Item = TypeVar("Item")
Drawn = tuple[Float[np.ndarray, "size size"], Item, bool]
"""How much of each pixel an object covers, what it is, and whether it will do."""


@dataclass(frozen=True)
class Scene:
    """One image and what is in it, nearest shape last."""

    pixels: UInt8[np.ndarray, "size size 3"]
    masks: Bool[np.ndarray, "objects size size"]
    labels: list[int]


def generate_shapes(count: int, size: int = 128, seed: int = 0) -> list[Sample]:
    """``count`` images of ``size`` x ``size`` pixels as (RGB in 0..1, Target).

    The same seed gives the same images, and image i is the same for any count. Image
    ids are 1, 2, ...; label l is ``CLASS_NAMES[l - 1]``.
    """
    return [
        to_sample(draw_scene(size, np.random.default_rng([seed, index])), index + 1)
        for index in range(count)
    ]


def to_sample(scene: Scene, image_id: int) -> Sample:
    """A scene in the form of a dataset's item."""
    masks = torch.from_numpy(scene.masks.astype(np.uint8))
    return to_float(scene.pixels), Target(
        image_id=image_id,
        boxes=boxes_around(masks),
        labels=torch.tensor(scene.labels, dtype=torch.int64),
        masks=masks,
        crowd=torch.zeros(len(masks), dtype=torch.bool),
    )


def draw_scene(size: int, rng: np.random.Generator) -> Scene:
    """Shapes one over the other on a textured ground."""
    if size < 32:
        raise ValueError(f"size is {size} pixels; shapes need 32 or more")

    def draw() -> Drawn[int]:
        label = int(rng.integers(len(CLASS_NAMES)))
        cover = shape_cover(label, size, rng)
        return cover, label + 1, bool((cover >= 0.5).sum() >= LEAST_PIXELS)

    return Scene(*paint_objects(size, MOST_OBJECTS, draw, rng))


def paint_objects(
    size: int, most: int, draw: Callable[[], Drawn[Item]], rng: np.random.Generator
) -> tuple[
    UInt8[np.ndarray, "size size 3"], Bool[np.ndarray, "objects size size"], list[Item]
]:
    """One to ``most`` drawn objects, one over the other on a textured ground.

    Returns the pixels, what can be seen of each object, and what each is.
    """
    ground_color = rng.uniform(0, 1, 3)
    canvas = texture(size, ground_color, rng)
    masks: list[Bool[np.ndarray, "size size"]] = []
    areas: list[int] = []
    items: list[Item] = []
    wanted = int(rng.integers(1, most + 1))
    tries = 0
    # Where there is no place left that would not hide too much, fewer must do.
    while len(masks) < wanted and (tries < 10 * wanted or not masks):
        tries += 1
        cover, item, will_do = draw()
        mask = cover >= 0.5
        visible = [earlier & ~mask for earlier in masks]
        if not will_do or hides_too_much(visible, areas):
            continue
        paint = texture(size, contrasting_color(ground_color, rng), rng)
        canvas += cover[:, :, None] * (paint - canvas)
        masks = [*visible, mask]
        areas.append(int(mask.sum()))
        items.append(item)
    canvas += rng.normal(0, PIXEL_NOISE, canvas.shape)
    pixels = (canvas.clip(0, 1) * 255).round().astype(np.uint8)
    return pixels, np.stack(masks), items


def hides_too_much(
    visible: list[Bool[np.ndarray, "size size"]], areas: list[int]
) -> bool:
    """Whether too little of some shape is left, of its whole area or in pixels."""
    return any(
        mask.sum() < max(LEAST_VISIBLE * area, LEAST_PIXELS)
        for mask, area in zip(visible, areas, strict=True)
    )


def contrasting_color(
    ground: Float[np.ndarray, " 3"], rng: np.random.Generator
) -> Float[np.ndarray, " 3"]:
    """Any colour that is not too near the ground's."""
    while True:
        color = rng.uniform(0, 1, 3)
        if np.abs(color - ground).max() >= LEAST_CONTRAST:
            return color


def texture(
    size: int, color: Float[np.ndarray, " 3"], rng: np.random.Generator
) -> Float[np.ndarray, "size size 3"]:
    """The colour, shaded in stripes and smooth patches."""
    across = np.arange(size) / size
    angle, waves, phase = rng.uniform(0, math.tau), rng.uniform(2, 12), rng.uniform()
    ramp = across * math.cos(angle) + across[:, None] * math.sin(angle)
    stripes = np.sin(math.tau * (waves * ramp + phase))
    patches = smooth_noise(size, int(rng.integers(3, 9)), rng)
    shade = rng.uniform(0, 0.08) * stripes + rng.uniform(0.03, 0.1) * patches
    return color + shade[:, :, None]


def smooth_noise(
    size: int, cells: int, rng: np.random.Generator
) -> Float[np.ndarray, "size size"]:
    """Random values in [-1, 1] on a grid of cells, bilinear in between."""
    grid = rng.uniform(-1, 1, (cells + 1, cells + 1))
    place = (np.arange(size) + 0.5) / size * cells
    first = place.astype(int)
    weights = np.zeros((size, cells + 1))
    weights[np.arange(size), first] = 1 - (place - first)
    weights[np.arange(size), first + 1] = place - first
    noise: Float[np.ndarray, "size size"] = weights @ grid @ weights.T
    return noise


def shape_cover(
    label: int, size: int, rng: np.random.Generator
) -> Float[np.ndarray, "size size"]:
    """How much of each pixel a random shape of this class covers, 0 to 1."""
    radius = size * math.exp(rng.uniform(math.log(SMALLEST), math.log(LARGEST)))
    stretch = math.exp(rng.uniform(-0.25, 0.25))
    angle = rng.uniform(-LARGEST_TURN, LARGEST_TURN)
    x, y = rng.uniform(0.08 * size, 0.92 * size, 2)
    return cover_at(label, size, (x, y), radius, stretch, angle)


def cover_at(
    label: int,
    size: int,
    center: tuple[float, float],
    radius: float,
    stretch: float,
    angle: float,
) -> Float[np.ndarray, "size size"]:
    """How much of each pixel the shape covers that stands at ``center``, (x, y)."""
    # Only pixels within reach of the shape are looked at.
    reach = radius * FARTHEST * max(stretch, 1 / stretch)
    left, right = reached(center[0], reach, size)
    top, bottom = reached(center[1], reach, size)
    x = subsamples(left, right) - center[0]
    y = (subsamples(top, bottom) - center[1])[:, None]
    u = (x * math.cos(angle) + y * math.sin(angle)) / (radius * stretch)
    v = (y * math.cos(angle) - x * math.sin(angle)) / (radius / stretch)
    inside = (in_rectangle, in_ellipse, in_triangle, in_star)[label](u, v)
    blocks = inside.reshape(bottom - top, SUBSAMPLES, right - left, SUBSAMPLES)
    cover = np.zeros((size, size))
    cover[top:bottom, left:right] = blocks.mean((1, 3))
    return cover


def reached(center: float, reach: float, size: int) -> tuple[int, int]:
    """The pixels of the image from center - reach to center + reach."""
    return max(int(center - reach), 0), min(math.ceil(center + reach), size)


def subsamples(first: int, end: int) -> Float[np.ndarray, " samples"]:
    """Evenly spread sample points of the pixels from first to end."""
    return first + (np.arange((end - first) * SUBSAMPLES) + 0.5) / SUBSAMPLES


# Shapes about the origin, of a radius near 1 ------------------------------------------

Plane = NDArray[np.float64]


def in_rectangle(u: Plane, v: Plane) -> NDArray[np.bool_]:
    """A square; stretching makes it a rectangle."""
    return np.maximum(np.abs(u), np.abs(v)) <= 0.85


def in_ellipse(u: Plane, v: Plane) -> NDArray[np.bool_]:
    """A disc; stretching makes it an ellipse."""
    return u * u + v * v <= 1


def in_triangle(u: Plane, v: Plane) -> NDArray[np.bool_]:
    """Three tips with straight sides: the valleys lie half as far out as the tips."""
    return in_tips(u, v, count=3, tip=TIP, valley=0.65)


def in_star(u: Plane, v: Plane) -> NDArray[np.bool_]:
    """Five tips."""
    return in_tips(u, v, count=5, tip=TIP, valley=0.6)


def in_tips(
    u: Plane, v: Plane, count: int, tip: float, valley: float
) -> NDArray[np.bool_]:
    """A star of ``count`` tips at radius ``tip``, with valleys at radius ``valley``.

    All is folded into one half tip, where the outline is the line from (tip, 0) to the
    valley; inside is the origin's side of it.
    """
    half = math.pi / count
    angle = np.abs((np.arctan2(v, u) + half) % (2 * half) - half)
    radius = np.hypot(u, v)
    valley_x, valley_y = valley * math.cos(half), valley * math.sin(half)
    x, y = radius * np.cos(angle) - tip, radius * np.sin(angle)
    return (valley_x - tip) * y - valley_y * x >= 0
