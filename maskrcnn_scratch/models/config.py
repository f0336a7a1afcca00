"""Every convention of a Mask R-CNN in one place.

Published systems agree on the architecture and differ in dozens of small numbers. Here
each is one named field of one frozen dataclass. The defaults are the paper's (He et al.
2017, with Lin et al. 2017 for FPN); what it leaves open follows its authors' Detectron.
``presets`` has the published systems, ``config_checks`` what cannot be combined.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from maskrcnn_scratch.models.config_checks import check_model

Depth = Literal[16, 18, 34, 50, 101]
Norm = Literal["frozen_bn", "bn", "gn"]
HeadNorm = Literal["none", "bn", "gn"]
Pixel = tuple[float, float, float]
BoxWeights = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The architecture and all numerical conventions of one model."""

    num_classes: int = 80
    """K, without the background."""

    # Images
    image_short: int = 800
    """The shorter side that images are scaled to, pixels."""
    image_long: int = 1333
    """Bound on the longer side."""
    image_square: bool = False
    """Pad to ``image_long`` x ``image_long``; then images are only scaled up to reach
    ``image_short`` and only down to respect ``image_long`` (matterport)."""
    resize_filter: Literal["antialias", "bilinear"] = "antialias"
    """Average where an image shrinks, or read four pixels whatever the scale."""
    resize_rounding: Literal["nearest", "down"] = "nearest"
    """Of the scaled sides, to whole pixels."""
    pixel_mean: Pixel = (0.485, 0.456, 0.406)
    """Subtracted from RGB in 0..1."""
    pixel_std: Pixel = (0.229, 0.224, 0.225)
    """What each colour is divided by after that."""
    size_divisor: int = 32
    """Batches are padded to a multiple of this."""
    pad_before_mean: bool = False
    """Pad with black, which the mean makes negative; else zeros after normalising."""

    # Backbone
    backbone: Literal["resnet", "vgg"] = "resnet"
    """The network that reads the image."""
    depth: Depth = 50
    """ResNet-18, 34, 50 or 101; VGG-16."""
    stem_width: int = 64
    """Channels of the first stage; the others have 1, 2, 4, 8 times as many (x4 where
    the blocks are bottlenecks). 64 in every published one, less for small machines."""
    groups: int = 1
    """Groups of the 3x3 convolutions in bottlenecks: 1 for ResNet, 32 for ResNeXt."""
    width_per_group: int = 64
    """64 for ResNet, 4 for ResNeXt 32x4d."""
    stride_in_1x1: bool = True
    """Stride 2 on a bottleneck's first 1x1 (He et al. 2016) or on its 3x3."""
    stem_pool: Literal["centred", "end"] = "centred"
    """The stem's max-pool has a padding cell at both ends, or at the end (Keras)."""
    norm: Norm = "frozen_bn"
    """Of the backbone: batch norm fixed or trained, or group norm."""
    norm_eps: float = 1e-5
    """What batch norm adds to the variance."""
    frozen_stages: int = 2
    """Parts of the backbone not trained: 0 none, 1 the stem, 2 and res2, ..."""

    # Feature maps
    features: Literal["fpn", "c4", "c5"] = "fpn"
    """What RPN and heads read: the pyramid, or one map of stride 16 or 32."""
    fpn_channels: int = 256
    """Of every level of the pyramid."""
    fpn_norm: HeadNorm = "none"
    """After each of FPN's convolutions, which then have no bias."""

    # Anchors
    anchor_levels: tuple[int, ...] = (2, 3, 4, 5, 6)
    """The levels that have anchors; level n has stride 2^n. C4 has level 4 alone."""
    anchor_sizes: tuple[float, ...] = (32, 64, 128, 256, 512)
    """One for each level; on a single map all of them at every cell."""
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    """Height over width."""
    anchors_rounded: bool = False
    """Whether the anchors around a cell have whole numbers as corners."""
    anchor_stride: Literal["fixed", "measured"] = "fixed"
    """2^n, or image // map as torchvision measures it: P6 of 800 pixels has 61."""

    # RPN
    rpn: bool = True
    """False: proposals are given with the images, made by another model before."""
    rpn_convs: int = 1
    """3x3 convolutions before its two predictors."""
    rpn_width: int | None = None
    """Channels of its 3x3 convolutions; none: as many as the maps have."""
    rpn_objectness: Literal["sigmoid", "softmax"] = "sigmoid"
    """One logit an anchor, or two (background, object)."""
    rpn_positive_iou: float = 0.7
    """An anchor with at least this IoU is positive, as is the best for each object."""
    rpn_negative_iou: float = 0.3
    """An anchor below this is negative; those between are left out."""
    rpn_samples: int = 256
    """Anchors an image in the loss."""
    rpn_positive_fraction: float = 0.5
    """At most this part of the anchors is positive."""
    rpn_box_weights: BoxWeights = (1.0, 1.0, 1.0, 1.0)
    """What dx, dy, dw, dh are multiplied by as targets."""
    rpn_box_beta: float = 1 / 9
    """Where smooth-L1 turns linear; 0 is L1."""
    rpn_loss_average: Literal["sampled", "nominal", "positives"] = "sampled"
    """Both losses over the anchors drawn, or over ``rpn_samples`` an image (detectron2)
    even where fewer were drawn; or the box loss over the positives (matterport)."""
    rpn_levels_together: bool = False
    """The best before NMS, and NMS itself, over all levels at once (matterport)."""
    rpn_pre_nms_train: int = 2000
    """Best-scored anchors a level that enter NMS."""
    rpn_pre_nms_test: int = 1000
    """Best-scored anchors a level that enter NMS in evaluation."""
    rpn_nms_iou: float = 0.7
    """A proposal goes if it overlaps a better one by more."""
    rpn_post_nms_train: int = 2000
    """Proposals an image after NMS."""
    rpn_post_nms_test: int = 1000
    """Proposals an image after NMS in evaluation."""
    rpn_min_size: float = 0.0
    """Proposals narrower or lower than this many pixels are dropped."""

    # RoIs
    level_k0: int = 4
    """The level of an RoI of ``level_canonical`` x ``level_canonical`` pixels."""
    level_canonical: float = 224.0
    """Of an ImageNet image (Lin et al. 2017, equation 1)."""
    level_rounding: Literal["floor", "round"] = "floor"
    """Of the level that the rule computes."""
    roi_layer: Literal["align", "pool", "warp", "corners"] = "align"
    """RoIAlign, RoIPool, RoIWarp; or one sample a bin on a grid whose first and last
    points are the RoI's corners (TensorFlow's crop_and_resize)."""
    roi_reduce: Literal["mean", "max"] = "mean"
    """What RoIAlign and RoIWarp make of a bin's samples; RoIPool takes the max."""
    roi_rounding: Literal["round", "floor"] = "round"
    """Of RoIPool: Fast R-CNN's rule, or whole cells as most walk-throughs have it."""
    roi_aligned: bool = True
    """RoIAlign's half-pixel rule: True puts the value of cell i at i + 0.5. Mask
    targets follow it too."""
    roi_sampling_ratio: int = 2
    """Samples along each side of a bin; 0 adapts to the RoI's size."""
    roi_positive_iou: float = 0.5
    """An RoI with at least this IoU is an object, below it background."""
    roi_samples: int = 512
    """RoIs an image in the losses."""
    roi_positive_fraction: float = 0.25
    """At most this part of the RoIs is positive."""
    roi_append_truth: bool = True
    """The objects' own boxes join the proposals in training."""

    # Box head
    box_head: Literal["fc", "res5", "none"] = "fc"
    """Fully connected layers; a C4 backbone's last stage; or none: RPN alone."""
    res5_stride: Literal[1, 2] = 2
    """Of res5 as a head: 14 x 14 RoIs to 7 x 7, or 7 x 7 ones kept (figure 4)."""
    box_pool: int = 7
    """Cells a side of its RoI features."""
    box_head_convs: int = 0
    """3x3 convolutions before the fully connected layers."""
    box_head_conv_width: int = 256
    """Channels of the 3x3 convolutions."""
    box_head_fcs: int = 2
    """Hidden fully connected layers."""
    box_head_width: int = 1024
    """Width of the fully connected layers."""
    head_norm: HeadNorm = "none"
    """After the 3x3 convolutions of box and mask head, which then have no bias."""
    box_weights: BoxWeights = (10.0, 10.0, 5.0, 5.0)
    """What dx, dy, dw, dh are multiplied by as targets."""
    box_beta: float = 1.0
    """Where smooth-L1 turns linear; 0 is L1."""
    box_loss_average: Literal["sampled", "positives"] = "sampled"
    """The sum over positives is divided by the RoIs drawn, or by 4 a positive."""

    # Mask head
    mask_head: Literal["fcn", "mlp", "none"] = "fcn"
    """Fully convolutional, or the fully connected rival of Table 2e."""
    mask_pool: int = 14
    """Cells a side of its RoI features; masks have ``mask_size``, mostly twice."""
    mask_head_convs: int = 4
    """3x3 convolutions before the deconvolution."""
    mask_head_width: int = 256
    """Channels of the convolutions and the deconvolution."""
    mask_head_fcs: int = 2
    """Hidden layers of the MLP."""
    mask_head_fc_width: int = 1024
    """Width of the MLP's hidden layers."""
    mask_loss: Literal["sigmoid", "softmax"] = "sigmoid"
    """A sigmoid for each class's own map, or classes that compete for each pixel."""
    mask_class_agnostic: bool = False
    """One map for all classes."""
    mask_target: Literal["soft", "threshold"] = "threshold"
    """Targets as box-averaged fractions of a cell, or cut at one half."""
    mask_paste: Literal["centres", "integer"] = "centres"
    """Read at pixel centres (detectron2), or resized to a box of whole pixels
    (torchvision)."""

    # Keypoint head
    keypoints: int = 0
    """Points an object has: 17 for COCO's people; 0 is no keypoint head."""
    keypoint_pool: int = 14
    """Cells a side of its RoI features; heatmaps have four times as many."""
    keypoint_head_convs: int = 8
    """3x3 convolutions before the deconvolution."""
    keypoint_head_width: int = 512
    """Channels of the 3x3 convolutions."""
    keypoint_readout: Literal["bin", "resized"] = "resized"
    """The best bin's centre, or the best pixel of the map resized to the box."""

    # Detections
    score_threshold: float = 0.05
    """Detections must be surer than this."""
    nms_iou: float = 0.5
    """A detection goes if it overlaps a better one of its class by more."""
    max_detections: int = 100
    """The best of an image."""
    detection_min_size: float = 0.0
    """Detections narrower or lower than this many pixels are dropped."""
    one_class_per_roi: bool = False
    """Only the likeliest class of an RoI can be detected (matterport)."""

    def __post_init__(self) -> None:
        """Refuse what no model can have or combine, by name."""
        check_model(self)

    @property
    def levels(self) -> tuple[int, ...]:
        """The maps that heads read: 2 to 5 of a pyramid, or 4, or 5."""
        return {"fpn": (2, 3, 4, 5), "c4": (4,), "c5": (5,)}[self.features]

    @property
    def mask_size(self) -> int:
        """Cells a side of a predicted mask."""
        stride = self.res5_stride if self.box_head == "res5" else 1
        return 2 * (self.mask_pool // stride)

    @property
    def strides(self) -> tuple[int, ...]:
        """Image pixels a cell, of the levels that have anchors."""
        return tuple(2**level for level in self.anchor_levels)

    @property
    def keypoint_size(self) -> int:
        """Cells a side of a keypoint's heatmap."""
        return 4 * self.keypoint_pool
