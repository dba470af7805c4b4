"""What of a network and of its training makes it easy or hard to quantize, measured one choice at a time.

    python benchmarks/guidelines.py --record results/measured/guidelines.json      # three hours of one core
    python benchmarks/guidelines.py plain hardswish --seeds 1 --images 4000 --epochs 2

On CIFAR-10 in $XVISION_DATA: a small network of inverted residuals, trained from random weights, then quantized with
power-of-two scales per tensor and with free scales. Each row changes one thing of the first; columns are means over
seeds, with the smallest and the largest one:

float        top-1 of the float network, %
pow2, int8   points that quantization by `ptq` loses
nothing      points that pow2 loses without corrections: ranges of least squared error alone
SQNR dB      of the scores in pow2, corrected
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from measurement import measured
from torch import Tensor, nn

import xvision as xv
from xvision.models.pixels import Pixels
from xvision.quant.methods import method
from xvision.quant.numbers import QuantScheme
from xvision.quant.ops import decibels, squared_error
from xvision.quant.settings import Quant
from xvision.runs.environment import environment

WIDTHS = ((24, 1), (32, 2), (32, 1), (64, 2), (64, 1), (96, 2), (96, 1))
"""Channels and stride of each block."""
BATCH = 128
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "hardswish": nn.Hardswish,
    "silu": nn.SiLU,
    "leaky_relu": lambda: nn.LeakyReLU(0.1),
}


@dataclass(frozen=True)
class Choices:
    """A network, its training and its quantization."""

    activation: str = "relu"
    squeeze_excite: bool = False
    groups: Literal["depthwise", "grouped", "none"] = "depthwise"
    expand: int = 4
    norm_after_depthwise: bool = True
    norm_on_shortcut: bool = True
    residual_gain: float = 1.0
    weight_decay: float = 5e-4
    decay: Literal["all", "weights"] = "all"
    label_smoothing: float = 0.1
    ema: float = 0.99
    head_bits: int = 16
    num_images: int = 256
    calibration: Literal["images", "noise", "one class"] = "images"


PLAIN = Choices()
ROWS: dict[str, Choices] = {
    "plain": PLAIN,
    "ReLU6": replace(PLAIN, activation="relu6"),
    "h-swish": replace(PLAIN, activation="hardswish"),
    "SiLU": replace(PLAIN, activation="silu"),
    "LeakyReLU": replace(PLAIN, activation="leaky_relu"),
    "squeeze-excite": replace(PLAIN, squeeze_excite=True),
    "grouped instead of depthwise": replace(PLAIN, groups="grouped", expand=2),
    "full 3x3 convolutions": replace(PLAIN, groups="none", expand=1),
    "wider depthwise": replace(PLAIN, expand=6),
    "no norm after depthwise": replace(PLAIN, norm_after_depthwise=False),
    "no norm before the addition": replace(PLAIN, norm_on_shortcut=False),
    "branches of 8 times the range": replace(PLAIN, residual_gain=8.0),
    "weight decay 1e-5": replace(PLAIN, weight_decay=1e-5),
    "no decay of biases and norms": replace(PLAIN, decay="weights"),
    "no label smoothing": replace(PLAIN, label_smoothing=0.0),
    "no average of weights": replace(PLAIN, ema=0.0),
    "head of 8 bits": replace(PLAIN, head_bits=8),
    "16 images": replace(PLAIN, num_images=16),
    "64 images": replace(PLAIN, num_images=64),
    "1024 images": replace(PLAIN, num_images=1024),
    "images of one class": replace(PLAIN, calibration="one class"),
    "noise": replace(PLAIN, calibration="noise"),
}
OF_TRAINING = frozenset(Choices.__dataclass_fields__) - {"head_bits", "num_images", "calibration"}
"""What decides the float network: rows that share it share a training."""


class SqueezeExcite(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce, self.expand = (
            nn.Conv2d(channels, channels // 4, 1),
            nn.Conv2d(channels // 4, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.expand(F.relu(self.reduce(F.adaptive_avg_pool2d(x, 1)))))


class Block(nn.Module):
    """An inverted residual, or a pair of plain convolutions."""

    def __init__(self, inputs: int, outputs: int, stride: int, choices: Choices) -> None:
        super().__init__()
        inside = inputs * choices.expand
        groups = {"depthwise": inside, "grouped": max(1, inside // 16), "none": 1}[choices.groups]
        act = ACTIVATIONS[choices.activation]
        middle = nn.Conv2d(inside, inside, 3, stride, 1, groups=groups, bias=not choices.norm_after_depthwise)
        layers: list[nn.Module] = [nn.Conv2d(inputs, inside, 1, bias=False), nn.BatchNorm2d(inside), act()]
        layers += [middle, nn.BatchNorm2d(inside) if choices.norm_after_depthwise else nn.Identity(), act()]
        layers += [SqueezeExcite(inside)] if choices.squeeze_excite else []
        layers += [nn.Conv2d(inside, outputs, 1, bias=not choices.norm_on_shortcut)]
        layers += [nn.BatchNorm2d(outputs)] if choices.norm_on_shortcut else []
        self.layers = nn.Sequential(*layers)
        self.shortcut = inputs == outputs and stride == 1
        self.gain = choices.residual_gain

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + self.gain * y if self.shortcut else y


class Network(nn.Module):
    """Uint8 RGB images of 32x32 to ten scores."""

    def __init__(self, choices: Choices) -> None:
        super().__init__()
        self.pixels = Pixels()
        width = 24
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), ACTIVATIONS[choices.activation]()
        )
        blocks = []
        for outputs, stride in WIDTHS:
            blocks.append(Block(width, outputs, stride, choices))
            width = outputs
        self.blocks = nn.Sequential(*blocks)
        self.last = nn.Sequential(
            nn.Conv2d(width, 256, 1, bias=False), nn.BatchNorm2d(256), ACTIVATIONS[choices.activation]()
        )
        self.head = nn.Linear(256, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.last(self.blocks(self.stem(self.pixels(image))))
        scores: Tensor = self.head(x.mean((2, 3)))
        return scores


def read(split: str, number: int) -> tuple[Tensor, Tensor]:
    """Images (N, 3, 32, 32) and classes."""
    root = Path(os.environ.get("XVISION_DATA", "."), "cifar10").resolve()
    if not root.is_dir():
        raise SystemExit(f"expected CIFAR-10 in {root}; set XVISION_DATA to the folder that holds it")
    stored = np.load(root / f"{split}.npz")
    files, offsets = stored["jpeg"], stored["offsets"]
    images = [
        cv2.imdecode(files[a:b], cv2.IMREAD_COLOR)[..., ::-1] for a, b in pairwise(offsets[: number + 1])
    ]
    stacked = torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2).copy())
    return stacked, torch.from_numpy(stored["labels"][:number].astype(np.int64))


def train(choices: Choices, images: Tensor, labels: Tensor, epochs: int, seed: int) -> nn.Module:
    """SGD with a cosine schedule; crops shifted by up to 4 pixels, flips."""
    torch.manual_seed(seed)
    network = Network(choices).to(memory_format=torch.channels_last)
    average = copy.deepcopy(network)
    optimizer = torch.optim.SGD(groups(network, choices), lr=0.2, momentum=0.9, nesterov=True)
    steps = epochs * (len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.2, steps, pct_start=0.15)
    rng = torch.Generator().manual_seed(seed)
    for step, chosen in enumerate(batches(len(images), epochs, rng)):
        loss = F.cross_entropy(
            network(augmented(images[chosen], rng)), labels[chosen], label_smoothing=choices.label_smoothing
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        keep = min(choices.ema, (1 + step) / (10 + step))
        with torch.no_grad():
            for ours, theirs in zip(
                average.state_dict().values(), network.state_dict().values(), strict=True
            ):
                ours.copy_(keep * ours + (1 - keep) * theirs)
    return average.eval()


def groups(network: nn.Module, choices: Choices) -> list[dict[str, Any]]:
    weights = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    of_others = choices.weight_decay if choices.decay == "all" else 0.0
    return [
        {"params": weights, "weight_decay": choices.weight_decay},
        {"params": others, "weight_decay": of_others},
    ]


def batches(number: int, epochs: int, rng: torch.Generator) -> Iterator[Tensor]:
    for _ in range(epochs):
        order = torch.randperm(number, generator=rng)
        yield from order[: number // BATCH * BATCH].split(BATCH)


def augmented(images: Tensor, rng: torch.Generator) -> Tensor:
    padded = F.pad(images.float(), (4, 4, 4, 4), mode="reflect").to(torch.uint8)
    shift = torch.randint(0, 9, (len(images), 2), generator=rng)
    flip = torch.rand(len(images), generator=rng) < 0.5
    rows = shift[:, :1] + torch.arange(32)
    columns = shift[:, 1:] + torch.where(flip[:, None], torch.arange(31, -1, -1), torch.arange(32))
    samples, channels = torch.arange(len(images)), torch.arange(3)
    return padded[
        samples[:, None, None, None], channels[:, None, None], rows[:, None, :, None], columns[:, None, None]
    ]


def calibration(choices: Choices, images: Tensor, labels: Tensor) -> list[Tensor]:
    rng = torch.Generator().manual_seed(1)
    if choices.calibration == "noise":
        some = torch.randint(0, 256, (choices.num_images, 3, 32, 32), dtype=torch.uint8, generator=rng)
    else:
        from_these = images[labels == 3] if choices.calibration == "one class" else images
        some = from_these[torch.randperm(len(from_these), generator=rng)[: choices.num_images]]
    return list(some.split(64))


@torch.no_grad()
def scores(network: nn.Module, images: Tensor) -> Tensor:
    found = [network(some) for some in images.split(250)]
    return torch.cat([next(iter(one.values())) if isinstance(one, dict) else one for one in found])


def losses(
    network: nn.Module, choices: Choices, train_set: tuple[Tensor, Tensor], val: tuple[Tensor, Tensor]
) -> dict[str, float]:
    """Top-1 in float, and what each quantization loses."""
    images, labels = val
    batches_of_it = calibration(choices, *train_set)

    def top1(found: Tensor) -> float:
        return 100 * float((found.argmax(1) == labels).double().mean())

    wanted = scores(network, images)
    found = {"float": top1(wanted)}
    ways = {
        "pow2": (scheme("pow2", choices), "mse,weights"),
        "nothing": (scheme("pow2", choices), "mse"),
        "int8": (scheme("int8", choices), "mse,weights"),
    }
    for name, (numbers, rungs) in ways.items():
        ptq = method.part("ptq", {"rungs": rungs, "num_images": choices.num_images})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of few and of synthetic images
            quantized = xv.quantize(network, batches_of_it, scheme=numbers, method=ptq)
        given = scores(quantized, images)
        found[name] = found["float"] - top1(given)
        if name == "pow2":
            found["SQNR dB"] = decibels(float(wanted.double().square().sum()), squared_error(given, wanted))
    return found


def scheme(name: str, choices: Choices) -> QuantScheme:
    return Quant.model_validate({"scheme": {name: {"head_bits": choices.head_bits}}}).numbers()


def row(name: str, found: list[dict[str, float]]) -> dict[str, float | str]:
    """Means over seeds; of losses with the smallest and the largest one."""
    columns: dict[str, float | str] = {"choice": name, "seeds": len(found)}
    for key in found[0]:
        values = [one[key] for one in found]
        columns[key] = round(statistics.mean(values), 2)
        if key in ("pow2", "int8"):
            columns[f"{key} range"] = f"{min(values):.2f} to {max(values):.2f}"
    return columns


def kept(file: Path | None, commit: str) -> dict[str, dict[str, float]]:
    """What an earlier call of the same commit found, by choice and seed."""
    if file is None or not file.exists():
        return {}
    entries = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return {entry["key"]: entry["found"] for entry in entries if entry["commit"] == commit}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)} (else all)")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--images", type=int, default=20000, help="for training (20000)")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--record", type=Path, help="write a JSON file too, once every row is there")
    options = parser.parse_args()
    train_set, val = read("train", options.images), read("val", 5000)
    partial = options.record.with_suffix(".partial") if options.record else None
    commit = environment()["commit"]
    known = kept(partial, commit)
    trained: dict[tuple[Any, ...], nn.Module] = {}
    table = []
    for name in options.rows or ROWS:
        choices, found = ROWS[name], []
        for seed in range(options.seeds):
            key = f"{name} {seed}"
            if key not in known:
                began = time.process_time()
                decides = (seed, *(getattr(choices, one) for one in sorted(OF_TRAINING)))
                if decides not in trained:
                    trained[decides] = train(choices, *train_set, options.epochs, seed)
                known[key] = losses(trained[decides], choices, train_set, val)
                seconds = time.process_time() - began
                print(key, {k: round(v, 2) for k, v in known[key].items()}, f"{seconds:.0f} s", flush=True)
                if partial:
                    with partial.open("a", encoding="utf-8") as file:
                        file.write(json.dumps({"commit": commit, "key": key, "found": known[key]}) + "\n")
            found.append(known[key])
        table.append(row(name, found))
    for one in table:
        print("  ".join(f"{key} {value}" for key, value in one.items()))
    if options.record:
        measured(table).write(options.record)
        assert partial is not None
        partial.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
