"""EfficientNet-Lite0 with published weights: what each number format and each way to find ranges keeps of it.

    python benchmarks/imagenet_folds.py --record results/measured/imagenet_folds.json        # hours of one core
    python benchmarks/imagenet_folds.py pow2 int8 --folds 1                                  # these schemes, one fold
    python benchmarks/imagenet_folds.py --only onnxruntime torchao --folds 1                 # the peers

On the 500 images of imagenet_samples in $XVISION_DATA (one for each of 500 classes), in five folds: calibrated on the
100 of a fold, measured on the other 400. Columns, means over folds:

top-1        %; its loss against the float network in points, with a 95 % bootstrap interval over images, paired
agreement    % of images with the class that the float network gives
SQNR dB      of the scores, against those of the float network
seconds      to quantize, once for each fold

Each row is a scheme and a method: the ladder's rungs, then distillation on the calibration images without labels. The
peers are ONNX Runtime's static quantization and torchao's PT2E (left out where torchao is not installed), on the same
network and folds. Rows are kept beside the record until it is whole.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measurement import measured
from torch import Tensor, nn

import xvision as xv
from xvision.quant import methods, schemes
from xvision.quant.ops import decibels, squared_error
from xvision.runs.environment import environment
from xvision.runs.run import Run

FOLDS = 5
BATCH = 20
LADDER = (
    "mse",
    "minmax",
    "percentile",
    "output",
    "mse,bias",
    "mse,weights",
    "mse,equalize,weights",
    "mse,weights,tqt",
)
"""Rungs of the two main schemes, on all folds."""
OTHERS = ("mse,weights",)
"""Of the other schemes, on one fold."""
MAIN = ("pow2", "int8")
Network = Callable[[Tensor], Tensor]
"""Pixels to scores."""


@dataclass(frozen=True)
class Row:
    """One way to quantize: a name for the table, and what makes a network of calibration batches."""

    scheme: str
    method: str
    quantize: Callable[[list[Tensor]], Network]
    folds: int


@dataclass(frozen=True)
class Samples:
    """All images as the network takes them, their classes, and the float network with its scores."""

    images: Tensor
    labels: Tensor
    network: nn.Module

    @classmethod
    def read(cls) -> Samples:
        root = Path(os.environ.get("XVISION_DATA", "."), "imagenet_samples/val").resolve()
        if not root.is_dir():
            raise SystemExit(
                f"expected imagenet_samples in {root}; set XVISION_DATA to the folder that holds it"
            )
        settings = (f"data.root={root}", "data.val_ratio=0.8", "data.classes=class_index.json")
        run = Run("unused", xv.recipe("imagenet_classification", *settings))
        batches = [batch for split in ("train", "val") for batch in run.loader(split).epoch(0)]
        images = torch.cat([run.inputs.encode(batch)[0] for batch in batches])
        labels = torch.cat([batch["class"] for batch in batches])
        return cls(images, labels, run.build().eval())

    @cached_property
    def float_scores(self) -> Tensor:
        return scores(self.network_as_function, self.images)

    def network_as_function(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            (found,) = self.network(images).values()
        return found

    def fold(self, number: int) -> Tensor:
        """Which images the ranges are found on."""
        return torch.arange(len(self.images)) % FOLDS == number


def scores(network: Network, images: Tensor) -> Tensor:
    return torch.cat([network(some) for some in images.split(BATCH)])


def ours(samples: Samples, scheme: str, rungs: str) -> Callable[[list[Tensor]], Network]:
    built = methods.method.part("ptq", {"rungs": rungs})

    def quantize(batches: list[Tensor]) -> Network:
        quantized = xv.quantize(samples.network, batches, scheme=scheme, method=built)

        def run(images: Tensor) -> Tensor:
            with torch.no_grad():
                (found,) = quantized(images).values()
            return found

        return run

    return quantize


def onnxruntime_static(samples: Samples, *, per_channel: bool) -> Callable[[list[Tensor]], Network]:
    """ONNX Runtime's own static quantization, of the float file."""
    import onnxruntime
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self, name: str, batches: list[Tensor]) -> None:
            self.rest = iter([{name: batch.numpy()} for batch in batches])

        def get_next(self) -> dict[str, Any] | None:
            return next(self.rest, None)

    def quantize(batches: list[Tensor]) -> Network:
        with tempfile.TemporaryDirectory() as folder:
            floats = xv.export(samples.network, Path(folder, "float.onnx"), batches)
            ready, made = Path(folder, "ready.onnx"), Path(folder, "int8.onnx")
            quant_pre_process(floats, ready, skip_symbolic_shape=True)
            name = onnxruntime.InferenceSession(ready).get_inputs()[0].name
            kinds = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
            quantize_static(
                ready, made, Reader(name, batches), QuantFormat.QDQ, per_channel=per_channel, **kinds
            )
            session = onnxruntime.InferenceSession(made.read_bytes())
        return lambda images: torch.from_numpy(session.run(None, {name: images.numpy()})[0])

    return quantize


