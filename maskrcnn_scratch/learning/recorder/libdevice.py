"""The functions of ``cuda.libdevice`` that have a plain meaning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from maskrcnn_scratch.learning.recorder.faults import NotRecordable

ONE: dict[str, Callable[..., Any]] = {
    "ceil": np.ceil,
    "cos": np.cos,
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "fabs": np.fabs,
    "floor": np.floor,
    "log": np.log,
    "log1p": np.log1p,
    "log2": np.log2,
    "log10": np.log10,
    "rcbrt": lambda x: 1 / np.cbrt(x),
    "rint": np.rint,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "saturate": lambda x: np.minimum(np.maximum(x, 0), 1),
    "sin": np.sin,
    "sqrt": np.sqrt,
    "tan": np.tan,
    "tanh": np.tanh,
    "trunc": np.trunc,
}
TWO: dict[str, Callable[..., Any]] = {
    "fdividef": np.divide,
    "fmax": np.fmax,
    "fmin": np.fmin,
    "fmod": np.fmod,
    "hypot": np.hypot,
    "pow": np.power,
}
KNOWN = {**ONE, **TWO}
ROUNDINGS = {"rd": np.floor, "ru": np.ceil, "rn": np.rint, "rz": np.trunc}


class LibDevice:
    """Stands in for ``cuda.libdevice``: a name that ends in f takes float32."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        start, _, rounding = name.partition("2int_")
        if start in ("float", "double") and rounding in ROUNDINGS:
            return lambda x: int(ROUNDINGS[rounding](x))
        plain = name.removeprefix("fast_")
        function = KNOWN.get(plain) or KNOWN.get(plain.removesuffix("f"))
        if function is None:
            raise NotRecordable(f"libdevice.{name} has no stand-in in the recorder")
        kind = np.float32 if name.endswith("f") else np.float64
        return lambda *numbers: kind(function(*(kind(x) for x in numbers)))
