"""detectron2's names for our tensors.

A layer's norm is ``NAME.norm`` there; with a norm behind it a layer of ours is
``NAME.0`` and ``NAME.1``.
"""

from __future__ import annotations

from maskrcnn_scratch.models import ModelConfig
from maskrcnn_scratch.weights.fit import Rule
from maskrcnn_scratch.weights.transforms import background_first, no_count

STEM = "stem.conv1"


def body(config: ModelConfig) -> str:
    """How the backbone's names begin: below the pyramid's, or alone."""
    return "backbone.bottom_up." if config.features == "fpn" else "backbone."


def rules(config: ModelConfig) -> list[Rule]:
    """What each tensor of a model with this config is called.

    All but the first convolution, which has to be turned as well.
    """
    prefix = body(config)
    head = "roi_heads.box_head"
    return [
        Rule(r"backbone\.bn1\.(\w+)", (rf"{prefix}{STEM}.norm.\1",)),
        *(
            rule
            for stage in (2, 3, 4, 5)
            for rule in block_rules(
                rf"backbone\.layer{stage - 1}", f"{prefix}res{stage}"
            )
        ),
        *block_rules(r"box_head\.body\.blocks", "roi_heads.res5"),
        *(
            rule
            for part in ("lateral", "output")
            for level in (2, 3, 4, 5)
            for rule in layer_rules(
                rf"fpn\.{part}\.{level - 2}", f"backbone.fpn_{part}{level}"
            )
        ),
        *rpn_rules(config),
        *numbered_rules(
            r"box_head\.body\.convs", f"{head}.conv", config.box_head_convs
        ),
        *numbered_rules(r"box_head\.body\.fcs", f"{head}.fc", config.box_head_fcs),
        Rule(
            r"box_head\.class_logits\.(\w+)",
            (r"roi_heads.box_predictor.cls_score.\1",),
            background_first,
        ),
        Rule(r"box_head\.deltas\.(\w+)", (r"roi_heads.box_predictor.bbox_pred.\1",)),
        *numbered_rules(
            r"mask_head\.net\.convs",
            "roi_heads.mask_head.mask_fcn",
            config.mask_head_convs,
        ),
        Rule(r"mask_head\.net\.deconv\.(\w+)", (r"roi_heads.mask_head.deconv.\1",)),
        Rule(
            r"mask_head\.net\.mask_logits\.(\w+)",
            (r"roi_heads.mask_head.predictor.\1",),
        ),
        *numbered_rules(
            r"keypoint_head\.convs",
            "roi_heads.keypoint_head.conv_fcn",
            config.keypoint_head_convs,
        ),
        Rule(
            r"keypoint_head\.deconv\.(\w+)",
            (r"roi_heads.keypoint_head.score_lowres.\1",),
        ),
    ]


def block_rules(ours: str, theirs: str) -> list[Rule]:
    """The blocks of a stage; the shortcut's convolution has a norm as the others."""
    parts = [
        *((f"conv{n}", f"conv{n}") for n in (1, 2, 3)),
        *((f"bn{n}", f"conv{n}.norm") for n in (1, 2, 3)),
        (r"downsample\.0", "shortcut"),
        (r"downsample\.1", "shortcut.norm"),
    ]
    return [
        Rule(rf"{ours}\.(\d+)\.{own}\.(\w+)", (rf"{theirs}.\1.{other}.\2",))
        for own, other in parts
    ]


def layer_rules(ours: str, theirs: str) -> list[Rule]:
    """A layer, alone or with a norm behind it, which need not have counted batches."""
    return [
        Rule(rf"{ours}\.(\w+)", (rf"{theirs}.\1",)),
        Rule(rf"{ours}\.0\.(\w+)", (rf"{theirs}.\1",)),
        Rule(rf"{ours}\.1\.(\w+)", (rf"{theirs}.norm.\1",)),
        Rule(
            rf"{ours}\.1\.num_batches_tracked",
            (rf"{theirs}.norm.running_mean",),
            no_count,
        ),
    ]


def numbered_rules(ours: str, theirs: str, count: int) -> list[Rule]:
    """Layers that are numbered from 0 here and from 1 there."""
    return [
        rule
        for n in range(count)
        for rule in layer_rules(rf"{ours}\.{n}", f"{theirs}{n + 1}")
    ]


def rpn_rules(config: ModelConfig) -> list[Rule]:
    """A single convolution is ``conv``; several are ``conv.conv0``, ..."""
    head = "proposal_generator.rpn_head"
    conv = rf"{head}.conv.\2" if config.rpn_convs == 1 else rf"{head}.conv.conv\1.\2"
    return [
        Rule(r"rpn\.convs\.(\d)\.(\w+)", (conv,)),
        Rule(r"rpn\.objectness\.(\w+)", (rf"{head}.objectness_logits.\1",)),
        Rule(r"rpn\.deltas\.(\w+)", (rf"{head}.anchor_deltas.\1",)),
    ]
