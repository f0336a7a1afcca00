"""What others say about Mask R-CNN, each claim with its evidence: ``claimNN.py``."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from maskrcnn_scratch.claims.claim import Claim

NUMBERS = tuple(
    sorted(
        int(module.name.removeprefix("claim"))
        for module in iter_modules(__path__)
        if module.name.removeprefix("claim").isdigit()
    )
)


def find(number: int) -> Claim[Any]:
    """Claim ``number``; ValueError where there is none."""
    if number not in NUMBERS:
        raise ValueError(
            f"there is no claim {number}; they go from {NUMBERS[0]} to {NUMBERS[-1]}"
        )
    claim: Claim[Any] = import_module(f"{__name__}.claim{number:02}").CLAIM
    return claim
