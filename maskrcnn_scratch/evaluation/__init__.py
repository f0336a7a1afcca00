"""Floor 4: how good detections are, in COCO's figures and in IoU, as tables and curves.

Matching and averaging are done by pycocotools, as everybody compares with it;
``reference.average_precision`` shows how that works.
"""

from maskrcnn_scratch.evaluation.ground_truth import GroundTruth
from maskrcnn_scratch.evaluation.mean_iou import MeanIoU, mean_iou
from maskrcnn_scratch.evaluation.plots import pr_curves_figure
from maskrcnn_scratch.evaluation.proposals import average_recall
from maskrcnn_scratch.evaluation.results import detections_to_coco
from maskrcnn_scratch.evaluation.scores import Scores, evaluate_coco
from maskrcnn_scratch.evaluation.tables import (
    figures_table,
    per_class_table,
    recall_table,
)

__all__ = [
    "GroundTruth",
    "MeanIoU",
    "Scores",
    "average_recall",
    "detections_to_coco",
    "evaluate_coco",
    "figures_table",
    "mean_iou",
    "per_class_table",
    "pr_curves_figure",
    "recall_table",
]
