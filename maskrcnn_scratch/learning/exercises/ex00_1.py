"""Exercise 0.1: how many cells a level of the pyramid has."""

from __future__ import annotations

from hypothesis import strategies as st

from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake


def map_size(height: int, width: int, stride: int) -> tuple[int, int]:
    """(rows, columns) of the feature map of a pyramid's level.

    Args:
        height, width: of the image, pixels, at least 1.
        stride: image pixels a cell: 4, 8, 16, 32 or 64.

    The image is first padded, at the right and the bottom, until both sides are
    multiples of 32. Each halving on the way to the level keeps the last row and column
    where their number is odd, so a level has ceil(side / stride) cells a side.
    """
    padded_height = (height + 31) // 32 * 32
    padded_width = (width + 31) // 32 * 32
    rows = (padded_height + stride - 1) // stride
    columns = (padded_width + stride - 1) // stride
    return rows, columns


@st.composite
def images(draw: st.DrawFn) -> Inputs:
    """Sides near multiples of 32 and anywhere, and every stride."""
    sides = st.integers(1, 400) | st.integers(1, 8).map(lambda n: 32 * n)
    return {
        "height": draw(sides),
        "width": draw(sides),
        "stride": draw(st.sampled_from([4, 8, 16, 32, 64])),
    }


def cells_counted(side: int, stride: int) -> int:
    """Pixel by pixel: pad while 32 does not divide, then a cell every ``stride``."""
    while side % 32:
        side += 1
    return len(range(0, side, stride))


def size_counted(height: int, width: int, stride: int) -> tuple[int, int]:
    """Both sides, counted."""
    return cells_counted(height, stride), cells_counted(width, stride)


EXERCISE = Exercise(
    id="ex00_1",
    title="The size of a feature map",
    objective="Tell how many cells a level of the pyramid has for an image.",
    difficulty=1,
    minutes=10,
    task=(
        "Write `map_size(height, width, stride)`: how many rows and columns the level "
        "of this stride has. Images are padded to multiples of 32 first; what does not "
        "fill a cell gets a cell of its own."
    ),
    hints=(
        "An image of 800 x 1333 is padded to 800 x 1344. At stride 32 that is 25 x 42, "
        "at stride 64 it is 13 x 21.",
        "`(n + 31) // 32 * 32` is the next multiple of 32, and n itself where it is "
        "one.",
        "Divide the padded sides by the stride, rounding up: `(n + s - 1) // s`.",
    ),
    solution=map_size,
    imports="",
    laws=(
        Law("The cells are as many as counted pixel by pixel.", images(), size_counted),
        Law(
            "A turned image has a turned map.",
            images(),
            expected=lambda height, width, stride: size_counted(width, height, stride),
            got=lambda f, height, width, stride: f(width, height, stride),
        ),
    ),
    mistakes=(
        Mistake(
            "no padding",
            "you divided the image's sides as they are: first they are padded to "
            "multiples of 32.",
            {
                "(height + 31) // 32 * 32": "height",
                "(width + 31) // 32 * 32": "width",
            },
        ),
        Mistake(
            "rounded down",
            "you rounded down when dividing by the stride: a last row of a halving is "
            "kept, so round up. It matters at stride 64.",
            {
                "(padded_height + stride - 1) // stride": "padded_height // stride",
                "(padded_width + stride - 1) // stride": "padded_width // stride",
            },
        ),
        Mistake(
            "always one more",
            "you padded sides that are multiples of 32 already by another 32.",
            {"(height + 31)": "(height + 32)", "(width + 31)": "(width + 32)"},
        ),
        Mistake(
            "padded down",
            "you cut the image down to a multiple of 32: pixels are added, none lost.",
            {"(height + 31)": "height", "(width + 31)": "width"},
        ),
        Mistake(
            "width first",
            "you returned (columns, rows): the rows, which go with the height, are "
            "first.",
            {"return rows, columns": "return columns, rows"},
        ),
        Mistake(
            "square",
            "you used the height for both sides.",
            {"(width + 31)": "(height + 31)"},
        ),
        Mistake(
            "pixels",
            "you returned the size of the padded image in pixels: divide by the "
            "stride.",
            {"return rows, columns": "return padded_height, padded_width"},
        ),
        Mistake(
            "nearest multiple",
            "you padded to the nearest multiple of 32: it must be the next one, or "
            "pixels are lost.",
            {"(height + 31)": "(height + 16)", "(width + 31)": "(width + 16)"},
        ),
        Mistake(
            "divided twice",
            "you divided by the stride and by 32.",
            {"// 32 * 32\n    padded_width": "// 32\n    padded_width"},
        ),
    ),
)
