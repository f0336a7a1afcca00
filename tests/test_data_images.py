"""Image files to RGB.

Faults tried -> the test that caught them:
- 16-bit divided by 255, or converted to 8 bits by Pillow -> test_16_bit_keeps_its_range
- alpha composited over black -> test_alpha_is_dropped
- palette indices taken for grey -> test_palette_colors_are_looked_up
- EXIF note always followed, or never -> test_exif_is_followed_unless_the_size_forbids
- channels reversed -> test_modes_that_hold_red
- SyntaxError, which Pillow raises for some PNG files, let through
  -> test_damaged_files_are_named
- height and width exchanged in the size check -> test_another_size_names_both
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from maskrcnn_scratch.data import read_image
from maskrcnn_scratch.data.images import EXIF_ORIENTATION, read_pixels

RED = (255, 0, 0)


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("RGB", "png"), ("RGBA", "png"), ("P", "png"), ("P", "gif"), ("CMYK", "tif")],
)
def test_modes_that_hold_red(tmp_path: Path, mode: str, suffix: str) -> None:
    path = tmp_path / f"red.{suffix}"
    Image.new("RGB", (5, 3), RED).convert(mode).save(path)
    image = read_image(path)
    assert image.shape == (3, 3, 5)
    assert image.dtype == torch.float32
    assert torch.equal(image[0], torch.ones(3, 5))
    assert torch.equal(image[1:], torch.zeros(2, 3, 5))


@pytest.mark.parametrize(("mode", "value"), [("L", 51), ("LA", (51, 9)), ("1", 1)])
def test_grey_is_repeated(tmp_path: Path, mode: str, value: object) -> None:
    path = tmp_path / "grey.png"
    Image.new(mode, (4, 2), value).save(path)  # type: ignore[arg-type]
    expected = 1.0 if mode == "1" else 0.2
    assert torch.allclose(read_image(path), torch.full((3, 2, 4), expected))


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_16_bit_keeps_its_range(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"deep.{suffix}"
    values = np.array([[0, 1, 256, 65535]], np.uint16)
    Image.fromarray(values).save(path)
    assert read_pixels(path).dtype == np.uint16
    expected = torch.tensor(values / 65535, dtype=torch.float32).expand(3, 1, 4)
    assert torch.allclose(read_image(path), expected)


def test_alpha_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "clear.png"
    Image.new("RGBA", (2, 2), (*RED, 0)).save(path)
    assert read_image(path)[0].min() == 1


def test_palette_colors_are_looked_up(tmp_path: Path) -> None:
    path = tmp_path / "palette.png"
    image = Image.new("P", (3, 2), 1)
    image.putpalette([0, 0, 0, 0, 0, 255])
    image.save(path, transparency=bytes([255, 128]))
    assert read_pixels(path)[0, 0].tolist() == [0, 0, 255]


def rotated_photo(path: Path, orientation: int = 6) -> np.ndarray:
    """Stored 6 wide and 4 high, bright at the left, with a note to turn it."""
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[:, :2] = 255
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    Image.fromarray(pixels).save(path, exif=exif)
    return pixels


@pytest.mark.parametrize(
    ("size", "turned"), [(None, True), ((6, 4), True), ((4, 6), False)]
)
def test_exif_is_followed_unless_the_size_forbids(
    tmp_path: Path, size: tuple[int, int] | None, turned: bool
) -> None:
    path = tmp_path / "photo.png"
    stored = rotated_photo(path)
    expected = np.rot90(stored, -1) if turned else stored  # 6: a quarter clockwise
    assert np.array_equal(read_pixels(path, size), expected)


def test_half_a_turn_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    stored = rotated_photo(path, orientation=3)
    assert np.array_equal(read_pixels(path, (4, 6)), stored[::-1, ::-1])


def test_another_size_names_both(tmp_path: Path) -> None:
    path = tmp_path / "small.png"
    Image.new("L", (5, 3)).save(path)
    with pytest.raises(ValueError, match=r"small.png is 5 x 3 .* say 3 x 5"):
        read_image(path, (5, 3))


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
@pytest.mark.parametrize("kept", [0, 10, 0.5])
@pytest.mark.filterwarnings("ignore:.*EXIF")  # Pillow's, of what it takes for TIFF tags
def test_truncated_files_are_named(tmp_path: Path, suffix: str, kept: float) -> None:
    path = tmp_path / f"cut.{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole)) if kept == 0.5 else int(kept)])
    with pytest.raises(ValueError, match=rf"cannot read the image .*cut\.{suffix}"):
        read_image(path)


@pytest.mark.filterwarnings("ignore")  # Pillow's, of EXIF data and sizes
def test_damaged_files_are_named(tmp_path: Path) -> None:
    """Whatever bytes a PNG file holds, it is read or refused by name."""
    rng = np.random.default_rng(0)
    path = tmp_path / "damaged.png"
    Image.fromarray(rng.integers(0, 256, (20, 20, 3), np.uint8)).save(path)
    whole = bytearray(path.read_bytes())
    refused = 0
    for _ in range(500):
        damaged = bytearray(whole)
        for place in rng.integers(0, min(len(whole), 200), 3):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        message = refusal(path)
        assert not message or "damaged.png" in message
        refused += bool(message)
    assert refused > 400


def refusal(path: Path) -> str:
    """What is said of a file that cannot be read, empty for one that can."""
    try:
        read_image(path)
    except ValueError as error:
        return str(error)
    return ""


def test_what_is_no_image_is_named(tmp_path: Path) -> None:
    path = tmp_path / "text.png"
    path.write_text("not an image")
    with pytest.raises(ValueError, match=r"text\.png"):
        read_image(path)
    with pytest.raises(FileNotFoundError, match=r"nothing\.png"):
        read_image(tmp_path / "nothing.png")


def test_floating_point_pixels_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "float.tif"
    Image.fromarray(np.ones((2, 2), np.float32)).save(path)
    with pytest.raises(ValueError, match="floating-point; expected 8 or 16 bits"):
        read_image(path)


def test_more_than_16_bits_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "long.tif"
    Image.fromarray(np.full((2, 2), 1 << 20, np.int32)).save(path)
    with pytest.raises(ValueError, match="over 16 bits"):
        read_image(path)
