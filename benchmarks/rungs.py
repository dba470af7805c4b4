"""What each rung of post-training quantization gives and costs, alone and after others, for each scheme.

    python benchmarks/rungs.py --record results/measured/rungs.json
    python benchmarks/rungs.py --quick --schemes pow2 --rungs mse mse,weights

EfficientNet-Lite0 with packaged ImageNet weights on the 500 `imagenet_samples` in $XVISION_DATA: each fold calibrates
on 100 of them and is measured on the others (--quick: one fold, 100 images to measure on). A row is a list of rungs:
noise of the class scores, answers equal to the float network's, top-1 and how far that is behind in float with its
standard error (of the mean over images, each with what all folds that measure it say), seconds on the clock of all its
rungs.
"""

from __future__ import annotations

import argparse
import copy
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from measurement import measured
from torch import Tensor, fx

import xvision as xv
from xvision.config.parts import part_of
from xvision.data.concat import open_data
from xvision.models.model import Model
from xvision.quant.context import Context
from xvision.quant.drop import standard_error
from xvision.quant.ladder import Ladder
from xvision.quant.methods.ptq import in_order
from xvision.quant.ops import decibels, squared_error
from xvision.quant.quality import RungQuality
from xvision.quant.schemes import scheme
from xvision.runs.build import build, complete, make_loader, open_split
from xvision.tasks.multi import build_task

NUM_FOLDS = 5
BATCH = 25
SCHEMES = ("pow2", "pow2:channel")
RUNGS = (
    "minmax",
    "percentile",
    "mse",
    "mse,output",
    "mse,equalize",
    "mse,split_channels",
    "mse,bias",
    "mse,weights",
    "mse,adaround",
    "mse,tqt",
    "mse,equalize,weights",
    "mse,weights,output",
    "mse,weights,adaround",
    "mse,weights,tqt",
)


@dataclass
class Answers:
    """Class scores of images, and the ids of their labels."""

    scores: Tensor
    labels: Tensor

    @property
    def found(self) -> Tensor:
        return self.scores.argmax(1)

    @property
    def right(self) -> Tensor:
        return (self.found == self.labels).double()


@dataclass
class Row:
    """One list of rungs with one scheme, over all folds."""

    db: list[float] = field(default_factory=list)
    agreement: list[float] = field(default_factory=list)
    behind: dict[int, list[float]] = field(default_factory=dict)
    """By image: what the float network has right and this one not."""
    right: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    kept: list[bool] = field(default_factory=list)

    def plain(self) -> dict[str, float | str]:
        def mean(values: Sequence[float]) -> float:
            return sum(values) / len(values)

        lost = [mean(values) for values in self.behind.values()]
        return {
            "folds": len(self.db),
            "kept": sum(self.kept),
            "SQNR dB": round(mean(self.db), 2),
            "agreement %": round(100 * mean(self.agreement), 2),
            "top-1 %": round(100 * mean(self.right), 2),
            "points lost": round(100 * mean(lost), 2),
            "standard error": round(100 * (standard_error(lost) or 0.0), 2),
            "seconds": round(mean(self.seconds), 1),
        }


def network_and_images() -> tuple[Model, Tensor, Tensor]:
    """The trained network, all images as it takes them, and their labels."""
    recipe = complete(
        xv.recipe("imagenet_classification", "data.root=imagenet_samples", "data.classes=class_index.json")
    )
    dataset = open_data(recipe.data)
    task = build_task(recipe.task, dataset.classes)
    loader = make_loader(recipe, task, open_split(recipe, task, dataset, "val"))
    batches = list(loader.epoch(0))
    images = torch.cat([recipe.net.takes.encode(batch)[0] for batch in batches])
    return build(recipe).eval(), images, torch.cat([batch["class"] for batch in batches])


@torch.no_grad()
def scores(network: fx.GraphModule | Model, images: Tensor) -> Tensor:
    return torch.cat([network(some)["class"] for some in images.split(BATCH)])


class Fold:
    """Ladders that were calibrated on the same images; what begins alike is climbed once."""

    def __init__(self, network: Model, chosen: str, images: Tensor) -> None:
        numbers = part_of(scheme).parse(chosen).build()
        self.context = Context(network, numbers, lambda: ((some,) for some in images.split(BATCH)))
        self.num_images = len(images)
        self.climbed: dict[tuple[str, ...], Ladder] = {}

    def ladder(self, texts: tuple[str, ...]) -> Ladder:
        if texts not in self.climbed:
            ladder = self.begun(texts[:-1])
            (part,) = in_order(texts[-1])
            ladder.climb(part)
            self.climbed[texts] = ladder
        return self.climbed[texts]

    def begun(self, texts: tuple[str, ...]) -> Ladder:
        """A ladder to be climbed further."""
        if not texts:
            return Ladder(self.context, self.num_images)
        ladder = copy.copy(self.ladder(texts))
        ladder.rungs = list(ladder.rungs)
        return ladder


def rows(schemes: Sequence[str], ladders: Sequence[str], *, quick: bool) -> Iterator[dict[str, float | str]]:
    network, images, labels = network_and_images()
    reference = scores(network, images)
    numbers = torch.arange(len(images))
    for chosen in schemes:
        found = {text: Row() for text in ladders}
        for k in range(1 if quick else NUM_FOLDS):
            fold = Fold(network, chosen, images[numbers % NUM_FOLDS == k])
            others = numbers[numbers % NUM_FOLDS != k]
            others = others[::4] if quick else others
            for text in ladders:
                ladder = fold.ladder(tuple(text.split(",")))
                graph = ladder.graph.eval()
                note(found[text], ladder.rungs, others, Answers(scores(graph, images[others]), labels[others]),
                     Answers(reference[others], labels[others]))  # fmt: skip
                print(f"{chosen} fold {k} {text}: {Row.plain(found[text])}", flush=True)
        for text, row in found.items():
            yield {"scheme": chosen, "rungs": text, **row.plain()}


def note(row: Row, rungs: Sequence[RungQuality], numbers: Tensor, ours: Answers, in_float: Answers) -> None:
    signal = float(in_float.scores.double().square().sum())
    row.db.append(decibels(signal, squared_error(ours.scores, in_float.scores)))
    row.agreement.append(float((ours.found == in_float.found).double().mean()))
    row.right.append(float(ours.right.mean()))
    for number, lost in zip(numbers.tolist(), (in_float.right - ours.right).tolist(), strict=True):
        row.behind.setdefault(number, []).append(lost)
    row.seconds.append(sum(one.seconds for one in rungs))
    row.kept.append(rungs[-1].kept)


def main() -> None:
    warnings.simplefilter("ignore")  # of noise
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--schemes", nargs="*", default=SCHEMES, help=" ".join(SCHEMES))
    parser.add_argument("--rungs", nargs="*", default=RUNGS, metavar="RUNG,…", help=" ".join(RUNGS))
    parser.add_argument("--quick", action="store_true", help="one fold, 100 images to measure on")
    parser.add_argument("--record", type=Path, help="write a JSON file too")
    options = parser.parse_args()
    for text in options.rungs:
        in_order(text)  # a wrong name is told before anything is computed
    found = []
    for one in rows(options.schemes, options.rungs, quick=options.quick):
        print("  ".join(f"{key} {value}" for key, value in one.items()), flush=True)
        found.append(one)
    if options.record:
        measured(found).write(options.record)


if __name__ == "__main__":
    main()
