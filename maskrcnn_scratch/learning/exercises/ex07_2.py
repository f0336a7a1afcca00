"""Exercise 7.2: one step down the pyramid, from a coarse map to the next finer one."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake


def merge(coarse: np.ndarray, lateral: np.ndarray) -> np.ndarray:
    """The finer map M(n) of a pyramid from the coarser M(n + 1).

    Args:
        coarse: M(n + 1), (channels, h, w).
        lateral: the 1x1 convolution of C(n), (channels, H, W). H is 2 h or 2 h - 1,
            and W is 2 w or 2 w - 1: a stride-2 convolution makes 3 rows of 5 or of 6.

    Returns (channels, H, W): lateral plus coarse, where cell (row, column) gets the
    coarse cell (row // 2, column // 2), its nearest one.
    """
    _, height, width = lateral.shape
    twice = coarse.repeat(2, axis=1).repeat(2, axis=2)
    merged: np.ndarray = lateral + twice[:, :height, :width]
    return merged


@st.composite
def two_levels(draw: st.DrawFn, only_ones: bool = False) -> Inputs:
    """Two neighbouring maps of whole numbers, of even or odd sizes."""
    channels, h, w = (draw(st.integers(1, most)) for most in (2, 3, 3))
    height, width = 2 * h - draw(st.integers(0, 1)), 2 * w - draw(st.integers(0, 1))
    values = st.just(1) if only_ones else st.integers(-9, 9)

    def numbers(*shape: int) -> np.ndarray:
        count = int(np.prod(shape))
        drawn = draw(st.lists(values, min_size=count, max_size=count))
        return np.array(drawn, np.float64).reshape(shape)

    return {
        "coarse": numbers(channels, h, w),
        "lateral": numbers(channels, height, width),
    }


def merge_of(coarse: np.ndarray, lateral: np.ndarray) -> np.ndarray:
    """Cell by cell, as the docstring says it."""
    merged = np.zeros(lateral.shape)
    for channel, row, column in np.ndindex(lateral.shape):
        above = coarse[channel, row // 2, column // 2]
        merged[channel, row, column] = lateral[channel, row, column] + above
    return merged


EXERCISE = Exercise(
    id="ex07_2",
    title="One step down",
    objective="Upsample a coarse map and add it to the finer one, of any size.",
    difficulty=2,
    minutes=15,
    task=(
        "Write `merge(coarse, lateral)`: the step from M(n + 1) to M(n). The finer map "
        "may have an odd number of rows or columns."
    ),
    hints=(
        "Nearest upsampling by two writes every row twice and every column twice: "
        "`np.repeat` along axis 1 and axis 2.",
        "Of an odd map the last row or column has no partner: cut the upsampled map to "
        "the size of `lateral`.",
        "`coarse.repeat(2, axis=1).repeat(2, axis=2)[:, :height, :width]`, and add.",
    ),
    solution=merge,
    laws=(
        Law(
            "The map is what the docstring says, cell by cell.", two_levels(), merge_of
        ),
        Law(
            "Of maps full of ones comes a map full of twos.",
            two_levels(only_ones=True),
            expected=lambda coarse, lateral: np.full(lateral.shape, 2.0),
        ),
    ),
    mistakes=(
        Mistake(
            "odd sizes forgotten",
            "you upsample to twice the size; of a map with 5 rows the coarser one has "
            "3, so cut the 6 rows to 5.",
            {"twice[:, :height, :width]": "twice"},
        ),
        Mistake(
            "cut at the front",
            "you cut the first row or column off an odd map, which moves all others by "
            "a cell: cut at the end.",
            {"twice[:, :height, :width]": "twice[:, -height:, -width:]"},
        ),
        Mistake(
            "tiled",
            "you put the whole map beside itself (np.tile): each cell is repeated "
            "beside itself (np.repeat).",
            {
                "coarse.repeat(2, axis=1).repeat(2, axis=2)": "np.tile(coarse, "
                "(1, 2, 2))"
            },
        ),
        Mistake(
            "bilinear",
            "you mixed neighbouring coarse cells; a nearest upsampling copies one.",
            """
            _, height, width = lateral.shape

            def ways(size, cells):
                ways = np.zeros((size, cells))
                for p in range(size):
                    c = min(max((p + 0.5) / 2 - 0.5, 0), cells - 1)
                    low = int(c)
                    ways[p, low] += 1 - (c - low)
                    ways[p, min(low + 1, cells - 1)] += c - low
                return ways

            rows = ways(height, coarse.shape[1])
            return lateral + rows @ coarse @ ways(width, coarse.shape[2]).T
            """,
        ),
        Mistake(
            "holes",
            "you wrote each coarse cell once and left zeros between; all four cells "
            "above it get its value.",
            {
                "    merged:": "    twice[:, 1::2] = 0\n    twice[:, :, 1::2] = 0\n"
                "    merged:"
            },
        ),
        Mistake(
            "rounded up",
            "you gave cell i the coarse cell (i + 1) // 2, half of the cells one too "
            "far: it is i // 2.",
            """
            _, height, width = lateral.shape
            h, w = coarse.shape[1:]
            rows = np.minimum((np.arange(height) + 1) // 2, h - 1)
            columns = np.minimum((np.arange(width) + 1) // 2, w - 1)
            return lateral + coarse[:, rows[:, None], columns]
            """,
        ),
        Mistake(
            "not added",
            "you returned the upsampled map alone: the lateral map is added to it.",
            {"lateral + twice": "twice"},
        ),
        Mistake(
            "mean",
            "you took the mean of the two maps: they are added.",
            {
                "lateral + twice[:, :height, :width]": "(lateral + "
                "twice[:, :height, :width]) / 2"
            },
        ),
        Mistake(
            "greatest",
            "you took the greater of the two maps: they are added.",
            {
                "lateral + twice[:, :height, :width]": "np.maximum(lateral, "
                "twice[:, :height, :width])"
            },
        ),
        Mistake(
            "activation",
            "you cut negative values off; there is no ReLU in the pyramid.",
            {
                "lateral + twice[:, :height, :width]": "np.maximum(lateral + "
                "twice[:, :height, :width], 0)"
            },
        ),
        Mistake(
            "joined",
            "you joined the channels of the two maps: they are added, so the number of "
            "channels stays.",
            {
                "lateral + twice[:, :height, :width]": "np.concatenate([lateral, "
                "twice[:, :height, :width]])"
            },
        ),
    ),
)
