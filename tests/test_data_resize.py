"""Sizes and pixels of scaled images, by each system's rule.

Faults tried -> the test that caught them:
- rounded down for nearest, longer side unbounded -> test_sizes_of_the_paper
- rounded to nearest for down, averaged for bilinear -> test_as_torchvision_does
- a square's images shrunk to the shorter side, or beyond the longer -> test_as_...
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from maskrcnn_scratch.data.resize import ResizeRule, resize_image

sides = st.integers(1, 2000)


@given(height=sides, width=sides, short=st.integers(1, 900), more=st.integers(0, 900))
def test_sizes_after_resizing(height: int, width: int, short: int, more: int) -> None:
    long = short + more
    new = ResizeRule(short=short, long=long).size((height, width))
    assert max(new) <= long
    assert min(new) <= short
    assert min(new) == short or max(new) == long
    scale = max(new) / max(height, width)
    for side, old in zip(new, (height, width), strict=True):
        assert (
            side == 1 or abs(side - scale * old) <= 0.5 + old / max(height, width) / 2
        )


def test_sizes_of_the_paper() -> None:
    rule = ResizeRule()
    assert rule.size((480, 640)) == (800, 1067)
    assert rule.size((640, 480)) == (1067, 800)
    assert rule.size((300, 900)) == (444, 1333)


@given(height=sides, width=sides, short=st.integers(1, 900), more=st.integers(0, 900))
def test_rounding_down_is_at_most_a_pixel_less(
    height: int, width: int, short: int, more: int
) -> None:
    bounds = {"short": short, "long": short + more}
    nearest = ResizeRule(**bounds).size((height, width))
    down = ResizeRule(**bounds, rounding="down").size((height, width))
    assert all(0 <= n - d <= 1 for n, d in zip(nearest, down, strict=True))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ((480, 640), (768, 1024)),  # enlarged until the longer side is full
        ((640, 640), (800, 800)),  # or the shorter is reached
        ((900, 1000), (900, 1000)),  # large enough, and it fits
        ((1600, 2048), (800, 1024)),  # too large
        ((100, 3000), (34, 1024)),
    ],
)
def test_a_square_holds_what_fits(old: tuple[int, int], new: tuple[int, int]) -> None:
    assert ResizeRule(short=800, long=1024, square=True).size(old) == new


@given(height=sides, width=sides, short=st.integers(1, 900), more=st.integers(0, 900))
def test_a_square_bounds_every_side(
    height: int, width: int, short: int, more: int
) -> None:
    """Matterport's utils.resize_image, read as four cases."""
    long = short + more
    new = ResizeRule(short=short, long=long, square=True).size((height, width))
    old = (height, width)
    assert max(new) <= long
    if max(old) > long:
        assert max(new) == long
    elif min(old) >= short:
        assert new == old
    else:
        assert min(new) == short or max(new) == long
        assert all(n >= o for n, o in zip(new, old, strict=True))


@pytest.mark.parametrize("sizes", [(0, 10), (10, 0), (-1, 5)])
def test_sizes_below_a_pixel_are_refused(sizes: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="expected 1 or more each"):
        ResizeRule(short=sizes[0], long=sizes[1])


@given(
    height=st.integers(8, 700),
    width=st.integers(8, 700),
    short=st.integers(8, 130),
    more=st.integers(0, 80),
)
@example(height=49, width=49, short=1, more=0)  # 49 * (1 / 49) is less than 1
@example(height=427, width=640, short=800, more=533)
def test_as_torchvision_does(height: int, width: int, short: int, more: int) -> None:
    """Sizes exactly, pixels to 1e-5, normalised."""
    transform = pytest.importorskip("torchvision.models.detection.transform")
    mean, std = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]
    theirs = transform.GeneralizedRCNNTransform(short, short + more, mean, std, 1)
    rule = ResizeRule(
        short=short, long=short + more, filter="bilinear", rounding="down"
    )
    scale = min(short / min(height, width), (short + more) / max(height, width))
    size = rule.size((height, width))
    if min(height, width) * scale < 1:
        assert min(size) == 1  # where torchvision asks for no pixels, and fails
        return
    image = torch.rand(3, height, width, generator=torch.Generator().manual_seed(0))
    batch, _ = theirs.eval()([image])
    assert batch.image_sizes == [size]
    ours = resize_image(image, size, rule.filter)
    ours = (ours - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    torch.testing.assert_close(ours, batch.tensors[0], rtol=0, atol=1e-5)
