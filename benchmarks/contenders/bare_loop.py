"""A bare PyTorch loop: ImageFolder, torchvision's v2 transforms, SGD; a contender of benchmarks/peers.py.

With a second argument "int8" it trains one epoch and then does by hand what leads to an int8 file: export to ONNX,
ONNX Runtime's static quantization, and a comparison of the file's classes with those of the network.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F
from clock import Work, timed, told_apart
from torch import nn
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

JITTER = 0.2
NORMALIZE = (
    v2.ToImage(),
    v2.ToDtype(torch.float32, scale=True),
    v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
)
NUM_CALIBRATION = 256  # as many as xvision takes by itself


def train_loader(work: Work) -> DataLoader[Any]:
    augment = v2.Compose(
        [
            v2.RandomResizedCrop(work.size, scale=(0.5, 1.0), ratio=(1 / 1.2, 1.2)),
            v2.RandomHorizontalFlip(),
            v2.ColorJitter(JITTER, JITTER, JITTER),
            *NORMALIZE,
        ]
    )
    return DataLoader(
        ImageFolder(str(Path(work.images, "train")), augment),
        work.batch,
        shuffle=True,
        num_workers=work.workers,
        drop_last=True,
        persistent_workers=work.workers > 0,
    )


def epochs(network: nn.Module, loader: DataLoader[Any], num_epochs: int) -> None:
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=1e-4)
    network.train()
    for _ in range(num_epochs):
        for images, classes in loader:
            scores = network(images.to(memory_format=torch.channels_last))
            F.cross_entropy(scores, classes, label_smoothing=0.1).backward()
            optimizer.step()
            optimizer.zero_grad()


def build() -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model("mobilenetv2_100", num_classes=2).to(memory_format=torch.channels_last)


def train(work: Work) -> None:
    epochs(build(), train_loader(work), 10**6)


def int8(work: Work) -> float:
    """From images to an int8 file; how many of the validation images it puts into the network's class."""
    import onnxruntime
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

    network = build()
    epochs(network, train_loader(work), 1)
    network.eval()
    seen = v2.Compose([v2.Resize(work.size), v2.CenterCrop(work.size), *NORMALIZE])
    folders = {split: ImageFolder(str(Path(work.images, split)), seen) for split in ("train", "val")}
    float_file, int8_file = Path(work.out, "float.onnx"), Path(work.out, "int8.onnx")
    image = torch.zeros(1, 3, work.size, work.size)
    torch.onnx.export(network, (image,), float_file, dynamo=True, input_names=["image"], external_data=False)

    class Calibration(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            some = range(0, len(folders["train"]), max(1, len(folders["train"]) // NUM_CALIBRATION))
            self.images: Iterator[Any] = ({"image": folders["train"][i][0][None].numpy()} for i in some)

        def get_next(self) -> Any:
            return next(self.images, None)

    quantize_static(float_file, int8_file, Calibration(), quant_format=QuantFormat.QDQ, per_channel=True)
    session = onnxruntime.InferenceSession(int8_file, providers=["CPUExecutionProvider"])
    agree = 0
    with torch.no_grad():
        for image, _ in folders["val"]:
            (scores,) = session.run(None, {"image": image[None].numpy()})
            agree += int(scores.argmax() == int(network(image[None]).argmax()))
    return agree / len(folders["val"])


if __name__ == "__main__":
    if "int8" in sys.argv[2:]:
        with told_apart() as line:
            agreement = int8(Work.given())
            line({"agreement": agreement})
    else:
        timed(train)
