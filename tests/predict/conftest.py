"""Small trained runs, and videos."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from filelock import FileLock

import xvision as xv

SMALL = (
    "data.num_train=16", "data.num_val=5", "data.size=64x64", "train.max_steps=2", "train.batch_size=4",
    "train.workers=0", "train.threads=1", "quant.num_images=4", "net.backbone=timm:mobilenetv2_035",
    "net.decoder.width=0.25", "data.crop_rect=16,0,118,127",
)  # fmt: skip


def write_video(path: Path, num_frames: int = 11, size: tuple[int, int] = (130, 128)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    codec = "MJPG" if path.suffix == ".avi" else "mp4v"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 10.0, size[::-1])
    for i in range(num_frames):
        writer.write(np.full((*size, 3), 20 * i % 256, np.uint8))
    writer.release()
    return path


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Segmentation and depth of cut scenes, to an int8 file; made once for all the processes that test."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "segmentation_depth"
    with FileLock(f"{folder}.lock"):
        if not (folder / "report.html").exists():
            xv.run(xv.recipe("segmentation+depth", *SMALL), folder)
    return folder
