"""What a training leaves to read: metrics.jsonl, one JSON object per line, and TensorBoard files if asked for.

Lines are `{"step", "epoch", "lr", "loss", "terms": {…}, "img_per_s"}`, averages over the steps since the line
before, and after a validation `{"step", "epoch", "val": {…}, "seconds"}`. `epoch` counts those that are done.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from xvision.files import write_text
from xvision.train.errors import TrainingError


class Log:
    """The log of a run; with `enabled` false (a process that is not the first) it writes nothing."""

    def __init__(self, path: Path, *, tensorboard: Path | None, enabled: bool) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._enabled = enabled
        self._writer: Any = _tensorboard(tensorboard) if tensorboard and enabled else None

    def rewind(self, step: int, validated_step: int) -> None:
        """Remove the lines after a checkpoint, and one that a crash cut in two."""
        if not self._enabled or not self.path.exists():
            return
        kept = []
        for text in self.path.read_text(encoding="utf-8").splitlines():
            try:
                line = json.loads(text)
                if line["step"] <= (validated_step if "val" in line else step):
                    kept.append(text + "\n")
            except (ValueError, KeyError, TypeError):
                continue
        write_text(self.path, "".join(kept))

    def write(self, line: Mapping[str, Any]) -> None:
        if not self._enabled:
            return
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if self._writer is not None:
            for name, value in _numbers(line):
                self._writer.add_scalar(name, value, line["step"])

    def __enter__(self) -> Log:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()


def _numbers(line: Mapping[str, Any]) -> list[tuple[str, float]]:
    group = "val" if "val" in line else "train"
    flat = {**line, **line.get("terms", {}), **line.get("val", {})}
    return [(f"{group}/{k}", float(v)) for k, v in flat.items() if isinstance(v, int | float) and k != "step"]


def _tensorboard(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as e:
        raise TrainingError(
            "train.tensorboard: the package tensorboard is not installed; "
            "pip install 'edgeai-xvision[tensorboard]', or set it to false"
        ) from e
    return SummaryWriter(str(folder))
