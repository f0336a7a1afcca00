"""What a model's RPN proposes: a file that another model learns from, and its recall.

The paper's ablations of box and mask head share one set of proposals, so that rows
differ in the head alone; and Faster R-CNN can be trained in two steps, an RPN first.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float
from rich.console import Console
from rich.progress import track
from torch import Tensor

from maskrcnn_scratch.data import CocoDataset
from maskrcnn_scratch.data.proposals import write_proposals
from maskrcnn_scratch.data.resize import resize_image
from maskrcnn_scratch.evaluation import average_recall
from maskrcnn_scratch.inference.predict import Predictor, scale_boxes
from maskrcnn_scratch.inference.settings import resize_rule
from maskrcnn_scratch.models.mask_rcnn import MaskRCNN, image_sizes


def write_run_proposals(
    run: str | Path,
    data_dir: str | Path,
    out: str | Path,
    split: str = "train",
    most: int | None = None,
    console: Console | None = None,
) -> dict[str, float]:
    """Write the proposals of a run, or a model.safetensors, and return their recall.

    At most ``most`` an image; if that is None, as many as the model would evaluate.
    Raises FileNotFoundError, or ValueError for a model without RPN.
    """
    model = Predictor.load(run).model
    if model.rpn is not None and most is not None:
        config = model.rpn.config
        model.rpn.config = replace(
            config,
            rpn_pre_nms_test=max(most, config.rpn_pre_nms_test),
            rpn_post_nms_test=most,
        )
    keypoints = model.config.keypoints > 0
    dataset = CocoDataset(data_dir, split, masks=False, keypoints=keypoints)
    console = console or Console()
    found = {}
    for index in track(
        range(len(dataset)),
        "proposing",
        console=console,
        disable=not console.is_terminal,
    ):
        image, target = dataset[index]
        found[target.image_id] = propose(model, image)
    boxes = {image_id: its_boxes for image_id, (its_boxes, _) in found.items()}
    recall = average_recall(dataset.annotation_file, boxes)
    write_proposals(out, str(run), found)
    return recall


@torch.no_grad()
def propose(
    model: MaskRCNN, image: Float[Tensor, "3 height width"]
) -> tuple[Float[Tensor, "p 4"], Float[Tensor, " p"]]:
    """Boxes in the frame of ``image`` (RGB in 0..1), and logits, best first.

    Raises ValueError for a model without RPN.
    """
    if model.rpn is None:
        raise ValueError("the model has no RPN: it was trained on given proposals")
    size = (image.shape[1], image.shape[2])
    rule = resize_rule(model.config)
    seen = rule.size(size)
    device = model.pixel_mean.device
    images = [resize_image(image.to(device), seen, rule.filter)]
    maps = model.feature_maps(model.batch(images))
    (found,) = model.proposals(maps, image_sizes(images), None)
    boxes = scale_boxes(found.boxes[found.filled], seen, size)
    scores = found.scores[found.filled]
    large = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
    return boxes[large].cpu(), scores[large].cpu()
