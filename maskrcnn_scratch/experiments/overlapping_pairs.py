"""One shape alone, or two of one class and nearly one size, one over the other.

What tells such two apart is only where they stand, which is hard for a network that
answers for pixels without knowing for whose sake it is asked.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float

from maskrcnn_scratch.data.shapes import (
    CLASS_NAMES,
    PIXEL_NOISE,
    Scene,
    contrasting_color,
    cover_at,
    texture,
    to_sample,
)
from maskrcnn_scratch.data.transforms import Sample

ALONE = 0.5  # of the images show one shape
RADIUS = (0.14, 0.22)  # of a shape, as a part of the image's side
NEARNESS = (0.3, 1.6)  # between the two centres, in radii
LEAST_VISIBLE = 0.25  # of the shape that is behind


def generate_pairs(count: int, size: int, seed: int) -> list[Sample]:
    """``count`` images with their ground truth; the same seed gives the same ones."""
    return [
        to_sample(draw_pair(size, np.random.default_rng([seed, index])), index + 1)
        for index in range(count)
    ]


def draw_pair(size: int, rng: np.random.Generator) -> Scene:
    """One shape, or two with colours of their own, on a textured ground."""
    label = int(rng.integers(len(CLASS_NAMES)))
    ground = rng.uniform(0, 1, 3)
    canvas = texture(size, ground, rng)
    masks: list[Bool[np.ndarray, "size size"]] = []
    for cover in pair_covers(label, size, rng):
        paint = texture(size, contrasting_color(ground, rng), rng)
        canvas += cover[:, :, None] * (paint - canvas)
        masks = [*(mask & (cover < 0.5) for mask in masks), cover >= 0.5]
    canvas += rng.normal(0, PIXEL_NOISE, canvas.shape)
    pixels = (canvas.clip(0, 1) * 255).round().astype(np.uint8)
    return Scene(pixels, np.stack(masks), [label + 1] * len(masks))


def pair_covers(
    label: int, size: int, rng: np.random.Generator
) -> list[Float[np.ndarray, "size size"]]:
    """How much of each pixel one shape or both cover, the nearer one last."""
    radius, stretch = size * rng.uniform(*RADIUS), math.exp(rng.uniform(-0.25, 0.25))
    angle = rng.uniform(-0.3, 0.3)
    x, y = rng.uniform(0.35 * size, 0.65 * size, 2)
    first = cover_at(label, size, (x, y), radius, stretch, angle)
    if rng.uniform() < ALONE:
        return [first]
    while True:
        step, way = radius * rng.uniform(*NEARNESS), rng.uniform(0, math.tau)
        center = (x + step * math.cos(way), y + step * math.sin(way))
        other = radius * math.exp(rng.uniform(-0.1, 0.1))
        second = cover_at(label, size, center, other, stretch, angle)
        visible = ((first >= 0.5) & (second < 0.5)).sum()
        if visible >= LEAST_VISIBLE * (first >= 0.5).sum():
            return [first, second]
