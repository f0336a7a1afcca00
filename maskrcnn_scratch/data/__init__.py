"""Floor 1: images and their ground truth, read, generated, transformed and batched."""

from maskrcnn_scratch.data.augment import TrainTransform
from maskrcnn_scratch.data.batches import (
    AspectRatioBatchSampler,
    collate,
    make_loader,
    make_ordered_loader,
)
from maskrcnn_scratch.data.check import check_dataset
from maskrcnn_scratch.data.coco import CocoDataset
from maskrcnn_scratch.data.findings import Finding, report
from maskrcnn_scratch.data.images import read_image
from maskrcnn_scratch.data.proposals import (
    ProposalFile,
    read_proposals,
    write_proposals,
)
from maskrcnn_scratch.data.shapes import generate_shapes
from maskrcnn_scratch.data.shapes_folder import write_shapes

__all__ = [
    "AspectRatioBatchSampler",
    "CocoDataset",
    "Finding",
    "ProposalFile",
    "TrainTransform",
    "check_dataset",
    "collate",
    "generate_shapes",
    "make_loader",
    "make_ordered_loader",
    "read_image",
    "read_proposals",
    "report",
    "write_proposals",
    "write_shapes",
]
