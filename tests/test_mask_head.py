"""What the mask head has to learn, against RoIAlign as the reference has it.

Faults tried: half a pixel the other way, no smallest size, always aligned; each is
caught by the one law here.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskrcnn_scratch.models import ModelConfig
from maskrcnn_scratch.models.mask_head import MaskHead
from maskrcnn_scratch.models.sampling import SampledRoIs
from maskrcnn_scratch.reference.roi_align import roi_align
from maskrcnn_scratch.structures import Target

HEIGHT, WIDTH, SIZE = 9, 11, 4

places = st.integers(-2, 4 * WIDTH + 2).map(lambda quarter: quarter / 4)
sides = st.integers(1, 4 * WIDTH).map(lambda quarter: quarter / 4)


@pytest.mark.parametrize("aligned", [True, False])
@given(box=st.tuples(places, places, sides, sides), seed=st.integers(0, 9))
def test_masks_are_read_by_the_features_half_pixel_rule(
    aligned: bool, box: tuple[float, float, float, float], seed: int
) -> None:
    """Also of boxes narrower than a pixel, which only ``aligned`` takes as they are."""
    x, y, width, height = box
    corners = (x, y, x + width, y + height)
    masks = np.random.default_rng(seed).integers(0, 2, (1, HEIGHT, WIDTH), np.uint8)
    config = ModelConfig(roi_aligned=aligned, mask_target="soft", num_classes=1)
    boxes = torch.tensor([corners])
    one = torch.ones(1, dtype=torch.int64)
    target = Target(0, boxes, one, torch.from_numpy(masks), one == 0)
    sampled = SampledRoIs(boxes, one, one - 1, boxes, one == 1)
    with torch.device("meta"):
        head = MaskHead(config, 4)
    found = head.goals(sampled, target, torch.zeros(1, 1, SIZE, SIZE))
    expected = roi_align(
        masks[:, None].astype(np.float64),
        np.array([[0, *corners]]),
        (SIZE, SIZE),
        1.0,
        sampling_ratio=0,
        aligned=aligned,
    )
    np.testing.assert_allclose(found, expected[:, 0], atol=1e-5)
