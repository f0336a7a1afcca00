"""torchvision's names for our tensors: one table for reading and for writing.

Its files come in two layouts of names, that of 2019 (``rpn.head.conv.weight``) and that
since torchvision 0.13 (``rpn.head.conv.0.0.weight``); either is read, tensor by tensor,
and today's is written. A layer with a norm behind it is ``NAME.0`` and ``NAME.1`` in
both systems; one without is ``NAME.0`` there and ``NAME`` here.
"""

from __future__ import annotations

import re
from functools import partial

import torch
from torch import Tensor

from maskrcnn_scratch.models import ModelConfig
from maskrcnn_scratch.weights.fit import Rule, choose
from maskrcnn_scratch.weights.transforms import drop_rows

BACKGROUND_ROWS = {
    ("box_head.deltas", "roi_heads.box_predictor.bbox_pred"): 4,
    (
        "mask_head.net.mask_logits",
        "roi_heads.mask_predictor.mask_fcn_logits",
    ): 1,
}
"""Our layer, theirs, and its outputs for the background, which come first there.

Nobody reads them; we have none.
"""


def rules(config: ModelConfig) -> list[Rule]:
    """What each tensor of a model with this config is called; of two, the last today.

    Which number its first fully connected layer has depends on the convolutions before.
    """
    return [
        Rule(r"backbone\.(.+)", (r"backbone.body.\1",)),
        *fpn_rules(),
        Rule(r"rpn\.convs\.0\.(\w+)", (r"rpn.head.conv.\1",)),
        Rule(r"rpn\.convs\.(\d)\.(\w+)", (r"rpn.head.conv.\1.0.\2",)),
        Rule(r"rpn\.objectness\.(\w+)", (r"rpn.head.cls_logits.\1",)),
        Rule(r"rpn\.deltas\.(\w+)", (r"rpn.head.bbox_pred.\1",)),
        *box_head_rules(config),
        *mask_head_rules(),
        *keypoint_head_rules(config),
        *(
            Rule(
                rf"{re.escape(ours)}\.(\w+)",
                (rf"{theirs}.\1",),
                partial(drop_rows, count=count),
            )
            for (ours, theirs), count in BACKGROUND_ROWS.items()
        ),
    ]


def fpn_rules() -> list[Rule]:
    """Lateral 1x1 and output 3x3 convolutions."""
    made = []
    for ours, theirs in (("lateral", "inner_blocks"), ("output", "layer_blocks")):
        name = rf"fpn\.{ours}\.(\d)"
        made += [
            Rule(rf"{name}\.(\w+)", (rf"backbone.fpn.{theirs}.\1.\2",)),
            Rule(rf"{name}\.(\w+)", (rf"backbone.fpn.{theirs}.\1.0.\2",)),
            Rule(rf"{name}\.([01])\.(\w+)", (rf"backbone.fpn.{theirs}.\1.\2.\3",)),
        ]
    return made


def box_head_rules(config: ModelConfig) -> list[Rule]:
    """fc6 and fc7; or, in a list of layers: convolutions, flattening, linear, ReLU."""
    convs, theirs = config.box_head_convs, "roi_heads.box_head"
    numbers = [
        f"{convs + 1 + 2 * n}" if convs else f"fc{6 + n}"
        for n in range(config.box_head_fcs)
    ]
    return [
        Rule(r"box_head\.body\.convs\.(\d)\.(\w+)", (rf"{theirs}.\1.0.\2",)),
        Rule(r"box_head\.body\.convs\.(\d)\.([01])\.(\w+)", (rf"{theirs}.\1.\2.\3",)),
        *(
            Rule(rf"box_head\.body\.fcs\.{n}\.(\w+)", (rf"{theirs}.{number}.\1",))
            for n, number in enumerate(numbers)
        ),
        Rule(
            r"box_head\.class_logits\.(\w+)",
            (r"roi_heads.box_predictor.cls_score.\1",),
        ),
    ]


def mask_head_rules() -> list[Rule]:
    """Convolutions numbered from 1 in 2019, from 0 today."""
    ours, theirs = r"mask_head\.net", "roi_heads.mask_head"
    return [
        *(
            Rule(rf"{ours}\.convs\.{n}\.(\w+)", (rf"{theirs}.mask_fcn{n + 1}.\1",))
            for n in range(4)
        ),
        Rule(rf"{ours}\.convs\.(\d)\.(\w+)", (rf"{theirs}.\1.0.\2",)),
        Rule(rf"{ours}\.convs\.(\d)\.([01])\.(\w+)", (rf"{theirs}.\1.\2.\3",)),
        Rule(rf"{ours}\.deconv\.(\w+)", (r"roi_heads.mask_predictor.conv5_mask.\1",)),
    ]


def keypoint_head_rules(config: ModelConfig) -> list[Rule]:
    """Every second number is a ReLU's."""
    return [
        *(
            Rule(
                rf"keypoint_head\.convs\.{n}\.(\w+)",
                (rf"roi_heads.keypoint_head.{2 * n}.\1",),
            )
            for n in range(config.keypoint_head_convs)
        ),
        Rule(
            r"keypoint_head\.deconv\.(\w+)",
            (r"roi_heads.keypoint_predictor.kps_score_lowres.\1",),
        ),
    ]


def to_torchvision(state: dict[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """Our state dict as torchvision's model reads it, the background's rows zeros.

    Raises ValueError for a tensor that torchvision's models do not have.
    """
    table = rules(config)
    rows = {ours: count for (ours, _), count in BACKGROUND_ROWS.items()}
    renamed = {}
    for name, tensor in state.items():
        try:
            _, (theirs,) = choose(table, name, {})
        except KeyError:
            raise ValueError(f"torchvision's model has nothing like {name}") from None
        count = rows.get(name.rpartition(".")[0], 0)
        unused = tensor.new_zeros(count, *tensor.shape[1:])
        renamed[theirs] = torch.cat([unused, tensor]) if count else tensor
    return renamed
