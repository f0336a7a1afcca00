"""Each change of layout, against the published system's layer computed in NumPy.

Here the layers are spelled out in loops as Keras, detectron2 and torchvision define
them, in their own layouts; ours, with the tensors transformed, must give the same.

Faults tried, and the test that caught each:
- kernels permuted to (out, in, w, h) -> test_a_convolution_of_keras
- dense_over_map flattened (H, W, C) -> test_a_dense_layer_over_a_map
- background_first rolled the other way -> test_the_background_comes_first
- xy_order that swaps dy with dw -> test_deltas_in_xy_order
- the norm's eps left out, mean + bias -> test_norms_behind_a_layer
- scale not flipped with the channels -> test_the_first_convolution_reads_our_pixels
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from maskrcnn_scratch.ops import decode_boxes
from maskrcnn_scratch.weights import transforms

Array = np.ndarray


def tensor(array: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def keras_convolution(image: Array, kernel: Array) -> Array:
    """Conv2D, valid: image [H, W, in], kernel [h, w, in, out] -> [H', W', out]."""
    h, w = kernel.shape[:2]
    rows, columns = image.shape[0] - h + 1, image.shape[1] - w + 1
    out = np.zeros((rows, columns, kernel.shape[3]))
    for i in range(rows):
        for j in range(columns):
            out[i, j] = np.einsum("abc,abcd->d", image[i : i + h, j : j + w], kernel)
    return out


def keras_transposed(image: Array, kernel: Array) -> Array:
    """Conv2DTranspose of 2x2, stride 2, the gradient of Conv2D.

    Each cell stamps itself, times kernel [h, w, out, in].
    """
    height, width, _ = image.shape
    out = np.zeros((2 * height, 2 * width, kernel.shape[2]))
    for i in range(height):
        for j in range(width):
            stamp = np.einsum("abdc,c->abd", kernel, image[i, j])
            out[2 * i : 2 * i + 2, 2 * j : 2 * j + 2] += stamp
    return out


def channels_first(image: Array) -> Tensor:
    return tensor(image.transpose(2, 0, 1))[None]


def test_a_convolution_of_keras(rng: np.random.Generator) -> None:
    image, kernel = rng.normal(size=(6, 7, 3)), rng.normal(size=(2, 3, 3, 4))
    ours = F.conv2d(channels_first(image), transforms.kernel(tensor(kernel)))
    expected = channels_first(keras_convolution(image, kernel))
    torch.testing.assert_close(ours, expected)


def test_a_transposed_convolution_of_keras(rng: np.random.Generator) -> None:
    image, kernel = rng.normal(size=(3, 2, 5)), rng.normal(size=(2, 2, 4, 5))
    weight = transforms.kernel(tensor(kernel))
    ours = F.conv_transpose2d(channels_first(image), weight, stride=2)
    expected = channels_first(keras_transposed(image, kernel))
    torch.testing.assert_close(ours, expected)


def test_a_dense_layer_over_a_map(rng: np.random.Generator) -> None:
    """Ours flattens (C, H, W); Keras has a convolution as large as the map."""
    features, kernel = rng.normal(size=(3, 2, 5)), rng.normal(size=(3, 2, 5, 4))
    weight = transforms.dense_over_map(tensor(kernel))
    ours = F.linear(channels_first(features).flatten(1), weight)
    expected = keras_convolution(features, kernel)[0]
    torch.testing.assert_close(ours, tensor(expected))


def test_a_dense_layer(rng: np.random.Generator) -> None:
    x, kernel = rng.normal(size=(2, 5)), rng.normal(size=(5, 4))
    ours = F.linear(tensor(x), transforms.transposed(tensor(kernel)))
    torch.testing.assert_close(ours, tensor(x @ kernel))


@pytest.mark.parametrize("shape", [(5, 3, 1, 1), (5, 3), (5,)])
def test_norms_behind_a_layer(rng: np.random.Generator, shape: tuple[int, ...]) -> None:
    """gamma (x - mean) / sqrt(variance + eps) + beta, of x = w a + b."""
    weight, bias, gamma, beta, mean = (
        rng.normal(size=size) for size in (shape, 5, 5, 5, 5)
    )
    variance, eps = rng.uniform(1e-4, 2, 5), 1e-3
    norm = [tensor(array) for array in (gamma, beta, mean, variance)]
    scale = gamma / np.sqrt(variance + eps)
    folded = transforms.weight_with_norm(tensor(weight), norm[0], norm[3], eps)
    shifted = transforms.bias_with_norm(tensor(bias), *norm, eps)
    for output in range(5):
        torch.testing.assert_close(
            folded[output], tensor(weight)[output] * scale[output]
        )
    torch.testing.assert_close(shifted, tensor(scale * (bias - mean) + beta))
    # Or the bias in the norm's mean.
    moved = transforms.mean_less_bias(norm[2], tensor(bias)).numpy()
    x = rng.normal(size=5)
    np.testing.assert_allclose(
        scale * (x - moved) + beta, scale * (x + bias - mean) + beta
    )


def test_a_norm_without_statistics() -> None:
    """x s + b is what ours computes with eps added."""
    scale = torch.tensor([2.0, -3.0])
    variance = transforms.unit_variance(scale, 0.1)
    torch.testing.assert_close((variance + 0.1).rsqrt(), torch.ones(2))
    assert transforms.no_mean(scale).tolist() == [0, 0]


def keras_apply_deltas(box: Array, deltas: Array) -> Array:
    """A box (y1, x1, y2, x2) moved by (dy, dx, log dh, log dw)."""
    height, width = box[2] - box[0], box[3] - box[1]
    y = box[0] + height / 2 + deltas[0] * height
    x = box[1] + width / 2 + deltas[1] * width
    height, width = height * np.exp(deltas[2]), width * np.exp(deltas[3])
    return np.array([y - height / 2, x - width / 2, y + height / 2, x + width / 2])


def test_deltas_in_xy_order(rng: np.random.Generator) -> None:
    """Two anchors' outputs, times .1 .1 .2 .2 there, over 10 10 5 5 here."""
    box = np.array([10.0, 20.0, 40.0, 80.0])
    outputs = rng.normal(size=8)
    ours = transforms.xy_order(tensor(outputs)).view(2, 4)
    moved = decode_boxes(tensor(box[[1, 0, 3, 2]]).repeat(2, 1), ours, (10, 10, 5, 5))
    for anchor in range(2):
        deltas = outputs[4 * anchor : 4 * anchor + 4] * [0.1, 0.1, 0.2, 0.2]
        expected = keras_apply_deltas(box, deltas)[[1, 0, 3, 2]]
        torch.testing.assert_close(moved[anchor], tensor(expected))
    by_hand = transforms.xy_order(torch.arange(8)[:, None].float())
    assert by_hand.flatten().tolist() == [1, 0, 3, 2, 5, 4, 7, 6]


