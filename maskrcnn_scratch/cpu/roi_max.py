"""RoIAlign with the maximum instead of the mean over a bin's sample points.

The maximum does not factor into rows and columns, so every point is read. Of equal
points the first in reading order wins, and the gradient goes to it alone; a point
outside the map reads 0 and, where it wins, sends the gradient nowhere.
"""

from __future__ import annotations

import numpy as np

from maskrcnn_scratch.cpu.compiled import Array, compiled
from maskrcnn_scratch.cpu.taps import sample_count, sample_point, samples_near


@compiled
def axis_points(
    start: float, size: float, bins: int, sampling_ratio: int, length: int
) -> tuple[Array, Array, Array]:
    """(first, low, weight): the points of bin k are first[k] .. first[k + 1].

    A point mixes the cells low and low + 1, the latter with ``weight``; low = -1 stands
    for outside. Points far outside are left out but for one, which stands for all.
    """
    samples = sample_count(size, bins, sampling_ratio)
    first = np.zeros(bins + 1, np.int64)
    for k in range(bins):
        near, stop = samples_near(start, size, bins, samples, k, length)
        first[k + 1] = first[k] + int(stop - near)
    low = np.full(first[bins], -1, np.int64)
    weight = np.zeros(first[bins], np.float64)
    for k in range(bins):
        near, _ = samples_near(start, size, bins, samples, k, length)
        for n in range(first[k], first[k + 1]):
            c = sample_point(start, size, bins, samples, k, near + (n - first[k]))
            if -1 <= c <= length:
                c = min(max(c, 0.0), length - 1.0)
                low[n] = int(c)
                weight[n] = c - low[n]
    return first, low, weight


@compiled
def read_point(
    image: Array,
    y: int,
    wy: float,
    x: int,
    wx: float,
    value: Array,
) -> None:
    """The features at one point, written to ``value``."""
    real = value.dtype.type
    if y < 0 or x < 0:
        value[:] = 0
        return
    y_next, x_next = min(y + 1, image.shape[0] - 1), min(x + 1, image.shape[1] - 1)
    w00, w01 = real((1 - wy) * (1 - wx)), real((1 - wy) * wx)
    w10, w11 = real(wy * (1 - wx)), real(wy * wx)
    upper, upper_next = image[y, x], image[y, x_next]
    lower, lower_next = image[y_next, x], image[y_next, x_next]
    for c in range(len(value)):
        above = w00 * upper[c] + w01 * upper_next[c]
        value[c] = above + w10 * lower[c] + w11 * lower_next[c]


@compiled
def find_winners(
    image: Array,
    ys: Array,
    wy: Array,
    xs: Array,
    wx: Array,
    value: Array,
    best: Array,
    winner: Array,
) -> None:
    """The maximum over the grid of points ys x xs and the flat index of its point."""
    best[:] = 0
    winner[:] = -1
    for m in range(len(ys)):
        for n in range(len(xs)):
            read_point(image, ys[m], wy[m], xs[n], wx[n], value)
            for c in range(len(value)):
                if winner[c] < 0 or value[c] > best[c]:
                    best[c] = value[c]
                    winner[c] = m * len(xs) + n


@compiled
def max_forward(
    features: Array,
    chosen: Array,
    images: Array,
    spans: Array,
    sampling_ratio: int,
    out: Array,
) -> None:
    """The maximum for the RoIs ``chosen``, written to their places in ``out``."""
    _, height, width, channels = features.shape
    _, out_h, out_w, _ = out.shape
    value = np.empty(channels, out.dtype)
    winner = np.empty(channels, np.int64)
    for r in chosen:
        y, h, x, w = spans[r]
        y_first, ys, wy = axis_points(y, h, out_h, sampling_ratio, height)
        x_first, xs, wx = axis_points(x, w, out_w, sampling_ratio, width)
        image = features[images[r]]
        for i in range(out_h):
            a, b = y_first[i], y_first[i + 1]
            for j in range(out_w):
                p, q = x_first[j], x_first[j + 1]
                find_winners(
                    image,
                    ys[a:b],
                    wy[a:b],
                    xs[p:q],
                    wx[p:q],
                    value,
                    out[r, i, j],
                    winner,
                )


@compiled
def max_backward(
    grad: Array,
    features: Array,
    chosen: Array,
    images: Array,
    spans: Array,
    sampling_ratio: int,
    top: int,
    bottom: int,
    d_features: Array,
) -> None:
    """Send each bin's gradient to the cells its winner read, in the rows top..bottom.

    Rows are numbered through all images: image n begins at row n * height.
    """
    _, height, width, channels = features.shape
    _, out_h, out_w, _ = grad.shape
    value = np.empty(channels, grad.dtype)
    best = np.empty(channels, grad.dtype)
    winner = np.empty(channels, np.int64)
    for r in chosen:
        y, h, x, w = spans[r]
        y_first, ys, wy = axis_points(y, h, out_h, sampling_ratio, height)
        x_first, xs, wx = axis_points(x, w, out_w, sampling_ratio, width)
        image, d_image = features[images[r]], d_features[images[r]]
        own_top, own_bottom = top - images[r] * height, bottom - images[r] * height
        for i in range(out_h):
            a, b = y_first[i], y_first[i + 1]
            lines = ys[a:b]
            if a == b or lines.max() + 1 < own_top or lines.min() >= own_bottom:
                continue
            for j in range(out_w):
                p, q = x_first[j], x_first[j + 1]
                find_winners(
                    image, ys[a:b], wy[a:b], xs[p:q], wx[p:q], value, best, winner
                )
                for c in range(channels):
                    if winner[c] < 0:
                        continue
                    m, n = a + winner[c] // (q - p), p + winner[c] % (q - p)
                    if ys[m] >= 0 and xs[n] >= 0:
                        add_to_cells(
                            d_image[:, :, c],
                            own_top,
                            own_bottom,
                            ys[m],
                            wy[m],
                            xs[n],
                            wx[n],
                            grad[r, i, j, c],
                        )


@compiled
def add_to_cells(
    d_map: Array,
    top: int,
    bottom: int,
    y: int,
    wy: float,
    x: int,
    wx: float,
    share: float,
) -> None:
    """Give ``share`` to the four cells that a point reads, in the rows top..bottom."""
    for row, row_weight in ((y, 1 - wy), (y + 1, wy)):
        if top <= row < bottom and row_weight > 0:
            d_map[row, x] += row_weight * (1 - wx) * share
            if wx > 0:
                d_map[row, x + 1] += row_weight * wx * share
