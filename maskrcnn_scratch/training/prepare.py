"""What stands between a config and the loop: classes, shares of batches, the model."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from maskrcnn_scratch.data import CocoDataset, make_loader
from maskrcnn_scratch.data.batches import Batch
from maskrcnn_scratch.inference.settings import resize_rule, what_it_reads
from maskrcnn_scratch.models import MaskRCNN, ModelConfig
from maskrcnn_scratch.processes import rank, world_size
from maskrcnn_scratch.training.config import ConfigError, RunConfig, TrainConfig
from maskrcnn_scratch.training.schedule import base_rate


def open_dataset(config: RunConfig, data_dir: str | Path) -> CocoDataset:
    """The images to train on, augmented.

    Raises ConfigError where they lack what the model learns from.
    """
    if not config.model.rpn and config.data.proposals is None:
        raise ConfigError(
            "model.rpn is false, so data.proposals must name a file of proposals:"
            " `maskrcnn-scratch proposals` writes one"
        )
    dataset = CocoDataset(
        data_dir,
        config.data.train_split,
        proposals=config.data.proposals,
        most_proposals=config.data.most_proposals,
        seed=config.train.seed,
        cache=config.data.cache,
        **what_it_reads(config.model),
    )
    wanted, found = config.model.keypoints, len(dataset.keypoint_names)
    if wanted not in (0, found):
        raise ConfigError(
            f"model.keypoints is {wanted}, but objects in"
            f" {dataset.annotation_file} have {found}"
        )
    transform = config.data.transform
    side = config.model.image_long
    if config.model.image_square and transform.largest_side > side:
        raise ConfigError(
            f"data.transform gives images of up to {transform.largest_side} pixels, but"
            f" model.image_square pads to model.image_long = {side}: choose"
            " data.transform.max_size (times scale_jitter) accordingly"
        )
    transform = replace(
        transform, keypoint_swap=transform.keypoint_swap or dataset.keypoint_swap
    )
    dataset.transform = partial(transform, rule=resize_rule(config.model))
    return dataset


def fit_to_classes(config: RunConfig, class_names: list[str]) -> RunConfig:
    """``model.num_classes`` is the data's; another one, if set, is a mistake."""
    wanted, found = config.model.num_classes, len(class_names)
    if wanted not in (ModelConfig().num_classes, found):
        raise ConfigError(
            f"model.num_classes is {wanted}, but the data has {found} classes"
            f" ({', '.join(class_names)}); leave the setting out"
        )
    model = replace(config.model, num_classes=found)
    return config.model_copy(update={"model": model})


def own_share(config: TrainConfig) -> slice:
    """Which images of each batch this process takes: as many as every other."""
    shares = world_size() * config.accumulate
    if config.batch_size % shares:
        raise ConfigError(
            f"train.batch_size is {config.batch_size}, but {world_size()} processes"
            f" with train.accumulate = {config.accumulate} take equal shares of it:"
            f" choose a multiple of {shares}"
        )
    size = config.batch_size // world_size()
    return slice(rank() * size, (rank() + 1) * size)


def own_batches(config: RunConfig, dataset: CocoDataset, start: int) -> Iterator[Batch]:
    """This process's part of every batch, from batch number ``start`` on."""
    loader = make_loader(
        dataset,
        config.train.batch_size,
        seed=config.train.seed,
        start=start,
        workers=config.data.workers,
        share=own_share(config.train),
    )
    return iter(loader)


def plan_text(config: TrainConfig, images: int) -> str:
    """What is going to happen, in a line: batches, epochs and the learning rate."""
    batch, shares = config.batch_size, world_size() * config.accumulate
    epochs = config.iterations * batch / images
    text = f"{config.iterations} iterations of {batch} images"
    if shares > 1:
        text += f" ({world_size()} processes, {batch // shares} images at a time)"
    text += f", {epochs:.3g} epochs; learning rate {base_rate(config):.3g}"
    if batch != config.reference_batch:
        text += f", scaled from {config.learning_rate:g} for {config.reference_batch}"
    return text


def prepare_model(model: nn.Module, config: RunConfig, device: torch.device) -> None:
    """Move the model, synchronise its norms and compile its backbone, as configured.

    Names and values of weights stay as they are.
    """
    if config.train.sync_batch_norm:
        check_sync(config.model, device)
        synchronise_norms(model)
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if config.train.compile and isinstance(model, MaskRCNN):
        model.backbone.compile()


def check_sync(config: ModelConfig, device: torch.device) -> None:
    """SyncBatchNorm needs GPUs, and batch norms."""
    if device.type != "cuda":
        raise ConfigError(
            "train.sync_batch_norm needs GPUs: torch has no SyncBatchNorm for CPUs;"
            ' model.norm = "gn" depends on no batch'
        )
    if "bn" not in (config.norm, config.fpn_norm, config.head_norm):
        raise ConfigError(
            "train.sync_batch_norm finds no batch statistics: model.norm is"
            f' "{config.norm}", not "bn", and neither are fpn_norm and head_norm'
        )


def synchronise_norms(model: nn.Module) -> None:
    """Batch norms that are trained become SyncBatchNorm, frozen ones stay."""
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.BatchNorm2d) and child.weight.requires_grad:
                # Its statistics are those of the batches in all processes together.
                own = nn.SyncBatchNorm.convert_sync_batchnorm(child)  # type: ignore[no-untyped-call]
                setattr(parent, name, own)


def distributed(model: nn.Module, device: torch.device) -> nn.Module:
    """The model as every one of several processes trains it: gradients are averaged."""
    if world_size() == 1:
        return model
    # 1x1 convolutions in channels-last order: the strides of one cell mean nothing.
    warnings.filterwarnings("ignore", "Grad strides do not match")
    return DistributedDataParallel(
        model, [device] if device.type == "cuda" else None, gradient_as_bucket_view=True
    )
