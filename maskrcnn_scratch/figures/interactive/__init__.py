"""Figures with controls, for lessons: move something, and see what follows.

Each shows its figure and returns the numbers at the start, so that a lesson can assert
them; see ``explore`` for what is shown where.
"""

from maskrcnn_scratch.figures.interactive.anchor_places import place_anchors
from maskrcnn_scratch.figures.interactive.level_choice import choose_level
from maskrcnn_scratch.figures.interactive.roi_motion import move_roi
from maskrcnn_scratch.figures.interactive.roi_samples import place_samples
from maskrcnn_scratch.figures.interactive.suppression import suppress_boxes

__all__ = [
    "choose_level",
    "move_roi",
    "place_anchors",
    "place_samples",
    "suppress_boxes",
]
