"""Where a training writes in the folder that it is given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CHECKPOINTS = "checkpoints"
LOG = "metrics.jsonl"
TENSORBOARD = "tensorboard"


@dataclass(frozen=True)
class Places:
    """A folder for checkpoints, a file for the log, a folder for TensorBoard."""

    checkpoints: Path
    log: Path
    tensorboard: Path

    @classmethod
    def inside(cls, folder: Path) -> Places:
        """Those of a training that has a folder of its own, such as that of a run."""
        return cls(folder / CHECKPOINTS, folder / LOG, folder / TENSORBOARD)
