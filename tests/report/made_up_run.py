"""A small made-up run folder, whole or without the later files."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from xvision.runs.record import Record

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
RECIPE: dict[str, Any] = {
    "name": "cifar10_classification",
    "data": {"dataset": {"cifar10": {"root": "cifar10"}}, "size": "32x32", "crop_ratio": 1.0},
    "net": {
        "backbone": {"timm": {"model": "regnetx_004", "strides": [1, 1, 1, 2, 2]}},
        "decoder": "classifier",
        "pixels": "rgb",
    },
    "task": {"classification": {"num_classes": 0, "label_smoothing": 0.1}},
    "train": {"epochs": 24, "batch_size": 128},
    "quant": {"scheme": {"pow2": {"head_bits": 8}}, "method": "ptq"},
    "seed": 1,
}


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def make_record(seed: int = 1, top1: float = 87.31, **changes: Any) -> Record:
    """A record as `run` would write it."""
    fields: dict[str, Any] = {
        "name": "cifar10_classification",
        "recipe": RECIPE | {"seed": seed},
        "recipe_id": "0123456789ab",
        "source": "He et al. 2015, arXiv 1512.03385",
        "expect": {"classification/top1": 87.0},
        "seed": seed,
        "started": "2026-01-31T08:15:00+00:00",
        "stages": {
            name: {
                "started": "2026-01-31T08:15:00+00:00",
                "commit": "4f53b3d",
                "dirty": False,
                "wall_s": s,
                "cpu_s": s,
            }
            for name, s in (
                ("train", 1104.2),
                ("quantize int8", 14.2),
                ("export int8", 3.1),
                ("verify int8", 4.25),
            )
        },
        "data": {
            "train": {"num_samples": 50000, "sha256": sha256("train")},
            "val": {"num_samples": 10000, "sha256": sha256("val")},
        },
        "classes": {"class": CLASSES},
        "cost": {"macs": 38_412_544, "params": 472_474, "size": "32x32"},
        "primary": "classification/top1",
        "metrics": make_rows(top1),
        "parity": [make_parity()],
        "artefacts": {"export/int8/model.onnx": {"sha256": sha256("onnx"), "bytes": 4}},
        "commit": "4f53b3d",
        "dirty": False,
        "versions": {"python": "3.12.1", "torch": "2.14.1", "onnxruntime": "1.27.0", "xvision": "0.1.0"},
        "machine": {"processor": "Some CPU @ 2.1 GHz", "cores": 2, "threads": 2},
    }
    return Record.model_validate(fields | changes)


COLUMNS = (("float", "pytorch"), ("int8", "simulation"), ("int8", "onnxruntime"))


def make_rows(top1: float = 87.31, columns: Sequence[tuple[str, str]] = COLUMNS) -> list[dict[str, Any]]:
    """Rows of measurements; the first column is a tenth better than the others."""
    rows = []
    for i, (network, executor) in enumerate(columns):
        reached = top1 - 0.1 * min(i, 1)
        figures = {"top1": reached, "mean_class_accuracy": reached, "f1": reached - 0.05, "top5": 99.41}
        rows += [
            {"network": network, "executor": executor, "split": "val", "metric": f"classification/{name}",
             "value": value if math.isfinite(value) else None, "unit": "%"}
            for name, value in figures.items()
        ]  # fmt: skip
    return rows


def make_parity(lsb: int = 0, first_difference: str | None = None, **changes: Any) -> dict[str, Any]:
    """What `verify` found of one file."""
    level = {"max_lsb": lsb, "agreement": 1.0}
    return {
        "network": "int8",
        "reference": "simulation",
        "executor": "onnxruntime",
        "file": "export/int8/model.onnx",
        "ok": lsb == 0,
        "max_lsb": lsb,
        "agreement": 1.0,
        "levels": {name: level | {"tensors": 57 if name == "off" else 1} for name in ("off", "basic", "all")},
        "first_difference": first_difference,
        "images": 256,
    } | changes


def make_run(folder: Path, *, until: str = "report", recipe: dict[str, Any] = RECIPE) -> Path:
    """The files that a run has left after the stage `until`: nothing | train | report."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    if until == "nothing":
        return folder
    _write_metrics(folder / "metrics.jsonl")
    (folder / "checkpoints").mkdir()
    _write_json(folder / "checkpoints/best.json", {"step": 476, "metrics": {}, "ema": 0.0})
    _write_json(folder / "evaluation.json", make_evaluation(CLASSES, COLUMNS[: 1 if until == "train" else 3]))
    if until == "train":
        return folder
    _write_json(folder / "cost.json", make_layers())
    _write_samples(folder / "samples")
    (folder / "export/int8").mkdir(parents=True)
    (folder / "export/int8/model.onnx").write_text("onnx")
    make_record().write(folder / "record.json")
    return folder


