"""What the hidden test of an exercise runs."""

from __future__ import annotations

import os
from typing import Any

from maskrcnn_scratch.learning.feedback import grade

SEED = "MASKRCNN_SCRATCH_COURSE_SEED"


def hidden_test(exercise_id: str, function: Any) -> None:
    """AssertionError, unless the function holds the laws on the course's inputs too.

    Raises:
        ValueError: the course's seed is not set, so that nothing would be tested.
    """
    text = os.environ.get(SEED, "")
    if not text.isdecimal():
        raise ValueError(
            f"{SEED} is not a number: run nbgrader inside the course's folder, whose "
            "nbgrader_config.py sets it"
        )
    grade(exercise_id, function)
    grade(exercise_id, function, int(text))
