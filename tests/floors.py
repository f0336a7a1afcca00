"""One property suite for every floor: the implementations a test runs over.

A test of a component that stands on several floors reads

    @pytest.mark.parametrize("floor", floors("roi_align"), ids=str)
    def test_a_law(floor: Floor) -> None:
        out = floor.roi_align(features, rois, ...)     # NumPy in, NumPy out

where ``floor.NAME`` has the signature of ``reference.COMPONENT.NAME``, and
``floor.tolerance`` is the error, relative to the largest value, that the floor's
arithmetic is allowed.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Floor:
    """One implementation of a component, seen through the reference's signatures."""

    name: str
    functions: dict[str, Callable[..., Any]] = field(repr=False)
    tolerance: float

    def __getattr__(self, name: str) -> Callable[..., Any]:
        try:
            return self.functions[name]
        except KeyError:
            raise AttributeError(f"floor {self.name} has no {name}") from None

    def __str__(self) -> str:
        return self.name

    def assert_close(self, actual: Any, expected: Any) -> None:
        """Equal but for the error that the floor's arithmetic is allowed."""
        expected = np.asarray(expected, np.float64)
        atol = self.tolerance * max(1.0, np.abs(expected).max(initial=0))
        np.testing.assert_allclose(actual, expected, rtol=0, atol=atol)


def reference_floor(component: str) -> Floor:
    """Floor 0: the specification itself."""
    module = importlib.import_module(f"maskrcnn_scratch.reference.{component}")
    return Floor("reference", dict(vars(module)), 1e-9)


def floors(component: str) -> list[Floor]:
    """Every floor that the component stands on, the reference first."""
    others = [*ops_floors(component), *cuda_floors(component)]
    return [reference_floor(component), *others]


# The components that stand on the ops floor too, and how far it may be off. It runs in
# float64 here, but for anchors, which are float32.
ADAPTED = {
    **dict.fromkeys(("roi_align", "roi_pool", "roi_warp", "masks"), 1e-9),
    **dict.fromkeys(("boxes", "nms", "fpn_levels", "matching", "losses"), 1e-9),
    "anchors": 1e-6,
}


def ops_floors(component: str) -> list[Floor]:
    """Floor 2, wrapped; torch is imported only where a component stands there."""
    if component not in ADAPTED:
        return []
    from ops_floor import COMPONENTS

    return [Floor("ops", COMPONENTS[component], ADAPTED[component])]


# The components that stand on the CUDA floor: where they are adapted (a dictionary
# COMPONENTS there), and how far float32 may be off.
CUDA: dict[str, tuple[str, float]] = {}


def cuda_floors(component: str) -> list[Floor]:
    """Floor 1 on a GPU, or in numba's simulator where there is none."""
    if component not in CUDA:
        return []
    from cuda_floor import NAME

    adaptors, tolerance = CUDA[component]
    functions = importlib.import_module(adaptors).COMPONENTS[component]
    return [Floor(NAME, functions, tolerance)]