def test_the_background_comes_first() -> None:
    """detectron2's (cat, dog, background) as (background, cat, dog)."""
    assert transforms.background_first(torch.tensor([1, 2, 0.0])).tolist() == [0, 1, 2]
    assert transforms.drop_rows(torch.tensor([0, 0, 1, 2.0]), 2).tolist() == [1, 2]


@pytest.mark.parametrize("bgr", [True, False])
def test_the_first_convolution_reads_our_pixels(
    rng: np.random.Generator, bgr: bool
) -> None:
    """Theirs reads 255 pixels less a mean; ours (pixel - mean) / std, RGB in 0..1."""
    pixels = rng.uniform(size=(1, 3, 8, 9))
    weight = rng.normal(size=(4, 3, 7, 7))
    mean, std = np.array([0.4, 0.5, 0.6]), np.array([0.2, 0.3, 0.7])
    columns = [array.reshape(1, 3, 1, 1) for array in (mean, std)]
    theirs = 255 * pixels - 255 * columns[0]
    expected = F.conv2d(
        tensor(theirs[:, ::-1] if bgr else theirs), tensor(weight), padding=3
    )
    ours = F.conv2d(
        tensor((pixels - columns[0]) / columns[1]),
        transforms.first_convolution(tensor(weight), (255 * std).tolist(), bgr),
        padding=3,
    )
    torch.testing.assert_close(ours, expected)
