"""Batches in an order that the seed alone decides, for any number of workers.

Faults tried -> the test that caught them:
- images left over are dropped -> test_every_epoch_shows_every_image
- resuming restarts the epoch -> test_starting_later_is_skipping
- the same order every epoch, or for every seed -> test_epochs_and_seeds_differ
- the loader forgets seed or start -> test_workers_change_nothing
- landscape and portrait mixed -> test_batches_are_of_one_kind_but_the_last
- keys without the epoch -> test_starting_later_is_skipping
- loaders without a generator of their own
  -> test_loading_leaves_the_global_generator_alone
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest
import tiny_coco
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskrcnn_scratch.data import (
    AspectRatioBatchSampler,
    CocoDataset,
    TrainTransform,
    collate,
    make_loader,
    make_ordered_loader,
)
from maskrcnn_scratch.data.batches import Batch

sizes = st.lists(st.sampled_from([(3, 4), (4, 3), (4, 4)]), min_size=1, max_size=12)
batch_sizes = st.integers(1, 5)


@given(sizes=sizes, batch_size=batch_sizes, epoch=st.integers(0, 3))
def test_every_epoch_shows_every_image(
    sizes: list[tuple[int, int]], batch_size: int, epoch: int
) -> None:
    sampler = AspectRatioBatchSampler(sizes, batch_size)
    batches = sampler.epoch(epoch)
    shown = [index for batch in batches for index in batch]
    assert set(shown) == set(range(len(sizes)))
    assert len(shown) < len(sizes) + batch_size
    assert all(len(batch) == batch_size for batch in batches)
    assert len(batches) == sampler.batches_per_epoch


@given(sizes=sizes, batch_size=batch_sizes)
def test_batches_are_of_one_kind_but_the_last(
    sizes: list[tuple[int, int]], batch_size: int
) -> None:
    batches = AspectRatioBatchSampler(sizes, batch_size).epoch(0)
    kinds = [{sizes[i][0] > sizes[i][1] for i in batch} for batch in batches]
    assert sum(len(kind) > 1 for kind in kinds) <= 2


@given(sizes=sizes, batch_size=batch_sizes, start=st.integers(0, 30))
def test_starting_later_is_skipping(
    sizes: list[tuple[int, int]], batch_size: int, start: int
) -> None:
    whole = AspectRatioBatchSampler(sizes, batch_size, seed=3)
    resumed = AspectRatioBatchSampler(sizes, batch_size, seed=3, start=start)
    assert list(islice(resumed, 10)) == list(islice(whole, start, start + 10))
    epochs = [epoch for batch in islice(whole, 20) for epoch, _ in batch]
    expected = [
        i // whole.batches_per_epoch for i in range(20) for _ in range(batch_size)
    ]
    assert epochs == expected


def test_epochs_and_seeds_differ() -> None:
    sampler = AspectRatioBatchSampler([(3, 4)] * 50, 2)
    other = AspectRatioBatchSampler([(3, 4)] * 50, 2, seed=1)
    assert sampler.epoch(0) == sampler.epoch(0)
    assert sampler.epoch(0) != sampler.epoch(1)
    assert sampler.epoch(0) != other.epoch(0)
    shown = [[index for _, index in batch] for batch in islice(sampler, 50)]
    assert shown == sampler.epoch(0) + sampler.epoch(1)


def test_nothing_to_batch_is_told() -> None:
    with pytest.raises(ValueError, match="no images"):
        AspectRatioBatchSampler([], 2)
    with pytest.raises(ValueError, match="batch_size is 0"):
        AspectRatioBatchSampler([(3, 4)], 0)


@pytest.fixture
def dataset(tmp_path: Path) -> CocoDataset:
    """Seven images of two shapes, one without objects; strongly augmented."""
    shapes = [(24, 32), (32, 24)]
    images = [tiny_coco.image(n, *shapes[n % 2]) for n in range(1, 8)]
    annotations = [tiny_coco.annotation(n, image_id=n) for n in range(1, 7)]
    folder = tiny_coco.write(tmp_path, tiny_coco.contents(images, annotations))
    transform = TrainTransform(
        min_sizes=(20, 24), scale_jitter=(0.8, 1.5), crop=20, color_jitter=0.2
    )
    return CocoDataset(folder, "train", transform)


def assert_same(one: Batch, other: Batch) -> None:
    assert len(one[0]) == len(other[0])
    for a, b in zip(one[0], other[0], strict=True):
        assert torch.equal(a, b)
    for a, b in zip(one[1], other[1], strict=True):
        assert a.image_id == b.image_id
        for field in ("boxes", "labels", "masks", "crowd"):
            assert torch.equal(getattr(a, field), getattr(b, field))


def shown_ids(batches: list[Batch]) -> list[int]:
    return [target.image_id for _, targets in batches for target in targets]


def test_workers_change_nothing(dataset: CocoDataset) -> None:
    """Over two epochs, resumed in the middle too."""
    alone = list(islice(make_loader(dataset, 2, seed=5), 8))
    pair = list(islice(make_loader(dataset, 2, seed=5, workers=2), 8))
    resumed = list(islice(make_loader(dataset, 2, seed=5, start=3), 5))
    other = list(islice(make_loader(dataset, 2, seed=6), 8))
    assert shown_ids(alone) != shown_ids(other)
    for one, other in zip(alone, pair, strict=True):
        assert_same(one, other)
    for one, other in zip(alone[3:], resumed, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_ordered_loader_shows_each_image_once(
    dataset: CocoDataset, workers: int
) -> None:
    batches = list(make_ordered_loader(dataset, 3, workers=workers))
    assert [len(images) for images, _ in batches] == [3, 3, 1]
    assert shown_ids(batches) == [image["id"] for image in dataset.images]


@pytest.mark.parametrize("workers", [0, 1])
def test_loading_leaves_the_global_generator_alone(
    dataset: CocoDataset, workers: int
) -> None:
    before = torch.get_rng_state()
    next(iter(make_loader(dataset, 2, workers=workers)))
    next(iter(make_ordered_loader(dataset, 2, workers=workers)))
    assert torch.equal(torch.get_rng_state(), before)


def test_collating_keeps_sizes(dataset: CocoDataset) -> None:
    images, targets = collate([dataset[0], dataset[1]])
    assert torch.equal(images[1], dataset[1][0])
    assert targets[0].image_id == 1
