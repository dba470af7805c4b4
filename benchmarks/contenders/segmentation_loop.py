"""CamVid in a bare PyTorch loop with torchvision's v2 transforms; a contender of benchmarks/peers.py.

The second argument says whose network: "smp" (segmentation_models_pytorch) or "xvision", that of `camvid_segmentation`.
Both have an EfficientNet-Lite0 under a feature pyramid, and about 0.7 GMACs at 192x256.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from clock import Work, timed
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

NUM_CLASSES, UNKNOWN = 11, 255


class Frames(Dataset[Any]):
    """Images (3, H, W) in 0..255 and their class ids (H, W)."""

    def __init__(self, work: Work) -> None:
        self.images = sorted(Path(work.images, "train/images").iterdir())
        size = (work.size, work.size * 4 // 3)
        self.augment = v2.Compose(
            [
                v2.RandomResizedCrop(size, scale=(0.5, 1.0), ratio=(1.2, 1.5), antialias=True),
                v2.RandomHorizontalFlip(),
                v2.ColorJitter(0.3, 0.3, 0.3),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, at: int) -> tuple[Tensor, Tensor]:
        file = self.images[at]
        image = tv_tensors.Image(Image.open(file).convert("RGB"))
        label = Image.open(Path(file.parents[1], "labels", f"{file.stem}.png"))
        image, ids = self.augment(image, tv_tensors.Mask(label))
        return image, ids.squeeze(0).long()


def smp_network() -> nn.Module:
    import segmentation_models_pytorch

    network: nn.Module = segmentation_models_pytorch.FPN(
        "tu-tf_efficientnet_lite0",
        encoder_weights=None,
        classes=NUM_CLASSES,
        decoder_pyramid_channels=128,
        decoder_segmentation_channels=64,
    )
    return network


def xvision_network(work: Work) -> nn.Module:
    # after torch, whose threads wait as they do without us
    import xvision as xv

    data = (f"data.root={work.images}", f"data.size={work.size}x{work.size * 4 // 3}")
    return xv.build(xv.recipe("camvid_segmentation", "net.weights=none", *data))


def loss(scores: Tensor, ids: Tensor) -> Tensor:
    """Cross-entropy and dice, as in `camvid_segmentation`."""
    known = (ids != UNKNOWN)[:, None]
    truth = F.one_hot(ids.masked_fill(~known[:, 0], 0), NUM_CLASSES).permute(0, 3, 1, 2) * known
    shares = scores.softmax(1) * known
    common = 2 * (shares * truth).sum((0, 2, 3)) + 1
    dice = 1 - common / ((shares + truth).sum((0, 2, 3)) + 1)
    return F.cross_entropy(scores, ids, ignore_index=UNKNOWN) + dice.mean()


def train(work: Work) -> None:
    torch.manual_seed(0)
    own = "xvision" in sys.argv[2:]
    network = (xvision_network(work) if own else smp_network()).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    loader = DataLoader(
        Frames(work),
        work.batch,
        shuffle=True,
        num_workers=work.workers,
        drop_last=True,
        persistent_workers=work.workers > 0,
    )
    while True:
        for images, ids in loader:
            images = images.to(memory_format=torch.channels_last)
            scores = network(images)["segmentation"] if own else network((images.float() - 128) / 64)
            loss(scores, ids).backward()
            optimizer.step()
            optimizer.zero_grad()


if __name__ == "__main__":
    timed(train)
