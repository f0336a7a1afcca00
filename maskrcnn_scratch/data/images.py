"""Image files to RGB pixels, whatever the file holds.

Grey is repeated three times, palettes are looked up, 16-bit grey keeps its full range,
alpha is dropped (what lies under a transparent pixel is shown). CMYK and the like go
through Pillow's conversion.

EXIF: cameras store a photograph unturned, with a note how to turn it. Viewers, browsers
and most annotation tools turn it first, so we do too, unless the size written in the
annotations fits the stored pixels alone.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt
from PIL import Image, ImageOps
from torch import Tensor

EXIF_ORIENTATION = 0x0112


class ImageSizeError(ValueError):
    """The image is of another size than its annotations say."""


def read_image(
    path: str | Path, size: tuple[int, int] | None = None
) -> Float32[Tensor, "3 height width"]:
    """RGB in 0..1; ``size`` (height, width) is what the annotations say, if any.

    Raises FileNotFoundError, or ValueError that names a file that is broken, of an
    unknown kind, or of another size than ``size``.
    """
    return to_float(read_pixels(path, size))


def to_float(
    pixels: UInt[np.ndarray, "height width 3"],
) -> Float[Tensor, "3 height width"]:
    """Whole range of the pixel type (255 or 65535) to 0..1, channels first."""
    channels_first = np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32)
    channels_first /= np.iinfo(pixels.dtype).max
    return torch.from_numpy(channels_first)


def read_pixels(
    path: str | Path, size: tuple[int, int] | None = None
) -> UInt[np.ndarray, "height width 3"]:
    """RGB as stored: uint8, or uint16 for 16-bit grey. Errors as for read_image."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no image at {path}")
    try:
        with Image.open(path) as image:
            pixels = to_rgb(upright(image, size))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"cannot read the image {path}: {error}") from error
    height, width, _ = pixels.shape
    if size is not None and (height, width) != size:
        raise ImageSizeError(
            f"{path} is {width} x {height} pixels, its annotations say"
            f" {size[1]} x {size[0]} (width x height)"
        )
    return pixels


def upright(image: Image.Image, size: tuple[int, int] | None) -> Image.Image:
    """The image turned as its EXIF note says, unless ``size`` fits it unturned only."""
    if image.getexif().get(EXIF_ORIENTATION, 1) == 1:
        return image
    turned = ImageOps.exif_transpose(image)
    return image if size not in (None, turned.size[::-1]) else turned


def to_rgb(image: Image.Image) -> UInt[np.ndarray, "height width 3"]:
    """Three channels from any of Pillow's modes."""
    if image.mode == "F":
        raise ValueError("its pixels are floating-point; expected 8 or 16 bits")
    if image.mode.startswith("I"):
        grey = np.array(image)
        if grey.min() < 0 or grey.max() > 65535:
            raise ValueError("its pixels have over 16 bits; expected 8 or 16")
        return np.repeat(grey.astype(np.uint16)[:, :, None], 3, axis=2)
    if image.mode == "RGB":
        return np.array(image)
    # By way of RGBA, because a palette may hold a colour for each transparency.
    return np.array(image.convert("RGBA"))[:, :, :3].copy()
