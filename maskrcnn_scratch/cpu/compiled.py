"""How every kernel is compiled."""

from __future__ import annotations

from numba import njit

compiled = njit(cache=True, nogil=True, error_model="numpy")
"""Compiled at the first call and cached on disk; runs without Python's global lock, so
``threads`` can run several; divides as NumPy does, without raising. No fastmath:
coordinates and weights keep their exact order of operations."""
