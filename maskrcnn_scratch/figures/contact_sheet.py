"""Many pictures in one."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

GAP = 6  # pixels between pictures


def contact_sheet(
    pictures: Sequence[Image.Image], columns: int, side: int
) -> Image.Image:
    """The pictures in rows on white, each at most ``side`` pixels wide and high."""
    rows = -(-len(pictures) // columns)
    size = [count * (side + GAP) + GAP for count in (columns, rows)]
    sheet = Image.new("RGB", (size[0], size[1]), "white")
    for number, picture in enumerate(pictures):
        small = picture.copy()
        small.thumbnail((side, side))
        row, column = divmod(number, columns)
        sheet.paste(small, (GAP + column * (side + GAP), GAP + row * (side + GAP)))
    return sheet
