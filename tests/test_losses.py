"""Laws of the losses and of their gradients.

Faults tried on the reference, and a test that caught each:
- a sum for the mean, in loss or gradient; the sign of the gradient; the true class
  forgotten; another base of the logarithm -> test_cross_entropy_by_hand
- the greatest logit not taken out -> test_adding_a_number_to_all_logits_changes_nothing
- the mean logit taken out instead; log(1 + exp(-x)) computed as written; probabilities
  clipped to 1e-7 -> test_logits_of_any_size_neither_overflow_nor_lose_their_slope
- no beta / 2; d^2 / beta; a mean; x and target swapped; slope always 1 ->
  test_smooth_l1_by_hand
- d^2 / 2 or slope d whatever beta ->
  test_the_two_pieces_meet_at_beta_with_one_slope (beta = 1 hides both)
- |d| <= beta, which divides by beta = 0; slope 1 at 0 -> test_beta_0_is_l1
- -t log p forgets 1 - t, the slope is t - p or p -> test_objectness_by_hand
- t and 1 - t swapped -> test_one_logit_is_a_softmax_of_two
- the mask of the next class; a mean over all k masks; a gradient to every class ->
  test_mask_loss_by_hand
- a gradient of 1e-12 to other classes ->
  test_the_masks_of_other_classes_neither_matter_nor_move
- a mean over RoIs but a sum over pixels ->
  test_the_mask_loss_is_the_objectness_loss_of_the_true_mask
- soft targets rounded -> test_soft_targets_mix_the_losses_of_0_and_1
- the rival without background, or its classes one channel off ->
  test_under_softmax_every_class_gets_a_gradient, test_gradient_of_the_softmax_mask_loss
- division by n = 0 -> test_of_nothing_the_loss_is_0_and_the_gradient_empty
- labels -1 or k accepted, a label named wrongly -> the three tests of refusals
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from floors import Floor, floors
from hypothesis import given
from hypothesis import strategies as st

from maskrcnn_scratch.reference import losses as reference

every_floor = pytest.mark.parametrize(
    "floor", floors("losses", "softmax_cross_entropy"), ids=str
)
mask_floors = pytest.mark.parametrize("floor", floors("losses", "mask_loss"), ids=str)
rival_floors = pytest.mark.parametrize(
    "floor", floors("losses", "softmax_mask_loss"), ids=str
)

betas = st.sampled_from([0.0, 1 / 9, 0.5, 1.0])
Problem = tuple[np.ndarray, np.ndarray]
MaskProblem = tuple[np.ndarray, np.ndarray, np.ndarray]


def arrays(shape: tuple[int, ...], low: int = -6, high: int = 6) -> st.SearchStrategy:
    """Halves between ``low`` and ``high``."""
    count = math.prod(shape)
    halves = st.lists(st.integers(2 * low, 2 * high), min_size=count, max_size=count)
    return halves.map(lambda values: np.array(values, np.float64).reshape(shape) / 2)


@st.composite
def class_problems(draw: st.DrawFn, least: int = 1) -> Problem:
    """Logits (n, k) and labels (n,)."""
    n, k = draw(st.integers(least, 4)), draw(st.integers(1, 4))
    labels = draw(st.lists(st.integers(0, k - 1), min_size=n, max_size=n))
    return draw(arrays((n, k))), np.array(labels, np.int64)


@st.composite
def box_problems(draw: st.DrawFn) -> Problem:
    """Predicted and wanted deltas (n, 4), in halves."""
    shape = (draw(st.integers(0, 3)), 4)
    return draw(arrays(shape, -2, 2)), draw(arrays(shape, -2, 2))


@st.composite
def object_problems(draw: st.DrawFn, least: int = 1) -> Problem:
    """Logits (n,) and labels 0 or 1."""
    n = draw(st.integers(least, 6))
    labels = draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
    return draw(arrays((n,))), np.array(labels, np.int64)


@st.composite
def mask_problems(draw: st.DrawFn, background: int = 0) -> MaskProblem:
    """Logits (n, k + background, m, m), labels in 0..k-1, targets 0, 1/2 or 1."""
    n, k, m = draw(st.integers(1, 2)), draw(st.integers(1, 3)), draw(st.integers(1, 2))
    labels = draw(st.lists(st.integers(0, k - 1), min_size=n, max_size=n))
    logits = draw(arrays((n, k + background, m, m)))
    return logits, np.array(labels, np.int64), draw(arrays((n, m, m), 0, 1))


def slope(loss: Callable[[np.ndarray], float], x: np.ndarray) -> np.ndarray:
    """The gradient of ``loss`` by central differences."""
    gradient, step = np.zeros(x.shape), 1e-5
    for place in np.ndindex(x.shape):
        nudge = np.zeros(x.shape)
        nudge[place] = step
        gradient[place] = (loss(x + nudge) - loss(x - nudge)) / (2 * step)
    return gradient


def assert_gradient_is_the_slope(
    loss: Callable[..., tuple[float, np.ndarray]], x: np.ndarray, *rest: object
) -> None:
    _, gradient = loss(x, *rest)
    differences = slope(lambda moved: loss(moved, *rest)[0], x)
    assert gradient.shape == x.shape
    np.testing.assert_allclose(gradient, differences, rtol=0, atol=1e-7)


def assert_equals_autograd(
    ours: tuple[float, np.ndarray], x: torch.Tensor, loss: torch.Tensor
) -> None:
    (gradient,) = torch.autograd.grad(loss, x)
    np.testing.assert_allclose(ours[0], loss.item(), atol=1e-12)
    np.testing.assert_allclose(ours[1], gradient.numpy(), atol=1e-12)


def leaf(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(x.copy()).requires_grad_()


# --- softmax cross-entropy


@every_floor
def test_cross_entropy_by_hand(floor: Floor) -> None:
    """Probabilities 1/4 and 3/4; the true class is the second, then the first."""
    logits = np.log([[0.25, 0.75], [2.5, 7.5]])
    loss, gradient = floor.softmax_cross_entropy(logits, np.array([1, 0]))
    floor.assert_close(loss, (math.log(4 / 3) + math.log(4)) / 2)
    floor.assert_close(gradient, [[1 / 8, -1 / 8], [-3 / 8, 3 / 8]])


@every_floor
@given(problem=class_problems(), shift=st.integers(-1000, 1000))
def test_adding_a_number_to_all_logits_changes_nothing(
    floor: Floor, problem: Problem, shift: int
) -> None:
    logits, labels = problem
    loss, gradient = floor.softmax_cross_entropy(logits, labels)
    moved_loss, moved_gradient = floor.softmax_cross_entropy(logits + shift, labels)
    floor.assert_close(moved_loss, loss)
    floor.assert_close(moved_gradient, gradient)


@every_floor
@given(problem=class_problems())
def test_only_the_true_class_is_pulled_up_and_forces_balance(
    floor: Floor, problem: Problem
) -> None:
    logits, labels = problem
    loss, gradient = floor.softmax_cross_entropy(logits, labels)
    true = np.arange(logits.shape[1]) == labels[:, None]
    assert loss >= 0
    assert np.all(gradient[true] <= 0)
    assert np.all(gradient[~true] >= 0)
    floor.assert_close(gradient.sum(axis=1), np.zeros(len(logits)))


@every_floor
@pytest.mark.parametrize("classes", [1, 2, 81])
def test_without_a_clue_the_loss_is_the_logarithm_of_the_classes(
    floor: Floor, classes: int
) -> None:
    """log 81 = 4.39: the class loss of an untrained model on COCO."""
    logits, labels = np.zeros((3, classes)), np.zeros(3, np.int64)
    floor.assert_close(floor.softmax_cross_entropy(logits, labels)[0], np.log(classes))


@given(problem=class_problems())
def test_gradient_of_cross_entropy(problem: Problem) -> None:
    logits, labels = problem
    assert_gradient_is_the_slope(reference.softmax_cross_entropy, logits, labels)
    x = leaf(logits)
    theirs = torch.nn.functional.cross_entropy(x, torch.from_numpy(labels))
    assert_equals_autograd(reference.softmax_cross_entropy(logits, labels), x, theirs)


# --- smooth-L1


@every_floor
def test_smooth_l1_by_hand(floor: Floor) -> None:
    """Differences 1/2, -1, 3 with the switch at 1, and 1/9 of torchvision."""
    x, target = np.array([1.5, 0.0, 3.0]), np.array([1.0, 1.0, 0.0])
    loss, gradient = floor.smooth_l1(x, target, 1.0)
    floor.assert_close(loss, 1 / 8 + 1 / 2 + 5 / 2)
    floor.assert_close(gradient, [0.5, -1, 1])
    floor.assert_close(floor.smooth_l1(x, target, 1 / 9)[0], 4.5 - 3 / 18)


@every_floor
@given(problem=box_problems())
def test_beta_0_is_l1(floor: Floor, problem: Problem) -> None:
    x, target = problem
    loss, gradient = floor.smooth_l1(x, target, 0.0)
    floor.assert_close(loss, np.abs(x - target).sum())
    floor.assert_close(gradient, np.sign(x - target))


@every_floor
@pytest.mark.parametrize("beta", [1 / 9, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("sign", [-1, 1])
def test_the_two_pieces_meet_at_beta_with_one_slope(
    floor: Floor, beta: float, sign: int
) -> None:
    zero, gap = np.zeros(1), 1e-6
    for d in (beta - gap, beta, beta + gap):
        loss, gradient = floor.smooth_l1(np.array([sign * d]), zero, beta)
        assert loss == pytest.approx(beta / 2, abs=2 * gap)
        assert gradient[0] == pytest.approx(sign, abs=2 * gap / beta)


@every_floor
@given(problem=box_problems(), beta=betas)
def test_smooth_l1_lies_between_l1_and_half_a_beta_below(
    floor: Floor, problem: Problem, beta: float
) -> None:
    """And no slope is steeper than that of L1."""
    x, target = problem
    loss, gradient = floor.smooth_l1(x, target, beta)
    l1 = np.abs(x - target).sum()
    assert l1 - x.size * beta / 2 - 1e-9 <= loss <= l1 + 1e-9
    assert np.all(np.abs(gradient) <= 1 + 1e-9)


@every_floor
@given(problem=box_problems(), beta=betas)
def test_smooth_l1_is_symmetric_and_0_on_target(
    floor: Floor, problem: Problem, beta: float
) -> None:
    x, target = problem
    loss, gradient = floor.smooth_l1(x, target, beta)
    other_loss, other_gradient = floor.smooth_l1(target, x, beta)
    floor.assert_close(other_loss, loss)
    floor.assert_close(other_gradient, -gradient)
    loss, gradient = floor.smooth_l1(x, x, beta)
    assert loss == 0
    assert not gradient.any()


@every_floor
@given(problem=box_problems(), beta=betas)
def test_smooth_l1_of_all_is_the_sum_of_each(
    floor: Floor, problem: Problem, beta: float
) -> None:
    x, target = problem
    each = [
        floor.smooth_l1(x[n : n + 1], target[n : n + 1], beta) for n in range(len(x))
    ]
    loss, gradient = floor.smooth_l1(x, target, beta)
    floor.assert_close(loss, sum(part for part, _ in each))
    floor.assert_close(
        gradient, np.concatenate([np.zeros((0, 4)), *(g for _, g in each)])
    )


@given(problem=box_problems(), beta=st.sampled_from([1 / 9, 0.75, 1.25]))
def test_gradient_of_smooth_l1(problem: Problem, beta: float) -> None:
    """Differences are halves, so none lies on a switch."""
    x, target = problem
    assert_gradient_is_the_slope(reference.smooth_l1, x, target, beta)
    moved = leaf(x)
    theirs = torch.nn.functional.smooth_l1_loss(
        moved, torch.from_numpy(target), beta=beta, reduction="sum"
    )
    assert_equals_autograd(reference.smooth_l1(x, target, beta), moved, theirs)


# --- objectness


@every_floor
def test_objectness_by_hand(floor: Floor) -> None:
    """Probability 3/4, once of an object and once of none."""
    logits = np.full(2, math.log(3))
    loss, gradient = floor.objectness_loss(logits, np.array([1, 0]))
    floor.assert_close(loss, (math.log(4 / 3) + math.log(4)) / 2)
    floor.assert_close(gradient, [-1 / 8, 3 / 8])


@every_floor
@given(problem=object_problems())
def test_one_logit_is_a_softmax_of_two(floor: Floor, problem: Problem) -> None:
    """sigmoid(x) is the second of softmax(0, x): the RPN may have either."""
    logits, labels = problem
    pairs = np.stack([np.zeros(len(logits)), logits], axis=1)
    loss, gradient = floor.objectness_loss(logits, labels)
    pair_loss, pair_gradient = floor.softmax_cross_entropy(pairs, labels)
    floor.assert_close(loss, pair_loss)
    floor.assert_close(gradient, pair_gradient[:, 1])


@every_floor
@given(problem=object_problems())
def test_object_and_none_are_mirror_images(floor: Floor, problem: Problem) -> None:
    logits, labels = problem
    loss, gradient = floor.objectness_loss(logits, labels)
    other_loss, other_gradient = floor.objectness_loss(-logits, 1 - labels)
    floor.assert_close(other_loss, loss)
    floor.assert_close(other_gradient, -gradient)


@every_floor
def test_logits_of_any_size_neither_overflow_nor_lose_their_slope(floor: Floor) -> None:
    huge = np.array([1000.0, -1000.0])
    loss, gradient = floor.objectness_loss(huge, np.array([1, 0]))  # both right
    assert loss == 0
    assert not gradient.any()
    loss, gradient = floor.objectness_loss(huge, np.array([0, 1]))  # both wrong
    floor.assert_close(loss, 1000)
    floor.assert_close(gradient, [0.5, -0.5])
    loss, gradient = floor.softmax_cross_entropy(huge[None], np.array([1]))
    floor.assert_close(loss, 2000)
    floor.assert_close(gradient, [[1, -1]])


@given(problem=object_problems())
def test_gradient_of_objectness(problem: Problem) -> None:
    logits, labels = problem
    assert_gradient_is_the_slope(reference.objectness_loss, logits, labels)
    x = leaf(logits)
    theirs = torch.nn.functional.binary_cross_entropy_with_logits(
        x, torch.from_numpy(labels).double()
    )
    assert_equals_autograd(reference.objectness_loss(logits, labels), x, theirs)


# --- masks


@mask_floors
def test_mask_loss_by_hand(floor: Floor) -> None:
    """One RoI, one pixel, wanted 1. Class 1 says 3/4, class 0 does not matter."""
    logits = np.array([5.0, math.log(3)]).reshape(1, 2, 1, 1)
    loss, gradient = floor.mask_loss(logits, np.array([1]), np.ones((1, 1, 1)))
    floor.assert_close(loss, math.log(4 / 3))
    floor.assert_close(gradient, np.reshape([0, -1 / 4], (1, 2, 1, 1)))


@mask_floors
@given(problem=mask_problems(), noise=st.integers(-99, 99))
def test_the_masks_of_other_classes_neither_matter_nor_move(
    floor: Floor, problem: MaskProblem, noise: int
) -> None:
    """Exactly: not one bit of the loss depends on them (section 3)."""
    logits, labels, targets = problem
    loss, gradient = floor.mask_loss(logits, labels, targets)
    other = np.arange(logits.shape[1]) != labels[:, None]
    assert not gradient[other].any()
    disturbed = logits.copy()
    disturbed[other] += noise
    again, same_gradient = floor.mask_loss(disturbed, labels, targets)
    assert again == loss
    assert np.array_equal(same_gradient, gradient)


@mask_floors
@given(problem=mask_problems())
def test_the_mask_loss_is_the_objectness_loss_of_the_true_mask(
    floor: Floor, problem: MaskProblem
) -> None:
    """Where targets are 0 or 1: a mean over all pixels of all RoIs."""
    logits, labels, targets = problem
    targets = np.round(targets)
    rows = np.arange(len(labels))
    loss, gradient = floor.mask_loss(logits, labels, targets)
    plain, plain_gradient = reference.objectness_loss(
        logits[rows, labels].ravel(), targets.ravel().astype(np.int64)
    )
    floor.assert_close(loss, plain)
    floor.assert_close(gradient[rows, labels].ravel(), plain_gradient)


@mask_floors
@given(problem=mask_problems())
def test_soft_targets_mix_the_losses_of_0_and_1(
    floor: Floor, problem: MaskProblem
) -> None:
    """A cell that the mask half covers costs half of each."""
    logits, labels, targets = problem
    half, one = np.full(targets.shape, 0.5), np.ones(targets.shape)
    results = [floor.mask_loss(logits, labels, t) for t in (0 * one, half, one)]
    (loss_0, gradient_0), (loss_half, gradient_half), (loss_1, gradient_1) = results
    floor.assert_close(loss_half, (loss_0 + loss_1) / 2)
    floor.assert_close(gradient_half, (gradient_0 + gradient_1) / 2)


@given(problem=mask_problems())
def test_gradient_of_the_mask_loss(problem: MaskProblem) -> None:
    logits, labels, targets = problem
    assert_gradient_is_the_slope(reference.mask_loss, logits, labels, targets)
    x = leaf(logits)
    theirs = torch.nn.functional.binary_cross_entropy_with_logits(
        x[torch.arange(len(labels)), torch.from_numpy(labels)],
        torch.from_numpy(targets),
    )
    assert_equals_autograd(reference.mask_loss(logits, labels, targets), x, theirs)


@rival_floors
@given(problem=mask_problems(background=1))
def test_under_softmax_every_class_gets_a_gradient(
    floor: Floor, problem: MaskProblem
) -> None:
    """The rival: to lift one class is to press down all others."""
    logits, labels, targets = problem
    _, gradient = floor.softmax_mask_loss(logits, labels, np.ones(targets.shape))
    other = np.arange(logits.shape[1]) != 1 + labels[:, None]
    assert np.all(gradient[other] > 0)
    np.testing.assert_allclose(gradient.sum(axis=1), 0, atol=1e-12)


@rival_floors
@given(problem=mask_problems(background=1), noise=st.integers(1, 9))
def test_under_softmax_the_logits_of_other_classes_matter(
    floor: Floor, problem: MaskProblem, noise: int
) -> None:
    logits, labels, targets = problem
    loss, _ = floor.softmax_mask_loss(logits, labels, np.ones(targets.shape))
    disturbed = logits.copy()
    disturbed[:, 0] += noise
    worse, _ = floor.softmax_mask_loss(disturbed, labels, np.ones(targets.shape))
    assert worse > loss


@given(problem=mask_problems(background=1))
def test_gradient_of_the_softmax_mask_loss(problem: MaskProblem) -> None:
    logits, labels, targets = problem
    assert_gradient_is_the_slope(reference.softmax_mask_loss, logits, labels, targets)
    wanted = np.zeros(logits.shape)
    wanted[:, 0] = 1 - targets
    wanted[np.arange(len(labels)), 1 + labels] = targets
    x = leaf(logits)
    theirs = torch.nn.functional.cross_entropy(x, torch.from_numpy(wanted))
    ours = reference.softmax_mask_loss(logits, labels, targets)
    assert_equals_autograd(ours, x, theirs)


# --- nothing at all, wrong arguments, other floors


@every_floor
def test_of_nothing_the_loss_is_0_and_the_gradient_empty(floor: Floor) -> None:
    no_labels = np.zeros(0, np.int64)
    for x, (loss, gradient) in [
        (np.zeros((0, 3)), floor.softmax_cross_entropy(np.zeros((0, 3)), no_labels)),
        (np.zeros((0, 4)), floor.smooth_l1(np.zeros((0, 4)), np.zeros((0, 4)), 1.0)),
        (np.zeros(0), floor.objectness_loss(np.zeros(0), no_labels)),
        (
            np.zeros((0, 3, 2, 2)),
            floor.softmax_mask_loss(
                np.zeros((0, 3, 2, 2)), no_labels, np.zeros((0, 2, 2))
            ),
        ),
    ]:
        assert loss == 0
        assert gradient.shape == x.shape


@mask_floors
def test_without_rois_the_mask_loss_is_0_and_the_gradient_empty(floor: Floor) -> None:
    masks = np.zeros((0, 3, 2, 2)), np.zeros(0, np.int64), np.zeros((0, 2, 2))
    loss, gradient = floor.mask_loss(*masks)
    assert loss == 0
    assert gradient.shape == (0, 3, 2, 2)


@every_floor
@pytest.mark.parametrize("label", [-1, 2])
def test_a_label_that_names_no_class_is_refused(floor: Floor, label: int) -> None:
    """-1 is where an unmatched RoI would point: at the last class, unnoticed."""
    labels = np.array([0, label])
    with pytest.raises(ValueError, match="label"):
        floor.softmax_cross_entropy(np.zeros((2, 2)), labels)
    with pytest.raises(ValueError, match="label"):
        floor.mask_loss(np.zeros((2, 2, 1, 1)), labels, np.zeros((2, 1, 1)))
    with pytest.raises(ValueError, match="label"):
        floor.softmax_mask_loss(np.zeros((2, 3, 1, 1)), labels, np.zeros((2, 1, 1)))


@pytest.mark.parametrize("label", [-1, 2])
def test_the_reference_says_which_label_is_wrong(label: int) -> None:
    labels, message = np.array([0, label]), rf"label 1 is {label}, .* in 0\.\.1"
    with pytest.raises(ValueError, match=message):
        reference.objectness_loss(np.zeros(2), labels)
    with pytest.raises(ValueError, match=message):
        reference.softmax_mask_loss(np.zeros((2, 3, 1, 1)), labels, np.zeros((2, 1, 1)))


@every_floor
@pytest.mark.parametrize("beta", [-1.0, math.nan])
def test_a_negative_beta_is_refused(floor: Floor, beta: float) -> None:
    with pytest.raises(ValueError, match="beta must be at least 0"):
        floor.smooth_l1(np.zeros(2), np.zeros(2), beta)


@mask_floors
@given(
    classes=class_problems(least=0),
    boxes=box_problems(),
    beta=betas,
    objects=object_problems(least=0),
    masks=mask_problems(),
    rivals=mask_problems(background=1),
)
def test_every_floor_computes_what_the_reference_says(
    floor: Floor,
    classes: Problem,
    boxes: Problem,
    beta: float,
    objects: Problem,
    masks: MaskProblem,
    rivals: MaskProblem,
) -> None:
    for name, arguments in {
        "softmax_cross_entropy": classes,
        "smooth_l1": (*boxes, beta),
        "objectness_loss": objects,
        "mask_loss": masks,
        "softmax_mask_loss": rivals,
    }.items():
        if not floor.has(name):
            continue
        loss, gradient = getattr(floor, name)(*arguments)
        expected_loss, expected_gradient = getattr(reference, name)(*arguments)
        floor.assert_close(loss, expected_loss)
        floor.assert_close(gradient, expected_gradient)
