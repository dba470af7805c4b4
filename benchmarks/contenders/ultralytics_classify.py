"""Classification with Ultralytics, of torchvision's MobileNetV2 under its own head; a contender of benchmarks/peers.py.

The head begins with the network's last convolution: together they are the same layers as mobilenetv2_100. It runs in
an environment of its own, offline. Ultralytics sets OMP_NUM_THREADS=1 where nobody has set it.
"""

from __future__ import annotations

import os
from pathlib import Path

from clock import Work, timed

os.environ |= {"YOLO_OFFLINE": "true", "YOLO_CONFIG_DIR": Work.given().out}

# before torch, whose number of threads it sets
from ultralytics.models.yolo.classify import ClassificationTrainer

NETWORK = """
nc: 2
activation: torch.nn.ReLU6()
backbone:
  - [-1, 1, TorchVision, [320, mobilenet_v2, null, True, 2]]
head:
  - [-1, 1, Classify, [nc]]
"""


def train(work: Work) -> None:
    network = Path(work.out, "mobilenet_v2.yaml")
    network.write_text(NETWORK)
    ClassificationTrainer(
        overrides={
            "model": str(network), "data": work.images, "imgsz": work.size, "batch": work.batch, "nbs": work.batch,
            "epochs": 1_000_000, "patience": 1_000_000, "device": "cpu", "workers": work.workers,
            "pretrained": False, "val": False, "plots": False, "project": str(Path(work.out, "runs")),
            "optimizer": "SGD", "lr0": 0.01, "scale": 0.5, "auto_augment": None, "erasing": 0.0,
            "hsv_h": 0.0, "hsv_s": 0.2, "hsv_v": 0.2,
        }
    ).train()  # fmt: skip


if __name__ == "__main__":
    timed(train)
