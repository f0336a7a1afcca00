"""Smaller pictures: a palette, and nothing beside the pixels."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image

COLOURS = 128


def recompressed(png: bytes) -> bytes:
    """The picture as a PNG of at most 128 colours, on white, without metadata.

    Colours of the palette stay exactly as they are, so drawings do; others, such as
    those of a photograph, are dithered.
    """
    image = Image.open(BytesIO(png)).convert("RGBA")
    flat = Image.new("RGB", image.size, "white")
    flat.paste(image, mask=image.getchannel("A"))
    nearest = flat.quantize(COLOURS, kmeans=4)
    dithered = flat.quantize(palette=nearest, dither=Image.Dither.FLOYDSTEINBERG)
    exact = (np.asarray(nearest.convert("RGB")) == np.asarray(flat)).all(axis=-1)
    dithered.paste(nearest, mask=Image.fromarray(exact))
    written = BytesIO()
    dithered.save(written, "PNG", optimize=True)
    return written.getvalue()
