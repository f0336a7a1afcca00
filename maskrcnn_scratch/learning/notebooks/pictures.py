"""Smaller pictures: a palette, and nothing beside the pixels."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image

MOST_BYTES = 110_000
"""From here on a picture gives up quality. In a notebook it takes a third more, in
base 64, and a notebook of 500 kB must hold three or four."""


def recompressed(png: bytes) -> bytes:
    """The picture as a PNG of at most 128 colours, on white, without metadata.

    Colours of the palette stay exactly as they are, so drawings do; others, such as
    those of a photograph, are dithered. Where noise makes that large, dithering goes
    first, since noise hides what it would, and then half of the colours.
    """
    image = Image.open(BytesIO(png)).convert("RGBA")
    flat = Image.new("RGB", image.size, "white")
    flat.paste(image, mask=image.getchannel("A"))
    full = flat.quantize(128, kmeans=4)
    for draft in (dithered(flat, full), full, flat.quantize(64, kmeans=4)):
        written = BytesIO()
        draft.save(written, "PNG", optimize=True)
        if len(written.getvalue()) <= MOST_BYTES:
            break
    return written.getvalue()


def dithered(flat: Image.Image, nearest: Image.Image) -> Image.Image:
    """With the palette of ``nearest``; pixels that have its colour already keep it."""
    mixed = flat.quantize(palette=nearest, dither=Image.Dither.FLOYDSTEINBERG)
    exact = (np.asarray(nearest.convert("RGB")) == np.asarray(flat)).all(axis=-1)
    mixed.paste(nearest, mask=Image.fromarray(exact))
    return mixed
