"""From an image of any size to objects in the frame of that image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from maskrcnn_scratch.data.resize import resize_image
from maskrcnn_scratch.inference.settings import (
    PredictSettings,
    prediction_settings,
    resize_rule,
)
from maskrcnn_scratch.models import MaskRCNN
from maskrcnn_scratch.models.fold import fold_batch_norm
from maskrcnn_scratch.ops import clip_boxes, paste_masks
from maskrcnn_scratch.structures import Detections
from maskrcnn_scratch.weights.model_file import (
    build_model,
    find_model,
    read_model_file,
)


class Predictor:
    """A trained model with all that it takes to show it an image.

    Label l of what it finds is called ``class_names[l - 1]``.
    """

    def __init__(
        self,
        model: MaskRCNN,
        class_names: list[str],
        settings: PredictSettings | None = None,
    ) -> None:
        self.model = model
        self.model.eval()
        self.class_names = class_names
        self.settings = settings or PredictSettings()

    @classmethod
    def load(cls, run: str | Path) -> Predictor:
        """From a run's folder or a model.safetensors; on the GPU where there is one.

        Raises FileNotFoundError or ValueError where there is no such model.
        """
        file = read_model_file(find_model(run))
        settings = prediction_settings(file.config.get("evaluate", {}))
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        model = build_model(file).eval()
        fold_batch_norm(model)
        model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return cls(model, file.class_names, settings)

    @torch.no_grad()
    def __call__(
        self,
        image: Float[Tensor, "3 height width"],
        score_threshold: float = 0.0,
        proposals: Float[Tensor, "_p 4"] | None = None,
    ) -> Detections:
        """What is in the image (RGB in 0..1), best score first.

        Boxes, masks and keypoints are in the frame of ``image``; on the CPU. Objects
        below ``score_threshold`` are left out. A model without RPN needs ``proposals``,
        boxes in the frame of ``image``.
        """
        size = (image.shape[1], image.shape[2])
        rule = resize_rule(self.model.config)
        seen = rule.size(size)
        device = next(self.model.parameters()).device
        given = None
        if proposals is not None:
            given = [scale_boxes(proposals.to(device), size, seen)]
        found: Detections
        (found,) = self.model(
            [resize_image(image.to(device), seen, rule.filter)], proposals=given
        )
        found = found.select(found.scores >= score_threshold)
        boxes = scale_boxes(found.boxes, seen, size)
        points = found.keypoints
        if points is not None:
            points = points * points.new_tensor([*ratios(seen, size), 1.0])
        found = replace(found, boxes=boxes, keypoints=points)
        return replace(found, masks=self.paste(found, size)).to("cpu")

    def paste(
        self, found: Detections, size: tuple[int, int]
    ) -> Bool[Tensor, "detections height width"] | None:
        """The masks of boxes in an image of ``size``; None where there are no maps."""
        if found.mask_probabilities is None:
            return None
        return paste_masks(
            found.mask_probabilities,
            found.boxes,
            size,
            self.settings.mask_threshold,
            self.model.config.mask_paste,
        )


def ratios(old: tuple[int, int], new: tuple[int, int]) -> tuple[float, float]:
    """By how much x and y grow from (height, width) ``old`` to ``new``.

    Sizes are whole pixels, so the two differ a little.
    """
    return new[1] / old[1], new[0] / old[0]


def scale_boxes(
    boxes: Float[Tensor, "n 4"], old: tuple[int, int], new: tuple[int, int]
) -> Float[Tensor, "n 4"]:
    """From an image of size ``old`` (height, width) to one of size ``new``, cut to it.

    Each axis by its own ratio.
    """
    return clip_boxes(boxes * boxes.new_tensor(ratios(old, new) * 2), new)
