"""Exercise 15.3: what a coarse grid costs a perfect mask."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from matplotlib.figure import Figure

from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake


def coarse_iou(mask: np.ndarray, m: int) -> float:
    """The IoU of a mask with itself after a detour over m x m cells.

    Args:
        mask: (side, side), True or False; ``side`` is a multiple of m.
        m: cells a side of the grid over the whole picture.

    A cell is on where at least half of its pixels are in the mask, and then all of its
    pixels are in the coarse mask. IoU is pixels in both over pixels in either; 0 where
    neither has any.
    """
    block = len(mask) // m
    parts = mask.reshape(m, block, m, block).mean(axis=(1, 3))
    coarse = np.repeat(np.repeat(parts >= 0.5, block, axis=0), block, axis=1)
    both = (mask & coarse).sum()
    either = (mask | coarse).sum()
    return float(both / either) if either else 0.0


@st.composite
def masks(draw: st.DrawFn) -> Inputs:
    """A rectangle with some pixels flipped, and a grid that fits."""
    m = draw(st.integers(1, 3))
    side = m * draw(st.integers(1, 4))
    top, left = (draw(st.integers(0, side)) for _ in range(2))
    mask = np.zeros((side, side), np.bool_)
    mask[top : draw(st.integers(top, side)), left : draw(st.integers(left, side))] = 1
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, side - 1)), draw(st.integers(0, side - 1))
        mask[place] = not mask[place]
    return {"mask": mask, "m": m}


def coarse_mask(mask: np.ndarray, m: int) -> np.ndarray:
    """Cell by cell."""
    block = len(mask) // m
    coarse = np.zeros_like(mask)
    for i in range(0, len(mask), block):
        for j in range(0, len(mask), block):
            cell = mask[i : i + block, j : j + block]
            coarse[i : i + block, j : j + block] = 2 * cell.sum() >= cell.size
    return coarse


def pixel_by_pixel(mask: np.ndarray, m: int) -> float:
    """The IoU as two counts."""
    pairs = list(zip(mask.ravel(), coarse_mask(mask, m).ravel(), strict=True))
    both = sum(a and b for a, b in pairs)
    either = sum(a or b for a, b in pairs)
    return both / either if either else 0.0


def draw_coarse(inputs: Inputs, expected: float, got: float) -> Figure | None:
    """The mask, and what the grid makes of it."""
    mask, m = inputs["mask"], inputs["m"]
    figure = Figure(figsize=(5.5, 3), layout="constrained")
    pictures = {"the mask": mask, f"over {m} x {m} cells": coarse_mask(mask, m)}
    for axes, (title, shown) in zip(
        figure.subplots(1, 2), pictures.items(), strict=True
    ):
        axes.imshow(shown, cmap="Blues", vmin=0, vmax=1.4)
        axes.set_xticks(np.arange(m + 1) * len(mask) / m - 0.5, [])
        axes.set_yticks(np.arange(m + 1) * len(mask) / m - 0.5, [])
        axes.grid(color="black", lw=1)
        axes.set_title(title, size=10)
    return figure


EXERCISE = Exercise(
    id="ex15_3",
    title="The price of a coarse grid",
    objective="Measure how much IoU a perfect mask loses on a grid of m x m cells.",
    difficulty=2,
    minutes=15,
    task=(
        "Write `coarse_iou(mask, m)`: cut the mask into m x m cells, switch each cell "
        "on or off as a whole, and compare with the mask. It bounds what any head with "
        "that grid can reach."
    ),
    hints=(
        "The part of a cell that is covered is the mean of its pixels.",
        "`mask.reshape(m, block, m, block).mean(axis=(1, 3))` are the parts of all "
        "cells.",
        "`np.repeat` twice, once along each axis, brings the cells back to pixels. "
        "Count with & and |.",
    ),
    solution=coarse_iou,
    laws=(
        Law("The IoU is that counted pixel by pixel.", masks(), pixel_by_pixel),
        Law(
            "With a cell a pixel nothing is lost.",
            masks(),
            expected=lambda mask, m: float(mask.any()),
            got=lambda f, mask, m: f(mask, len(mask)),
        ),
    ),
    mistakes=(
        Mistake(
            "strict half",
            "you left cells off that are covered by exactly one half.",
            {"parts >= 0.5": "parts > 0.5"},
        ),
        Mistake(
            "any pixel",
            "you switched on every cell that holds a pixel of the mask.",
            {"parts >= 0.5": "parts > 0"},
        ),
        Mistake(
            "whole cells",
            "you switched on only cells that are covered as a whole.",
            {"parts >= 0.5": "parts >= 1"},
        ),
        Mistake(
            "one pixel a cell",
            "you read the first pixel of each cell: take the mean of all of them.",
            {
                "mask.reshape(m, block, m, block).mean(axis=(1, 3))": "mask[::block, "
                "::block]"
            },
        ),
        Mistake(
            "by the mask",
            "you divided by the mask's pixels: that is recall, and says nothing of "
            "pixels too many.",
            {"(mask | coarse).sum()": "mask.sum()"},
        ),
        Mistake(
            "by the coarse mask",
            "you divided by the coarse mask's pixels: that is precision.",
            {"(mask | coarse).sum()": "coarse.sum()"},
        ),
        Mistake(
            "sum of both",
            "you divided by the sum of the two areas: pixels in both were counted "
            "twice.",
            {"(mask | coarse).sum()": "mask.sum() + coarse.sum()"},
        ),
        Mistake(
            "accuracy",
            "you counted the pixels on which the two agree: the empty ground is right "
            "for nothing.",
            {
                "(mask & coarse).sum()": "(mask == coarse).sum()",
                "(mask | coarse).sum()": "mask.size",
            },
        ),
        Mistake(
            "NaN",
            "you divided by 0 where neither has a pixel: the IoU is 0 there.",
            {"if either else 0.0": "if either else np.nan"},
        ),
        Mistake(
            "empty is perfect",
            "you called two empty masks equal: here their IoU is 0.",
            {"if either else 0.0": "if either else 1.0"},
        ),
        Mistake(
            "axes mixed",
            "you averaged over the cells instead of over the pixels in them.",
            {
                "mask.reshape(m, block, m, block)": "mask.reshape(block, m, block, m)"
                ".transpose(1, 0, 3, 2)"
            },
        ),
        Mistake(
            "soft",
            "you took the covered parts themselves: a cell is on or off.",
            {
                "both = (mask & coarse).sum()": "coarse = np.repeat(np.repeat(parts, "
                "block, axis=0), block, axis=1)\n    both = np.minimum(mask, coarse)."
                "sum()",
                "(mask | coarse).sum()": "np.maximum(mask, coarse).sum()",
            },
        ),
    ),
    draw=draw_coarse,
)
