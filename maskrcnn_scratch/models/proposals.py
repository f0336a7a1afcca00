"""Boxes that may hold an object: what the RPN hands to the heads."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from maskrcnn_scratch.ops.checks import values_can_be_checked


@dataclass(frozen=True)
class Proposals:
    """Those of one image, best first.

    A slot with the score -inf is empty, its box one pixel at the origin. How many are
    filled only the device knows, so on a GPU the empty ones stay: to count them would
    be to wait. On the CPU there are none.
    """

    boxes: Float[Tensor, "slots 4"]
    scores: Float[Tensor, " slots"]

    @property
    def filled(self) -> Bool[Tensor, " slots"]:
        """Whether there is a proposal."""
        return self.scores > -torch.inf


def best_proposals(
    boxes: Float[Tensor, "n 4"], scores: Float[Tensor, " n"], most: int
) -> Proposals:
    """The ``most`` best of those whose score is more than -inf."""
    order = torch.sort(scores, descending=True, stable=True).indices[:most]
    scores, boxes = scores[order], boxes[order]
    filled = scores > -torch.inf
    if values_can_be_checked(scores):
        return Proposals(boxes[filled], scores[filled])
    return Proposals(torch.where(filled[:, None], boxes, one_pixel(boxes)), scores)


def one_pixel(like: Tensor) -> Float[Tensor, " 4"]:
    """The box (0, 0, 1, 1) on the device of ``like``."""
    return (torch.arange(4, device=like.device) > 1).to(like.dtype)


def segments(parts: list[Tensor]) -> Int64[Tensor, " n"]:
    """The number of its part for each row of the parts joined."""
    return torch.cat(
        [
            torch.full((len(part),), number, device=part.device)
            for number, part in enumerate(parts)
        ]
    )
