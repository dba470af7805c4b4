"""The file of each task, read by its metadata alone, gives the figures of the record."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import xvision as xv
from tests import exported_file
from tests.exported_file import Array, ExportedFile
from tests.pipeline.results import FILE, figures
from xvision.export.executors.onnxruntime import OnnxRuntime
from xvision.models.outputs import tensor_names
from xvision.recipes.schema import Recipe
from xvision.runs.build import complete
from xvision.runs.run import Run
from xvision.train.checkpoint import about

SMALL = (
    "data.num_train=2", "data.num_val=4", "data.size=64x96", "train.epochs=0", "train.batch_size=4",
    "train.workers=0", "train.threads=1", "quant.num_images=2", "quant.rungs=mse",
    "net.backbone=timm:resnet10t",
)  # fmt: skip
LITE = "net.decoder=lraspp_lite"
CASES: dict[str, tuple[str, ...]] = {
    "segmentation+depth+motion": (
        LITE, "net.inputs=image+flow+confidence", "net.pixels=nv12", "data.framing=letterbox",
        "data.scenes.size=176x240", "data.crop_rect=3,0,170,231",
    ),
    "classification": (
        "net.pixels=gray", "data.framing=crop", "data.crop_ratio=0.8", "data.num_val=24", "data.scenes.size=260x220",
    ),
}  # fmt: skip
FURTHER: dict[str, tuple[str, ...]] = {
    "segmentation with ids": (LITE, "net.pixels=bgr", "export.argmax=true", "data.framing=crop"),
    "segmentation with photographs": (LITE, "data.scenes.size=240x330", "data.framing=letterbox"),
    "depth": (LITE, "net.pixels=nv12", "net.yuv_range=full", "data.scenes.size=270x200", "data.framing=crop"),
    "motion with the previous frame": (LITE, "net.inputs=image+previous", "net.pixels=nv12"),
    "motion with flow": (LITE, "net.inputs=image+flow", "data.scenes.size=150x300", "data.framing=letterbox"),
    "motion with flow and confidence": (
        LITE, "net.inputs=image+flow+confidence", "data.scenes.size=100x160", "net.pixels=yuv444", "net.yuv_range=full",
    ),
}  # fmt: skip

pytestmark = pytest.mark.usefixtures("no_garbage_collection")


def write_weights(file: Path, recipe: Recipe) -> Path:
    """A network that nobody has trained, yet each of whose outputs differs from image to image, and place to place."""
    run = Run(file.parent / "nowhere", complete(recipe))
    model, planes = run.build(), next(run.planes("val"))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the mean over what it sees
    with torch.no_grad():
        model.train()(*planes)
        out = model.eval()(*planes)
        for key, decoder in model.decoders.items():
            names = tensor_names(model.outputs_of(key))
            std, mean = torch.std_mean(
                torch.cat([out[name] for name in names], dim=1).transpose(0, 1).flatten(1), 1
            )
            predicting: Any = decoder.prediction_layers
            layers = [layer for layer in predicting[names[0]] if hasattr(layer, "weight")]
            for layer in layers:
                layer.weight.div_(std.view(-1, *[1] * (layer.weight.ndim - 1)))
                layer.bias.div_(std)
            layers[-1].bias.sub_(mean / std)
    manifest = about(run.inputs, run.task.classes)
    save_file(model.state_dict(), file, metadata={"manifest": json.dumps(manifest)})
    return file


def top1(found: list[Array], labels: list[Array]) -> float:
    return 100 * float(np.mean([int(one) == int(label) for one, label in zip(found, labels, strict=True)]))


def ious(found: list[Array], labels: list[Array]) -> Array:
    """Of each class that occurs, in percent."""
    found, labels = (np.concatenate([one.ravel() for one in maps]) for maps in (found, labels))
    found, labels = found[labels != 255], labels[labels != 255]
    both = [((found == k) & (labels == k)).sum() / ((found == k) | (labels == k)).sum() for k in
            np.union1d(found, labels)]  # fmt: skip
    assert np.unique(found, return_counts=True)[1].max() < 0.8 * found.size, (
        "one class is right in any geometry"
    )
    return 100 * np.array(both)


def abs_rel(found: list[Array], labels: list[Array]) -> float:
    found, labels = (np.concatenate([one.ravel() for one in maps]) for maps in (found, labels))
    known = labels > 0
    return 100 * float(np.mean(np.abs(found - labels)[known] / labels[known]))


METRICS: dict[str, Any] = {
    "class": ("classification/top1", top1),
    "segmentation": ("segmentation/miou", lambda *both: float(ious(*both).mean())),
    "depth": ("depth/abs_rel", abs_rel),
    "motion": ("motion/moving_iou", lambda *both: float(ious(*both)[-1])),
}


@pytest.mark.parametrize("name", CASES)
def test_the_metadata_alone_leads_to_the_metric_of_the_record(name: str, tmp_path: Path) -> None:
    check(name, CASES[name], tmp_path)


@pytest.mark.parametrize("name", FURTHER)
def test_it_does_with_other_settings_too(name: str, tmp_path: Path) -> None:
    check(name, FURTHER[name], tmp_path)


def check(name: str, settings: tuple[str, ...], tmp_path: Path) -> None:
    words = [
        word for word in SMALL if word.partition("=")[0] not in {own.partition("=")[0] for own in settings}
    ]
    recipe = xv.recipe(name.partition(" with")[0], *words, *settings)
    weights = write_weights(tmp_path / "weights.safetensors", recipe)
    recipe = recipe.model_copy(update={"net": recipe.net.model_copy(update={"weights": str(weights)})})
    run = xv.run(recipe, tmp_path / "run", until="verify")
    path = run.folder / "export/int8/model.onnx"
    check_explained(OnnxRuntime(path).metadata)
    file = ExportedFile(path)
    frames = ("image", "previous") if run.inputs.fields != ("image",) else ("image",)
    found: dict[str, list[Array]] = {}
    labels: dict[str, list[Array]] = {}
    val = run.dataset.splits["val"]
    for i in range(len(val)):
        sample = val.load(i)
        for frame in frames:
            cv2.imwrite(str(tmp_path / f"{frame}.png"), sample[frame][..., ::-1])
        answer = file(*(cv2.imread(str(tmp_path / f"{frame}.png"))[..., ::-1].copy() for frame in frames))
        for output, values in answer.items():
            label, rect = sample[output], recipe.data.crop_rect
            if rect is not None:
                label = label[rect[0] : rect[2], rect[1] : rect[3]]
            assert values.shape == label.shape
            found.setdefault(output, []).append(values)
            labels.setdefault(output, []).append(label)
    measured = figures(run.record)[FILE]
    for output in found:
        metric, of = METRICS[output]
        assert of(found[output], labels[output]) == pytest.approx(measured[metric], abs=0.01)
        assert measured[metric] not in (0, 100)


def check_explained(metadata: Mapping[str, str]) -> None:
    """The page of files explains every key."""
    page = (Path(__file__).parents[2] / "docs/exported_file.md").read_text(encoding="utf-8")
    table = page.partition("| key | what it says |")[2].partition("## ")[0]
    told = {key for line in table.splitlines() for key in re.findall(r"`(\w+)`", line.partition(" | ")[0])}
    assert told == set(metadata)
    facts = [*json.loads(metadata["inputs"]), *json.loads(metadata["outputs"])]
    assert not {f"`{name}`" for one in facts for name in one if f"`{name}`" not in page}


def test_the_reader_knows_nothing_of_xvision() -> None:
    tree = ast.parse(Path(exported_file.__file__).read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported == {"__future__", "json", "math", "pathlib", "typing", "cv2", "numpy", "onnxruntime"}
