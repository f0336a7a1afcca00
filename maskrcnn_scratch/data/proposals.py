"""Proposals that one model made, in a file that another is trained or run on.

The file is safetensors: ``boxes`` [total, 4] float32 (xyxy in pixels of the image as it
is stored, not scaled) and ``scores`` [total] float32, image after image and best first
within one; ``image_ids`` [images] int64; ``offsets`` [images + 1] int64, where each
image's boxes begin. The header names the model that made them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Float32, Int64
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from maskrcnn_scratch.files import replacing_file

Found = tuple[Float[Tensor, "_n 4"], Float[Tensor, " _n"]]  # boxes and scores

DTYPES = {"boxes": "F32", "scores": "F32", "image_ids": "I64", "offsets": "I64"}


@dataclass(frozen=True)
class ProposalFile:
    """An open file of proposals; the boxes stay on the disk until they are asked for.

    COCO's training images with 1000 each are 2.4 GB.
    """

    path: Path
    model: str
    image_ids: Int64[Tensor, " images"]
    offsets: Int64[Tensor, " ends"]

    def of(self, image_id: int, most: int) -> Float32[Tensor, "n 4"]:
        """The ``most`` best boxes of an image; raises KeyError for one not there."""
        place = int(torch.searchsorted(self.image_ids, image_id))
        if place == len(self.image_ids) or self.image_ids[place] != image_id:
            raise KeyError(f"{self.path} has no proposals for image {image_id}")
        first, end = self.offsets[place : place + 2].tolist()
        with safe_open(self.path, framework="pt") as file:
            boxes: Tensor = file.get_slice("boxes")[first : min(end, first + most)]
        return boxes

    def require(self, image_ids: Sequence[int]) -> None:
        """Raises ValueError unless each of these images is there, with boxes or not."""
        known = set(self.image_ids.tolist())
        missing = [image_id for image_id in image_ids if image_id not in known]
        if missing:
            raise ValueError(
                f"{self.path} has no proposals for {len(missing)} of"
                f" {len(image_ids)} images, the first is {missing[0]}; are they of"
                " another split?"
            )


def write_proposals(path: str | Path, model: str, found: Mapping[int, Found]) -> None:
    """Write boxes and scores by image id; ``model`` says what made them.

    Boxes are sorted by score. Raises ValueError for what is not finite, and for boxes
    without extent.
    """
    image_ids = sorted(found)
    boxes, scores = [torch.zeros(0, 4)], [torch.zeros(0)]
    for image_id in image_ids:
        its_boxes, its_scores = (
            part.detach().cpu().float() for part in found[image_id]
        )
        finite = its_boxes.isfinite().all() and its_scores.isfinite().all()
        if not finite or (its_boxes[:, 2:] <= its_boxes[:, :2]).any():
            raise ValueError(
                f"image {image_id} has proposals that are not finite or have no extent"
            )
        order = its_scores.argsort(descending=True, stable=True)
        boxes.append(its_boxes[order])
        scores.append(its_scores[order])
    counts = torch.tensor([0, *(len(part) for part in scores[1:])])
    tensors = {
        "boxes": torch.cat(boxes),
        "scores": torch.cat(scores),
        "image_ids": torch.tensor(image_ids, dtype=torch.int64),
        "offsets": counts.cumsum(0),
    }
    with replacing_file(path) as draft:
        save_file(tensors, draft, {"model": model})


def read_proposals(path: str | Path) -> ProposalFile:
    """Raises FileNotFoundError, or ValueError that says what is wrong with the file."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"no proposals at {path}")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            shapes = {name: tuple(part.get_shape()) for name, part in slices.items()}
            dtypes = {name: part.get_dtype() for name, part in slices.items()}
            if dtypes != DTYPES or "model" not in header:
                raise ValueError(
                    f"{path} holds {dtypes or 'nothing'}; expected a file of proposals,"
                    f" with {DTYPES} and the model's name"
                )
            image_ids, offsets = (
                file.get_tensor(name) for name in ("image_ids", "offsets")
            )
    except SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file: {error}") from error
    total, images = shapes["scores"][0], len(image_ids)
    sound = (
        shapes["boxes"] == (total, 4)
        and shapes["offsets"] == (images + 1,)
        and [*offsets[:1].tolist(), *offsets[-1:].tolist()] == [0, total]
        and bool((offsets.diff() >= 0).all() and (image_ids.diff() > 0).all())
    )
    if not sound:
        raise ValueError(
            f"{path}: its boxes, scores, image_ids and offsets do not fit together"
        )
    return ProposalFile(Path(path), header["model"], image_ids, offsets)
