"""Where a training writes; whose folder that is knows its names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Places:
    """A folder for checkpoints, a file for the log, a folder for TensorBoard."""

    checkpoints: Path
    log: Path
    tensorboard: Path
