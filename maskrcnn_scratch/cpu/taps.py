"""What each bin of a RoI reads of one axis of the feature map: cells and weights.

The sample points of a bin form a grid and a bilinear weight is a product, row weight
times column weight; so the mean over the points is a weighted sum over columns of
weighted sums over rows (``reference.roi_align.roi_align_separable``). These functions
compute the weights of one axis once for a RoI, for all channels.

A span is (start, size) in cells: the index coordinate where the RoI starts, already
shifted by the half cell of ``aligned``, and its length. Everything is computed in the
type of these two, float32 or float64, in the reference's order of operations: so in
float32 the points fall, to the last bit, where published layers put them.
"""

from __future__ import annotations

import math

import numpy as np

from maskrcnn_scratch.cpu.compiled import Array, compiled
from maskrcnn_scratch.cpu.numbers import alike

Taps = tuple[Array, Array, Array]
"""(first, cell, weight): bin k reads cell[first[k]] .. cell[first[k + 1]], weighted."""


@compiled
def sample_count(size: float, bins: int, sampling_ratio: int) -> float:
    """Sample points a bin; adaptive where ``sampling_ratio`` <= 0, 0 for no points.

    A float, because the ceiling of a wild box may not fit into an integer.
    """
    samples: float = alike(sampling_ratio, size)
    if sampling_ratio <= 0:
        bin_size = size / alike(bins, size)
        samples = np.ceil(bin_size) if 0 < bin_size < np.inf else alike(0, size)
    return samples


@compiled
def sample_point(
    start: float, size: float, bins: int, samples: float, k: int, s: float
) -> float:
    """Index coordinate of point s of bin k, in the reference's order of operations."""
    bin_size = size / alike(bins, size)
    part = alike(s, size) + alike(0.5, size)
    point: float = start + alike(k, size) * bin_size + part * bin_size / samples
    return point


@compiled
def samples_near(
    start: float, size: float, bins: int, samples: float, k: int, length: int
) -> tuple[float, float]:
    """The range (first, stop) of bin k's points that may lie on the map.

    One or two points outside stay in at either end: a caller still tests each point.
    So a box a million pixels wide costs no more than the map's width.
    """
    if samples == 0:
        return 0.0, 0.0
    count = np.float64(samples)
    bin_size = np.float64(size) / bins
    step = bin_size / count
    before = np.float64(start) + k * bin_size + 0.5 * step
    if not (math.isfinite(before) and math.isfinite(step)):
        return 0.0, 0.0
    if step == 0:
        return 0.0, count
    ends = (-1.0 - before) / step, (length - before) / step
    first = max(math.floor(min(ends[0], ends[1])) - 1.0, 0.0)
    stop = min(math.ceil(max(ends[0], ends[1])) + 2.0, count)
    if first > count - 1:  # all points before the map: keep one as a witness
        return count - 1, count
    return first, max(stop, first + 1)


@compiled
def axis_taps(
    start: float, size: float, bins: int, sampling_ratio: int, length: int
) -> tuple[Array, Array, Array]:
    """The cells that each bin reads of an axis of ``length`` cells.

    Returns (first, cell, weight): the taps of bin k are first[k] .. first[k + 1], each
    a cell and its share in the bin's mean. Taps that name one cell are merged where
    they are neighbours, and taps of weight 0 left out.
    """
    samples = sample_count(size, bins, sampling_ratio)
    first = np.zeros(bins + 1, np.int64)
    room = 0.0
    for k in range(bins):
        low, stop = samples_near(start, size, bins, samples, k, length)
        room += 2 * (stop - low)
    cell = np.empty(int(room), np.int64)
    weight = np.full(int(room), start)
    n = 0
    for k in range(bins):
        low, stop = samples_near(start, size, bins, samples, k, length)
        for s in range(int(low), int(stop)):
            c = sample_point(start, size, bins, samples, k, s)
            if not -1 <= c <= length:
                continue
            c = min(max(c, alike(0, c)), alike(length - 1, c))
            left = int(c)
            part = c - alike(left, c)  # towards the next cell
            share = alike(1, c) - part
            n = add_tap(cell, weight, first[k], n, left, share / samples)
            n = add_tap(cell, weight, first[k], n, left + 1, part / samples)
        first[k + 1] = n
    return first, cell[:n], weight[:n]


@compiled
def add_tap(
    cell: Array, weight: Array, bin_start: int, n: int, new_cell: int, new_weight: float
) -> int:
    """Append a tap, or add to one of the bin's last two taps; returns the new count."""
    if new_weight == 0:
        return n
    for t in range(n - 1, max(bin_start, n - 2) - 1, -1):
        if cell[t] == new_cell:
            weight[t] += new_weight
            return n
    cell[n] = new_cell
    weight[n] = new_weight
    return n + 1


@compiled
def number_cells(cell: Array, slot_of: Array) -> tuple[Array, Array]:
    """Number the different cells in ``cell`` from 0, in order of appearance.

    Returns (cells, slots): the different cells, and for each tap the number of its
    cell. ``slot_of`` is scratch, -1 for every cell of the axis, and left so.
    """
    cells = np.empty(len(cell), np.int64)
    slots = np.empty(len(cell), np.int64)
    count = 0
    for t in range(len(cell)):
        if slot_of[cell[t]] < 0:
            slot_of[cell[t]] = count
            cells[count] = cell[t]
            count += 1
        slots[t] = slot_of[cell[t]]
    for k in range(count):
        slot_of[cells[k]] = -1
    return cells[:count], slots


@compiled
def runs_of(cells: Array) -> Array:
    """Where stretches of neighbouring cells begin in a list, and at last its length."""
    starts = np.empty(len(cells) + 1, np.int64)
    count = 0
    for k in range(len(cells)):
        if k == 0 or cells[k] != cells[k - 1] + 1:
            starts[count] = k
            count += 1
    starts[count] = len(cells)
    return starts[: count + 1]


@compiled
def transposed(taps: Taps, slot_of: Array) -> tuple[Array, Array, Array, Array]:
    """The taps sorted by cell instead of by bin: (cells, first, bin, weight).

    cells[k] is read by the bins bin[first[k]] .. bin[first[k + 1]], in ascending order.
    """
    first, cell, weight = taps
    cells, slots = number_cells(cell, slot_of)
    begin = np.zeros(len(cells) + 1, np.int64)
    for slot in slots:
        begin[slot + 1] += 1
    for k in range(len(cells)):
        begin[k + 1] += begin[k]
    place = begin.copy()
    bins = np.empty(len(slots), np.int64)
    weights = np.empty(len(slots), weight.dtype)
    for k in range(len(first) - 1):
        for t in range(first[k], first[k + 1]):
            p = place[slots[t]]
            bins[p], weights[p] = k, weight[t]
            place[slots[t]] = p + 1
    return cells, begin, bins, weights
