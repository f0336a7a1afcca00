"""Weights of a loss's rows: padding counts nothing, twice the weight is the row twice.

Deliberate faults, and the test that caught each:

- losses times weights without blanking the inputs, blanking only the logits, labels of
  padding refused -> test_padding_changes_nothing_whatever_stands_in_it
- a mean over all rows, weights forgotten in the sum or in the mean, elements of a row
  forgotten -> test_a_weight_says_how_often_a_row_counts
- a division by 0 where no row counts -> test_where_no_row_counts_the_loss_is_0
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor

from maskrcnn_scratch import ops

Rows = tuple[Tensor, ...]
"""What a loss takes, a row for each RoI: logits first."""


def class_rows(n: int) -> Rows:
    return torch.randn(n, 3).double(), torch.randint(3, (n,))


def box_rows(n: int) -> Rows:
    return torch.randn(n, 4).double(), torch.randn(n, 4).double()


def object_rows(n: int) -> Rows:
    return torch.randn(n).double(), torch.rand(n).double()


def mask_rows(n: int) -> Rows:
    targets = torch.rand(n, 2, 2).double()
    return torch.randn(n, 3, 2, 2).double(), torch.randint(3, (n,)), targets


def rival_rows(n: int) -> Rows:
    """Three classes and the background."""
    logits, labels, targets = mask_rows(n)
    return torch.cat([logits, logits[:, :1] + 1], dim=1), labels, targets


def l1(x: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    return ops.smooth_l1_loss(x, target, 0.0, weights)


def smooth_l1(x: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    return ops.smooth_l1_loss(x, target, 0.5, weights)


LOSSES: dict[str, tuple[Callable[..., Tensor], Callable[[int], Rows]]] = {
    "softmax_cross_entropy": (ops.softmax_cross_entropy, class_rows),
    "smooth_l1_loss": (smooth_l1, box_rows),
    "smooth_l1_loss of beta 0": (l1, box_rows),
    "sigmoid_cross_entropy": (ops.sigmoid_cross_entropy, object_rows),
    "mask_loss": (ops.mask_loss, mask_rows),
    "softmax_mask_loss": (ops.softmax_mask_loss, rival_rows),
}
every_loss = pytest.mark.parametrize(
    ("loss", "rows_of"), LOSSES.values(), ids=LOSSES.keys()
)


def loss_and_gradient(loss: Callable[..., Tensor], rows: Rows) -> tuple[Tensor, Tensor]:
    logits = rows[0].clone().requires_grad_()
    value = loss(logits, *rows[1:])
    (gradient,) = torch.autograd.grad(value, logits)
    return value.detach(), gradient


def spoiled(x: Tensor, counts: Tensor, garbage: float) -> Tensor:
    """``x`` with garbage in the rows that do not count."""
    there = counts.view(-1, *[1] * (x.ndim - 1))
    value = garbage if x.is_floating_point() else -1
    return torch.where(there, x, torch.full_like(x, value))


@every_loss
@given(
    counts=st.lists(st.booleans(), max_size=5),
    garbage=st.sampled_from([math.nan, math.inf, -math.inf, 7.0]),
)
@example(counts=[True, False], garbage=math.nan)
def test_padding_changes_nothing_whatever_stands_in_it(
    loss: Callable[..., Tensor],
    rows_of: Callable[[int], Rows],
    counts: list[bool],
    garbage: float,
) -> None:
    """The loss is that of the rows that count; the others' gradient is exactly 0."""
    torch.manual_seed(len(counts))
    there, rows = torch.tensor(counts, dtype=torch.bool), rows_of(len(counts))
    expected = loss_and_gradient(loss, tuple(x[there] for x in rows))
    padded = tuple(spoiled(x, there, garbage) for x in rows)
    value, gradient = loss_and_gradient(partial(loss, weights=there.double()), padded)
    torch.testing.assert_close(value, expected[0])
    torch.testing.assert_close(gradient[there], expected[1])
    assert not gradient[~there].any()


@every_loss
@given(counts=st.lists(st.integers(0, 3), min_size=1, max_size=4))
@example(counts=[1, 3])
def test_a_weight_says_how_often_a_row_counts(
    loss: Callable[..., Tensor], rows_of: Callable[[int], Rows], counts: list[int]
) -> None:
    """A row of weight 3 is three rows, and its gradient the sum of theirs.

    Half of all weights halve a sum, and leave a mean as it is.
    """
    torch.manual_seed(len(counts))
    rows, times = rows_of(len(counts)), torch.tensor(counts)
    copies = torch.arange(len(counts)).repeat_interleave(times)
    expected, gradients = loss_and_gradient(loss, tuple(x[copies] for x in rows))
    weighted = partial(loss, weights=times.double())
    value, gradient = loss_and_gradient(weighted, rows)
    torch.testing.assert_close(value, expected)
    summed = torch.zeros_like(gradient).index_add(0, copies, gradients)
    torch.testing.assert_close(gradient, summed)
    half = loss(*rows, weights=times.double() / 2)
    torch.testing.assert_close(half, value / 2 if "l1" in loss.__name__ else value)


@every_loss
@pytest.mark.parametrize("rows", [0, 2])
def test_where_no_row_counts_the_loss_is_0(
    loss: Callable[..., Tensor], rows_of: Callable[[int], Rows], rows: int
) -> None:
    """And still in the graph, so that a backward pass runs."""
    weighted = partial(loss, weights=torch.zeros(rows))
    value, gradient = loss_and_gradient(weighted, rows_of(rows))
    assert value == 0
    assert not gradient.any()
    assert gradient.shape == rows_of(rows)[0].shape


@every_loss
def test_wrong_weights_are_refused(
    loss: Callable[..., Tensor], rows_of: Callable[[int], Rows]
) -> None:
    for weights, message in [
        (torch.ones(3), "row for each of the 2 rows"),
        (torch.tensor([1.0, -1]), "must not be negative, not -1"),
    ]:
        with pytest.raises(ValueError, match=message):
            loss(*rows_of(2), weights=weights)


def test_labels_of_rows_that_count_are_still_checked() -> None:
    logits, labels, weights = torch.zeros(2, 3), torch.tensor([-1, 3]), torch.ones(2)
    with pytest.raises(ValueError, match="number 0 is -1"):
        ops.softmax_cross_entropy(logits, labels, weights)
    with pytest.raises(ValueError, match="number 1 is 3"):
        ops.softmax_cross_entropy(logits, labels, torch.tensor([0.0, 1]))


@every_loss
def test_no_value_is_looked_at_off_the_cpu(
    loss: Callable[..., Tensor], rows_of: Callable[[int], Rows]
) -> None:
    """The meta device has shapes alone: a look at a value there is an error."""
    rows = tuple(x.to("meta") for x in rows_of(2))
    value, gradient = loss_and_gradient(
        partial(loss, weights=torch.ones(2, device="meta")), rows
    )
    assert value.shape == ()
    assert gradient.shape == rows[0].shape
