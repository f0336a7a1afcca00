"""Every convention of a Mask R-CNN in one place.

Published systems agree on the architecture and differ in dozens of small numbers:
whether anchors are rounded, what counts as a positive, where the half pixel goes. Here
each is one named field of one frozen dataclass. The defaults are the paper's (He et al.
2017, with Lin et al. 2017 for FPN); what the paper leaves open follows its authors'
code, Detectron.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Depth = Literal[18, 34, 50, 101]
Norm = Literal["frozen_bn", "bn", "gn"]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The architecture and all numerical conventions of one model."""

    num_classes: int = 80
    """K, without the background."""

    # Images
    pixel_mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    """Subtracted from RGB in 0..1."""
    pixel_std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    size_divisor: int = 32
    """Batches are zero-padded (after normalising) to a multiple of this."""

    # Backbone
    depth: Depth = 50
    """ResNet-18, 34, 50 or 101."""
    stem_width: int = 64
    """Channels of the stem; the stages have 1, 2, 4, 8 times as many (x4 where the
    blocks are bottlenecks). 64 in every published ResNet, less for small machines."""
    groups: int = 1
    """Groups of the 3x3 convolutions in bottlenecks: 1 for ResNet, 32 for ResNeXt."""
    width_per_group: int = 64
    """64 for ResNet, 4 for ResNeXt 32x4d."""
    stride_in_1x1: bool = True
    """Stride 2 on a bottleneck's first 1x1 (He et al. 2016) or on its 3x3."""
    norm: Norm = "frozen_bn"
    norm_eps: float = 1e-5
    frozen_stages: int = 2
    """Parts of the backbone not trained: 0 none, 1 the stem, 2 and res2, ..."""

    # FPN
    fpn_channels: int = 256

    # Anchors: one size a level, P2 to P6
    anchor_sizes: tuple[float, float, float, float, float] = (32, 64, 128, 256, 512)
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    """Height over width."""
    anchors_rounded: bool = False

    # RPN
    rpn_width: int | None = None
    """Channels of its 3x3 convolution; none: as many as the pyramid's."""
    rpn_positive_iou: float = 0.7
    """An anchor with at least this IoU is positive, as is the best for each object."""
    rpn_negative_iou: float = 0.3
    """An anchor below this is negative; those between are left out."""
    rpn_samples: int = 256
    """Anchors an image in the loss."""
    rpn_positive_fraction: float = 0.5
    rpn_box_weights: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    rpn_box_beta: float = 1 / 9
    """Where smooth-L1 turns linear; 0 is L1."""
    rpn_pre_nms_train: int = 2000
    """Best-scored anchors a level that enter NMS."""
    rpn_pre_nms_test: int = 1000
    rpn_nms_iou: float = 0.7
    rpn_post_nms_train: int = 2000
    """Proposals an image after NMS."""
    rpn_post_nms_test: int = 1000
    rpn_min_size: float = 0.0
    """Proposals narrower or lower than this many pixels are dropped."""

    # RoIs
    level_k0: int = 4
    """The level of an RoI of ``level_canonical`` x ``level_canonical`` pixels."""
    level_canonical: float = 224.0
    level_rounding: Literal["floor", "round"] = "floor"
    roi_aligned: bool = True
    """RoIAlign's half-pixel rule: True puts the value of cell i at i + 0.5."""
    roi_sampling_ratio: int = 2
    """Samples along each side of a bin; 0 adapts to the RoI's size."""
    roi_positive_iou: float = 0.5
    roi_samples: int = 512
    roi_positive_fraction: float = 0.25

    # Box head
    box_pool: int = 7
    box_head_width: int = 1024
    box_weights: tuple[float, float, float, float] = (10.0, 10.0, 5.0, 5.0)
    box_beta: float = 1.0

    # Mask head
    mask_pool: int = 14
    mask_head_width: int = 256
    mask_head_convs: int = 4
    mask_target: Literal["soft", "threshold"] = "threshold"
    """Targets as box-averaged fractions of a cell, or cut at one half."""

    # Detections
    score_threshold: float = 0.05
    nms_iou: float = 0.5
    max_detections: int = 100

    def __post_init__(self) -> None:
        """Refuse values that no model can have, by name."""
        for name in ("num_classes", "stem_width", "groups", "fpn_channels", "box_pool"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"{name} must be at least 1, not {getattr(self, name)}"
                )
        if self.groups > 1 and self.depth < 50:
            raise ValueError(
                f"ResNet-{self.depth} has no bottlenecks, so groups must be 1, "
                f"not {self.groups}: choose depth 50 or 101 for ResNeXt"
            )
        if self.rpn_negative_iou > self.rpn_positive_iou:
            raise ValueError(
                f"rpn_negative_iou {self.rpn_negative_iou} is above "
                f"rpn_positive_iou {self.rpn_positive_iou}"
            )

    @property
    def strides(self) -> tuple[int, int, int, int, int]:
        """Image pixels a cell, P2 to P6."""
        return (4, 8, 16, 32, 64)
