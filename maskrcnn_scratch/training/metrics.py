"""What training measures, one JSON object a line and an iteration."""

from __future__ import annotations

import json
from math import isfinite
from pathlib import Path
from types import TracebackType
from typing import Any

from maskrcnn_scratch.files import replacing_file
from maskrcnn_scratch.training.config import ConfigError

Row = dict[str, float]


class MetricsLog:
    """Appends to ``metrics.jsonl`` and, if wanted, to TensorBoard's event files.

    Opened at iteration n it forgets every later row: those belong to a run that was
    cut short and is now done again from its checkpoint.
    """

    def __init__(self, path: Path, iteration: int = 0, tensorboard: bool = False):
        self._board = open_tensorboard(path.parent, iteration) if tensorboard else None
        rows = [row for row in read_metrics(path) if row["iteration"] <= iteration]
        with replacing_file(path) as draft:
            draft.write_text("".join(json.dumps(row) + "\n" for row in rows))
        self._file = path.open("a", encoding="utf-8", buffering=1)

    def append(self, iteration: int, values: Row) -> None:
        """Write one iteration's numbers.

        Those that are none, a gradient that overflowed in fp16, JSON has no words for:
        they are left out.
        """
        values = {name: value for name, value in values.items() if isfinite(value)}
        self._file.write(json.dumps({"iteration": iteration, **values}) + "\n")
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, iteration)

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        if self._board is not None:
            self._board.close()


def read_metrics(path: Path) -> list[Row]:
    """All complete rows; a last line that breaks off is left out."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def open_tensorboard(folder: Path, iteration: int) -> Any:
    """TensorBoard's writer; rows after ``iteration`` are struck out."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError as error:
        raise ConfigError(
            "train.tensorboard needs TensorBoard, which is not installed:"
            " pip install 'maskrcnn-scratch[tensorboard]'"
        ) from error
    return SummaryWriter(folder / "tensorboard", purge_step=iteration + 1)
