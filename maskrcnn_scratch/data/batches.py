"""Batches of images of like shape, in an order that the seed alone decides."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from maskrcnn_scratch.data.coco import CocoDataset, generator
from maskrcnn_scratch.data.transforms import Sample
from maskrcnn_scratch.structures import Target

Key = tuple[int, int]
Batch = tuple[list[Tensor], list[Target]]


class AspectRatioBatchSampler(Sampler[list[Key]]):
    """Endless batches of (epoch, index), landscape and portrait images apart.

    Images of a batch are padded to the largest, so mixing the two wastes memory and
    time. Each epoch shows every image at least once in ceil(n / batch_size) batches:
    what is left of both kinds shares the last ones, filled up from the start of the
    epoch.

    Batch number i depends on the seed and i alone, so ``start`` is all that a resumed
    run needs.
    """

    def __init__(
        self,
        sizes: list[tuple[int, int]],
        batch_size: int,
        *,
        seed: int = 0,
        start: int = 0,
    ) -> None:
        """``sizes`` are (height, width) of every image; ``start`` the first batch."""
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; expected 1 or more")
        if not sizes:
            raise ValueError("there are no images to make batches of")
        self.portrait = torch.tensor([height > width for height, width in sizes])
        self.batch_size = batch_size
        self.seed = seed
        self.start = start

    @property
    def batches_per_epoch(self) -> int:
        """ceil(images / batch_size)."""
        return -(-len(self.portrait) // self.batch_size)

    def __iter__(self) -> Iterator[list[Key]]:
        epoch, first = divmod(self.start, self.batches_per_epoch)
        while True:
            for batch in self.epoch(epoch)[first:]:
                yield [(epoch, index) for index in batch]
            epoch, first = epoch + 1, 0

    def epoch(self, epoch: int) -> list[list[int]]:
        """All batches of one epoch, as indices of images."""
        random = generator(self.seed, epoch)
        order = torch.randperm(len(self.portrait), generator=random)
        rows: list[Tensor] = []
        rest: list[Tensor] = []
        for kind in (False, True):
            indices = order[self.portrait[order] == kind]
            whole = len(indices) - len(indices) % self.batch_size
            rows += indices[:whole].view(-1, self.batch_size).unbind()
            rest.append(indices[whole:])
        left = torch.cat(rest)
        missing = -len(left) % self.batch_size
        filler = order.repeat(-(-self.batch_size // len(order)))[:missing]
        rows += torch.cat([left, filler]).view(-1, self.batch_size).unbind()
        shuffle = torch.randperm(len(rows), generator=random)
        return [rows[i].tolist() for i in shuffle.tolist()]


class ShareSampler(Sampler[list[Key]]):
    """The images of each batch that one of several processes takes."""

    def __init__(self, batches: AspectRatioBatchSampler, share: slice) -> None:
        self.batches = batches
        self.share = share

    def __iter__(self) -> Iterator[list[Key]]:
        for batch in self.batches:
            yield batch[self.share]


def collate(samples: list[Sample]) -> Batch:
    """Images and targets as two lists: images of a batch may differ in size."""
    return [image for image, _ in samples], [target for _, target in samples]


def make_loader(
    dataset: CocoDataset,
    batch_size: int,
    *,
    seed: int = 0,
    start: int = 0,
    workers: int = 0,
    share: slice = slice(None),
) -> DataLoader[Sample]:
    """Endless training batches, from batch number ``start`` on; ``share`` of each.

    The batches are the same for any number of workers.
    """
    sizes = [dataset.size(index) for index in range(len(dataset))]
    batches = AspectRatioBatchSampler(sizes, batch_size, seed=seed, start=start)
    return DataLoader(
        dataset,
        batch_sampler=ShareSampler(batches, share),
        collate_fn=collate,
        num_workers=workers,
        # Its own, or it would draw from the global one whenever it starts, and a
        # resumed run would go on with other random numbers.
        generator=torch.Generator(),
    )


def make_ordered_loader(
    dataset: CocoDataset, batch_size: int = 1, *, workers: int = 0
) -> DataLoader[Sample]:
    """Every image once, in the dataset's order: for evaluation."""
    return DataLoader(
        dataset,
        batch_size=batch_size,
        collate_fn=collate,
        num_workers=workers,
        generator=torch.Generator(),
    )