def make_evaluation(
    classes: list[str], columns: Sequence[tuple[str, str]] = COLUMNS, share: float = 0.87
) -> dict[str, Any]:
    """Metrics, and confusion matrices with the given share on their diagonal."""
    rng = np.random.default_rng(0)
    confusions = []
    for network, executor in columns:
        others = rng.dirichlet(np.full(len(classes) - 1, 0.4), len(classes)) * (1 - share)
        table = np.array([np.insert(row, i, share) for i, row in enumerate(others)])
        confusions.append(
            {"network": network, "executor": executor, "split": "val", "field": "class",
             "table": np.rint(table * 1000).astype(int).tolist()}
        )  # fmt: skip
    rows = make_rows(100 * share, columns)
    return {"classes": {"class": classes}, "measurements": rows, "confusions": confusions}


def make_layers() -> list[dict[str, Any]]:
    channels = [16] * 7 + [32] * 6 + [64] * 6
    layers = []
    for i, c in enumerate(channels):
        side, before = 32 * 16 // c, channels[i - 1] if i else 3
        macs, params = 9 * before * c * side * side, 9 * before * c
        layers.append(
            {
                "name": f"block{i}.conv",
                "type": "Conv2d",
                "output": [c, side, side],
                "macs": macs,
                "params": params,
            }
        )
        layers.append(
            {"name": f"block{i}.relu", "type": "ReLU", "output": [c, side, side], "macs": 0, "params": 0}
        )
    return layers


def _write_metrics(file: Path) -> None:
    rng = np.random.default_rng(0)
    with file.open("w") as f:
        for step in range(0, 960, 4):
            lr = 0.2 * (1 + math.cos(math.pi * step / 960))
            loss = 0.6 + 1.8 * math.exp(-step / 250) + rng.normal() * 0.06
            terms = {"classification/cross_entropy": loss}
            row = {"step": step, "epoch": step // 40, "lr": lr, "loss": loss, "terms": terms}
            f.write(json.dumps(row) + "\n")
            if step % 40 == 36:
                top1 = 87.5 - 60 * math.exp(-(step + 20) / 200) + rng.normal() * 0.5
                metrics = {"classification/top1": top1, "classification/f1": top1 - 0.05}
                f.write(json.dumps({"step": step, "epoch": step // 40, "val": metrics}) + "\n")


def _write_samples(folder: Path) -> None:
    folder.mkdir()
    rng, rows = np.random.default_rng(0), []
    for i in range(12):
        label, guess = CLASSES[i % 10], CLASSES[(i + 1) % 10 if i in (4, 9) else i % 10]
        picture = cv2.resize(
            rng.integers(0, 256, (4, 4, 3), np.uint8), (32, 32), interpolation=cv2.INTER_CUBIC
        )
        cv2.imwrite(str(folder / f"sample_{i:02}.png"), picture)
        rows.append(
            {
                "image": f"sample_{i:02}.png",
                "label": label,
                "found": {"float": f"{label} 0.9{i % 10}", "int8": f"{guess} 0.9{i % 10}"},
                "correct": guess == label,
            }
        )
    _write_json(folder / "samples.json", rows)


def _write_json(file: Path, plain: Any) -> None:
    file.write_text(json.dumps(plain))
