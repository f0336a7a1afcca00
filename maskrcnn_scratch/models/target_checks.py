"""What training demands of its targets; a fault is refused with its image's number.

Faults of this kind raise no error by themselves: a mask of another size is read at
other places, a box without area matches nothing, and the model learns nonsense.
"""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from maskrcnn_scratch.models.config import ModelConfig
from maskrcnn_scratch.ops.checks import values_can_be_checked
from maskrcnn_scratch.structures import Target


def checked_targets(
    images: Sequence[Float[Tensor, "3 _h _w"]],
    targets: Sequence[Target] | None,
    config: ModelConfig,
) -> list[Target]:
    """The targets, one an image, if the model can learn from them.

    Values are looked at on the CPU only. Raises ValueError for the first fault.
    """
    if targets is None or len(targets) != len(images):
        raise ValueError(
            f"training needs a target for each of the {len(images)} images, "
            f"got {'none' if targets is None else len(targets)}"
        )
    for image, target in zip(images, targets, strict=True):
        size = (image.shape[1], image.shape[2])
        if len(target):
            check_masks(target, size, config)
        if len(target) and values_can_be_checked(target.boxes):
            check_boxes(target, size)
            check_labels(target, config.num_classes)
    return list(targets)


def check_masks(target: Target, size: tuple[int, int], config: ModelConfig) -> None:
    """One for each object, as large as the image, where masks are learnt."""
    if config.mask_head == "none" or config.box_head == "none":
        return
    expected = [len(target), *size]
    found = None if target.masks is None else list(target.masks.shape)
    if found != expected:
        raise ValueError(
            f"the masks of image {target.image_id} are {found or 'missing'}; expected"
            f" {expected}: one for each object, as high and wide as the image"
        )


def check_boxes(target: Target, size: tuple[int, int]) -> None:
    """With an area, and not all outside the image."""
    low, high = target.boxes[:, :2], target.boxes[:, 2:]
    refuse(
        target,
        ~(low < high).all(dim=1),
        "has no area; expected corners x1 < x2 and y1 < y2, not width and height",
    )
    border = target.boxes.new_tensor([size[1], size[0]])
    refuse(
        target,
        ((high <= 0) | (low >= border)).any(dim=1),
        f"lies outside its {size[1]} x {size[0]} pixels (width x height)",
    )


def refuse(target: Target, wrong: Tensor, what: str) -> None:
    """Raise for the first box that is wrong."""
    if bool(wrong.any()):
        box = target.boxes[wrong][0].tolist()
        raise ValueError(f"the box {box} of image {target.image_id} {what}")


def check_labels(target: Target, num_classes: int) -> None:
    """From 1 to K: 0 is the background, which no object is."""
    wrong = (target.labels < 1) | (target.labels > num_classes)
    if bool(wrong.any()):
        raise ValueError(
            f"the label {int(target.labels[wrong][0])} of image {target.image_id} is"
            f" not in 1..{num_classes}; 0 is the background, which needs no objects"
        )