def torchao_pt2e(samples: Samples) -> Callable[[list[Tensor]], Network]:
    """torchao's PT2E with its quantizer for x86: scales per channel, activations with a zero point."""
    import torchao.quantization.pt2e.quantizer.x86_inductor_quantizer as x86
    from torchao.quantization.pt2e import move_exported_model_to_eval
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    def quantize(batches: list[Tensor]) -> Network:
        dynamic = ({0: torch.export.Dim("batch")},)
        with torch.no_grad():
            exported = torch.export.export(samples.network, (batches[0],), dynamic_shapes=dynamic).module()
            quantizer = x86.X86InductorQuantizer()
            quantizer.set_global(x86.get_default_x86_inductor_quantization_config())
            prepared = prepare_pt2e(exported, quantizer)
            for batch in batches:
                prepared(batch)
            made = move_exported_model_to_eval(convert_pt2e(prepared))

        def run(images: Tensor) -> Tensor:
            with torch.no_grad():
                (found,) = made(images).values()
            return found

        return run

    return quantize


def rows(samples: Samples, chosen: Sequence[str], only: Sequence[str], folds: int) -> Iterator[Row]:
    for name in schemes.scheme.builders():
        main = name in MAIN
        if (chosen and name not in chosen) or only:
            continue
        for rungs in LADDER if main else OTHERS:
            yield Row(name, rungs, ours(samples, name, rungs), folds if main else 1)
    if chosen and not only:
        return
    if not only or "onnxruntime" in only:
        for per_channel in (False, True):
            kind = "per channel" if per_channel else "per tensor"
            yield Row("onnxruntime", kind, onnxruntime_static(samples, per_channel=per_channel), folds)
    if importlib.util.find_spec("torchao") is not None and (not only or "torchao" in only):
        yield Row("torchao PT2E", "per channel", torchao_pt2e(samples), folds)


def measured_row(one: Row, samples: Samples) -> dict[str, float | str]:
    """What one way keeps, over its folds."""
    right: list[Tensor] = []
    right_in_float: list[Tensor] = []
    agreement, sqnr, seconds = [], [], []
    for number in range(one.folds):
        held = samples.fold(number)
        began = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network = one.quantize(list(samples.images[held].split(BATCH)))
        seconds.append(time.process_time() - began)
        found, wanted = scores(network, samples.images[~held]), samples.float_scores[~held]
        labels = samples.labels[~held]
        right.append((found.argmax(1) == labels).double())
        right_in_float.append((wanted.argmax(1) == labels).double())
        agreement.append(100 * float((found.argmax(1) == wanted.argmax(1)).double().mean()))
        sqnr.append(decibels(float(wanted.double().square().sum()), squared_error(found, wanted)))
    losses = 100 * (torch.cat(right_in_float) - torch.cat(right)).numpy()
    low, high = interval(losses)
    return {
        "scheme": one.scheme,
        "method": one.method,
        "folds": one.folds,
        "top-1": round(100 * float(torch.cat(right).mean()), 2),
        "loss": round(float(losses.mean()), 2),
        "loss 95 %": f"{low:.2f}-{high:.2f}",
        "agreement": round(statistics.mean(agreement), 2),
        "SQNR dB": round(statistics.mean(sqnr), 1),
        "seconds": round(statistics.mean(seconds), 1),
    }


def interval(losses: np.ndarray[Any, Any]) -> tuple[float, float]:
    """The 95 % bootstrap interval of a mean."""
    drawn = np.random.default_rng(0).integers(0, len(losses), (2000, len(losses)))
    low, high = np.percentile(losses[drawn].mean(axis=1), (2.5, 97.5))
    return float(low), float(high)


def kept(file: Path | None, commit: str) -> list[dict[str, Any]]:
    """Rows of an earlier call, of the same commit."""
    if file is None or not file.exists():
        return []
    entries = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [entry["row"] for entry in entries if entry["commit"] == commit]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("schemes", nargs="*", metavar="SCHEME", help="schemes (else all, and the peers)")
    parser.add_argument(
        "--only", nargs="*", default=(), choices=("onnxruntime", "torchao"), help="peers alone"
    )
    parser.add_argument("--folds", type=int, default=FOLDS, help=f"of the main schemes ({FOLDS})")
    parser.add_argument("--record", type=Path, help="write a JSON file too, once every row is there")
    options = parser.parse_args()
    samples = Samples.read()
    partial = options.record.with_suffix(".partial") if options.record else None
    commit = environment()["commit"]
    found = kept(partial, commit)
    done = {(one["scheme"], one["method"]) for one in found}
    for one in rows(samples, options.schemes, options.only, options.folds):
        if (one.scheme, one.method) in done:
            continue
        row = measured_row(one, samples)
        print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
        found.append(row)
        if partial:
            with partial.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"commit": commit, "row": row}) + "\n")
    if options.record:
        measured(found).write(options.record)
        assert partial is not None
        partial.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
