"""Floor 5: the loop, its optimiser and schedule, checkpoints and runs."""

from maskrcnn_scratch.training.config import ConfigError, RunConfig, load_config
from maskrcnn_scratch.training.folder import load_run
from maskrcnn_scratch.training.loop import TrainingDiverged
from maskrcnn_scratch.training.run import train

__all__ = [
    "ConfigError",
    "RunConfig",
    "TrainingDiverged",
    "load_config",
    "load_run",
    "train",
]
