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

    def has(self, name: str) -> bool:
        """Whether a function stands here; some floors hold a part of a component."""
        return name in self.functions

    def assert_close(self, actual: Any, expected: Any) -> None:
        """Equal but for the error that the floor's arithmetic is allowed."""
        expected = np.asarray(expected, np.float64)
        atol = self.tolerance * max(1.0, np.abs(expected).max(initial=0))
        np.testing.assert_allclose(actual, expected, rtol=0, atol=atol)


def reference_floor(component: str) -> Floor:
    """Floor 0: the specification itself."""
    module = importlib.import_module(f"maskrcnn_scratch.reference.{component}")
    return Floor("reference", dict(vars(module)), 1e-9)


def floors(component: str, function: str | None = None) -> list[Floor]:
    """Every floor that the component, or one function of it, stands on.

    The reference comes first.
    """
    others = [*ops_floors(component), *cuda_floors(component)]
    found = [reference_floor(component), *others]
    return [floor for floor in found if function is None or floor.has(function)]


# The components that stand on the ops floor too, and how far it may be off. It runs in
# float64 here, but for anchors, which are float32.
ADAPTED = {
    **dict.fromkeys(("roi_align", "roi_pool", "roi_warp", "masks"), 1e-9),
    **dict.fromkeys(("boxes", "nms", "fpn_levels", "matching", "losses"), 1e-9),
    "keypoints": 1e-9,
    "anchors": 1e-6,
}


def ops_floors(component: str) -> list[Floor]:
    """Floor 2, wrapped; torch is imported only where a component stands there."""
    if component not in ADAPTED:
        return []
    from ops_floor import COMPONENTS

    formats = {component: "ops", f"{component}_channels_last": "ops-channels-last"}
    return [
        Floor(name, COMPONENTS[key], ADAPTED[component])
        for key, name in formats.items()
        if key in COMPONENTS
    ]


# The components that stand on the CUDA floor: where they are adapted (a dictionary
# COMPONENTS there), and how far float32 may be off.
CUDA: dict[str, tuple[str, float]] = {
    "nms": ("cuda_floor_boxes", 0.0),
    "boxes": ("cuda_floor_boxes", 1e-5),
    "matching": ("cuda_floor_boxes", 0.0),
    "anchors": ("cuda_floor_boxes", 1e-6),
    "bilinear": ("cuda_floor_roi", 1e-6),
    "fpn_levels": ("cuda_floor_roi", 0.0),
    "roi_pool": ("cuda_floor_roi", 1e-6),
    "roi_warp": ("cuda_floor_roi", 4e-6),
    "roi_align": ("cuda_floor_roi", 4e-6),
    "masks": ("cuda_floor_masks", 1e-6),
    "losses": ("cuda_floor_masks", 1e-6),
    "keypoints": ("cuda_floor_keypoints", 2e-6),
}


def cuda_floors(component: str) -> list[Floor]:
    """Floor 1 on a GPU, or in numba's simulator where there is none.

    Where its module adapts COMPONENT_naive too, those kernels make a floor of their
    own.
    """
    if component not in CUDA:
        return []
    try:
        from cuda_floor import NAME
    except RuntimeError as error:
        # Beside torchvision on a CPU a stand-in for CUDA's runtime may be loaded, which
        # lacks what numba asks. The last line of a run tells the floors exercised.
        if "cudaRuntimeGetVersion" not in str(error):
            raise
        return []

    adaptors, tolerance = CUDA[component]
    components = importlib.import_module(adaptors).COMPONENTS
    kernels = {component: NAME, f"{component}_naive": f"{NAME}-naive"}
    return [
        Floor(name, components[key], tolerance)
        for key, name in kernels.items()
        if key in components
    ]
