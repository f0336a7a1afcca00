"""A loss as a sum and the number of things it is over.

Kept apart until the end, because in a training by several processes the mean of their
means is not the mean over all: an image with few objects would count as much as one
with many.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from maskrcnn_scratch import processes


class Term(NamedTuple):
    """``total / number`` is the loss, 0 where there is nothing to count."""

    total: Float[Tensor, ""]
    number: Float[Tensor, ""]


def averaged(terms: dict[str, Term]) -> dict[str, Tensor]:
    """The losses by name, over what all processes count.

    torch averages the processes' gradients. So each divides by the mean of all counts,
    and the average is the gradient of one process with the whole batch.
    """
    counts = processes.averaged(torch.stack([term.number for term in terms.values()]))
    tiny = torch.finfo(counts.dtype).tiny
    return {
        name: term.total / count.clamp(min=tiny)
        for (name, term), count in zip(terms.items(), counts.unbind(), strict=True)
    }
