"""The same files on several versions of ONNX Runtime: does every one of them give the same codes?

    python benchmarks/runtimes.py --record results/measured/runtimes.json      # four minutes on two cores
    python benchmarks/runtimes.py --versions 1.22.0 --folder environments      # kept for the next time

Each version is installed into an environment of its own, with NumPy alone. The networks are of every task, with random
weights: the arithmetic is what counts. In opset 21 heads have 16 bits, in 17 and 18, for older runtimes, 8.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import venv
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measurement import measured
from torch import Tensor, nn

import xvision as xv
from xvision.export.settings import RUNTIMES
from xvision.graph.planes import plane_names
from xvision.quant.methods import method
from xvision.quant.schemes import scheme

RUN = Path(__file__).with_name("run_onnx.py")
VERSIONS = ("1.15.1", "1.16.3", "1.18.1", "1.20.1", "1.22.0", "1.24.4", "1.26.0", "1.29.0", "newest")
SMALL = "net.decoder.width=0.25"
RECIPES: dict[str, tuple[str, ...]] = {
    "classification": ("classification", "net.backbone=timm:mobilenetv2_035", "data.size=64x64"),
    "squeeze-excite": ("classification", "net.backbone=timm:mobilenetv3_small_050", "data.size=64x64"),
    "segmentation": ("segmentation", "net.backbone=timm:mobilenetv2_035", "data.size=64x96", SMALL),
    "three tasks": ("street", "net.backbone=timm:regnetx_002", "data.size=64x96", SMALL),
}


@dataclass(frozen=True)
class File:
    """A file, and the opset that it is in."""

    path: Path
    opset: int


def with_statistics(model: nn.Module, planes: tuple[Tensor, ...]) -> nn.Module:
    """The model with batch norms that have seen the planes, in eval mode."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        model.train()(*planes)
    return model.eval()


def files(folder: Path) -> Iterator[File]:
    """Each network in each opset, with inputs and what the simulation makes of them beside it."""
    for name, words in RECIPES.items():
        recipe = xv.recipe(*words)
        model = xv.build(recipe)
        random = torch.Generator().manual_seed(0)
        planes = tuple(
            torch.randint(0, 256, plane.shape, dtype=torch.uint8, generator=random)
            for plane in model.inputs.example(model.size, batch=8)
        )
        with_statistics(model, planes)
        for opset in RUNTIMES:
            bits = scheme.pow2(head_bits=16 if opset >= 21 else 8)
            quantized = xv.quantize(model, [planes], scheme=bits, method=method.ptq(rungs="mse"))
            path = xv.export(quantized, folder / f"{name.replace(' ', '_')}_{opset}.onnx", opset=opset)
            with torch.no_grad():
                outputs = quantized(*planes)
            arrays = {f"in {n}": x.numpy() for n, x in zip(plane_names(model), planes, strict=True)}
            np.savez(
                path.with_suffix(".npz"), **arrays, **{f"out {n}": x.numpy() for n, x in outputs.items()}
            )
            yield File(path, opset)


def environment(version: str, folder: Path) -> Path:
    """The python of an environment with this version of ONNX Runtime, made if it is not there."""
    place = folder / f"onnxruntime-{version}"
    python = place / "bin/python"
    if not (place / "ready").exists():
        venv.create(place, with_pip=True, clear=True)
        wanted = "onnxruntime" if version == "newest" else f"onnxruntime=={version}"
        numpy = "numpy<2" if version_of(version) < (1, 19, 0) else "numpy"
        subprocess.run([python, "-m", "pip", "install", "-q", wanted, numpy], check=True, stderr=sys.stderr)
        (place / "ready").touch()
    return python


def version_of(text: str) -> tuple[int, ...]:
    return (999,) if text == "newest" else tuple(map(int, text.split(".")))


def rows(versions: tuple[str, ...], made: list[File], folder: Path) -> Iterator[dict[str, Any]]:
    for version in versions:
        python = environment(version, folder)
        for opset, oldest in RUNTIMES.items():
            if version_of(version) < version_of(oldest):
                continue
            paths = [str(file.path) for file in made if file.opset == opset]
            said = subprocess.run([python, str(RUN), *paths], check=True, capture_output=True, text=True)
            found = json.loads(said.stdout)
            levels = [level for levels in found["files"].values() for level in levels.values()]
            yield {
                "onnxruntime": found["version"],
                "opset": opset,
                "networks": len(paths),
                "levels": len(levels) // len(paths),
                "differ": sum(level > 0 for level in levels),
                "largest difference": max(levels),
            }


def main() -> None:
    warnings.simplefilter("ignore")  # of few images, and of noise
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--versions", nargs="*", default=VERSIONS, help=" ".join(VERSIONS))
    parser.add_argument("--folder", type=Path, help="where environments are kept (else nowhere)")
    parser.add_argument("--record", type=Path, help="write a JSON file too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        made = list(files(Path(temporary)))
        place = options.folder or Path(temporary)
        found = []
        for row in rows(tuple(options.versions), made, place):
            print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
            found.append(row)
    if options.record:
        measured(found).write(options.record)
    if any(row["differ"] for row in found):
        raise SystemExit("not every version gives the same")


if __name__ == "__main__":
    main()
