"""Floor 2: what helps to learn: exercises that answer, the recorder of kernels."""

from maskrcnn_scratch.learning.feedback import check, exercise, grade, hint, show

__all__ = ["check", "exercise", "grade", "hint", "show"]
