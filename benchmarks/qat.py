"""What a step of quantization-aware training costs beside one of the float network with its batch norms.

    python benchmarks/qat.py                                              # the whole table: about half an hour
    python benchmarks/qat.py --nets mobilenetv2_100 --shapes 64x64 --rounds 3 --eager     # a quick look
    python benchmarks/qat.py --record results/measured/qat.json

A step is the training loop's own, its batch in memory: forward, loss, backward, AdamW. All forms of a network take
turns, and the medians over the rounds are compared. `qat` learns weights and thresholds from labels; `qat, taught` is
`quant.method=qat` as it comes, with the float network as a teacher and a moving average.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from xvision.console import Console
from xvision.data.batches import Batch
from xvision.models.backbones import backbone
from xvision.models.build import build_model
from xvision.models.decoders import decoder
from xvision.models.model import Model
from xvision.models.settings import Net
from xvision.quant.aware import QuantizationAware
from xvision.quant.context import Context
from xvision.quant.learned import find_ranges
from xvision.quant.methods.ptq import ptq
from xvision.quant.schemes import scheme
from xvision.tasks.classification import Classification
from xvision.train.allocator import keep_memory
from xvision.train.distillation import Distilled
from xvision.train.learner import Learner
from xvision.train.optimizers import optimizer
from xvision.train.processes import Processes
from xvision.train.settings import Train

NUM_CLASSES = 10
TASK = Classification(tuple(f"class {i}" for i in range(NUM_CLASSES)), 0.0)
NETS = ("mobilenetv2_100", "regnetx_004")
SHAPES = ("64x64", "224x16")
"""Side of the images in px, and images in a batch."""
STEPS = 10**6  # of the training that the timed ones are from: it does not end
SETTINGS = Train(optimizer=optimizer.adamw(lr=1e-5), precision="fp32")


def make_batch(size: int, count: int) -> Batch:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, size, size, 3), generator=generator, dtype=torch.uint8)
    return {
        "image": images.permute(0, 3, 1, 2),
        "class": torch.randint(0, NUM_CLASSES, (count,), generator=generator),
        "name": [f"image {i}" for i in range(count)],
    }


def make_network(name: str, size: int, batch: Batch) -> Model:
    """Random weights, and batch norms that have seen images, so that its activations are as large as trained ones."""
    torch.manual_seed(0)
    settings = Net(backbone=backbone.timm(model=name), decoder=decoder.classifier())
    model = build_model(settings, TASK.outputs_by_task, (size, size))
    with torch.no_grad():
        for _ in range(20):
            model.train()(*model.inputs.encode(batch))
    return model.eval()


def make_steps(
    name: str, size: int, batch: Batch, options: argparse.Namespace
) -> dict[str, Callable[[], None]]:
    """A step of each form of a network."""
    model = make_network(name, size, batch)
    planes = tuple(plane[:8] for plane in model.inputs.encode(batch))
    with warnings.catch_warnings(action="ignore"):  # of few images: ranges change no time
        quantized = ptq(Context(model, scheme.pow2().build(), lambda: [planes]), rungs="mse", num_images=8)

    def learner(form: str, **changes: Any) -> Learner:
        settings = SETTINGS.model_copy(
            update={"threads": options.threads, "compile": form.endswith("compiled"), **changes}
        )
        common = settings, 0, Console(quiet=True), Processes()
        if form.startswith("float"):
            return Learner(make_network(name, size, batch), TASK, *common)
        graph = copy.deepcopy(quantized)
        find_ranges(graph, "learned")
        taught = form.endswith("taught")
        task = Distilled(TASK, make_network(name, size, batch), model.inputs, 0.9) if taught else TASK
        return Learner(graph, task, *common, model.inputs, QuantizationAware(1000.0, 1.0))

    forms = ["float", "qat", "qat, taught"] + ([] if options.eager else ["float, compiled", "qat, compiled"])
    learners = {form: learner(form, ema=0.999 if form == "qat, taught" else 0.0) for form in forms}

    def step(of: Learner) -> Callable[[], None]:
        of.learn()

        def one() -> None:
            of.update([batch], 0, STEPS, 1e-5)

        return one

    return {form: step(of) for form, of in learners.items()}


def timed(step: Callable[[], None], count: int = 1) -> float:
    """Seconds of a step."""
    started = time.perf_counter()
    for _ in range(count):
        step()
    return (time.perf_counter() - started) / count


def measure(name: str, shape: str, options: argparse.Namespace) -> list[dict[str, float | str]]:
    size, count = map(int, shape.split("x"))
    steps = make_steps(name, size, make_batch(size, count), options)
    first = {form: timed(step) for form, step in steps.items()}
    for step in steps.values():
        step()
    found: dict[str, list[float]] = {form: [] for form in steps}
    for _ in range(options.rounds):
        for form, step in steps.items():
            found[form].append(timed(step, options.steps))
    medians = {form: statistics.median(seconds) for form, seconds in found.items()}
    return [
        {
            "network": name,
            "size_px": float(size),
            "batch": float(count),
            "form": form,
            "ms": round(1000 * median, 1),
            "best_ms": round(1000 * min(found[form]), 1),
            "times_float": round(median / medians["float, compiled" if "compiled" in form else "float"], 3),
            "first_step_s": round(first[form], 1),
        }
        for form, median in medians.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--nets", nargs="+", default=NETS)
    parser.add_argument("--shapes", nargs="+", default=SHAPES, help="SIDExBATCH")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3, help="of a round")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--eager", action="store_true", help="leave out what is compiled")
    parser.add_argument("--record", type=Path, help="write a JSON file too")
    options = parser.parse_args()
    keep_memory()
    torch.set_num_threads(options.threads)
    rows: list[dict[str, float | str]] = []
    for name in options.nets:
        for shape in options.shapes:
            found = measure(name, shape, options)
            rows += found
            for row in found:
                print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    if options.record:
        from measurement import measured

        measured(rows).write(options.record)


if __name__ == "__main__":
    main()
