"""Quantization-aware training from end to end: its result is what it measured, and better than what it began with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import nn

import xvision as xv
from tests.quant.few_bits import few_bits
from tests.quant.free_scales import free_scales
from tests.quant.tiny_context import tiny_context
from tests.train.tiny import TinyNet, places, tiny_loader, tiny_task
from tests.train.tiny_maps import TinyMaps, loader, several
from xvision.config.parts import Part
from xvision.console import Console
from xvision.quant.context import Context
from xvision.quant.methods import method
from xvision.quant.quantize import quantize_with
from xvision.quant.state import load, save
from xvision.train.checkpoint import read_tensors
from xvision.train.evaluation import evaluate
from xvision.train.loop import train
from xvision.train.settings import Train

QUIET = Console(quiet=True)
RANGES = {"ptq": {"rungs": "mse"}}
FLOAT = Train(epochs=8, optimizer="sgd:0.05", threads=1)


def qat(**settings: Any) -> Part:
    return method.part("qat", {"epochs": 2, **settings})


def measured(q: nn.Module, context: Context) -> Mapping[str, float]:
    task, _, val = context.labelled()
    return evaluate(q, task, val, inputs=cast(Any, context.network).inputs).metrics


def fresh(folder: Path, context: Context) -> Context:
    return replace(context, folder=folder)


@pytest.mark.parametrize("thresholds", ["learned", "statistics", "fixed"])
def test_what_is_trained_is_what_is_saved_and_what_the_runtime_computes(
    thresholds: str, tmp_path: Path
) -> None:
    context = tiny_context(tmp_path)
    q = quantize_with(context, qat(thresholds=thresholds, lr=1e-3, threshold_lr=0.1, ema=0.5))
    (images,) = next(iter(context.calibration()))
    with torch.no_grad():
        wanted = q(images)["class"]
        assert torch.equal(load(save(q, tmp_path / "q.safetensors"))(images)["class"], wanted)
    file = xv.export(q, tmp_path / "q.onnx")
    assert xv.verify(q, file, [images]).max_lsb == 0
    _, manifest = read_tensors(tmp_path / "checkpoints/best.safetensors")
    assert measured(q, context) == pytest.approx(manifest["metrics"])
    shifts = q.meta["threshold_shifts"]
    assert "conv1" in shifts
    assert all(shift == round(shift) for shift in shifts.values())
    assert thresholds != "fixed" or set(shifts.values()) == {0.0}


def test_free_scales_are_learned_too(tmp_path: Path) -> None:
    context = replace(tiny_context(tmp_path), scheme=free_scales())
    started = method.part("ptq").build(context)
    q = quantize_with(context, qat(lr=1e-3, threshold_lr=0.1))
    before, after = started.state_dict(), q.state_dict()
    moved = [
        float(after[key] / before[key]) for key in before if key.endswith(".scale") and "pixels" not in key
    ]
    assert all(0.5 < ratio < 2 for ratio in moved)
    assert len({*moved, 1.0}) == len(moved) + 1
    scales = ("conv1.weight_scale", "quantizers.head.scale")
    shifts = [float((after[key] / before[key]).log2().mean()) for key in scales]
    assert [q.meta["threshold_shifts"][name] for name in ("conv1", "head")] == pytest.approx(shifts, abs=1e-4)
    assert all(torch.equal(after[key], before[key]) for key in before if key.endswith("zero_point"))


def trained_context(folder: Path) -> Context:
    """The tiny network when it has learned its task, to be had in two bits."""
    context = tiny_context(folder / "quant")
    network = TinyNet()
    train(
        network, tiny_task(), tiny_loader(), tiny_loader(13, train=False), FLOAT, places(folder / "float"), seed=0,
        console=QUIET,
    )  # fmt: skip
    few = few_bits(weights=2, activations=2)
    return replace(
        context, network=network.eval(), scheme=few, val_loader=lambda: tiny_loader(150, 50, train=False)
    )


@pytest.mark.parametrize("distill", [0.0, 1.0])
def test_training_wins_back_what_rounding_loses(distill: float, tmp_path: Path) -> None:
    context = trained_context(tmp_path)
    top1 = "classification/top1"
    exact = measured(context.network, context)[top1]
    rounded = measured(method.part("ptq", RANGES["ptq"]).build(context), context)[top1]
    learned = measured(
        quantize_with(context, qat(epochs=16, lr=3e-3, distill=distill, ema=0.0, start=RANGES)), context
    )[top1]
    assert rounded < 0.6 * exact
    assert learned > 0.8 * exact


def test_several_tasks_learn_from_one_teacher(tmp_path: Path) -> None:
    network = TinyMaps()
    train(
        network, several(), loader("both"), loader("both", train=False), FLOAT.model_copy(update={"epochs": 40}),
        places(tmp_path / "float"), seed=0, console=QUIET,
    )  # fmt: skip
    inputs = network.inputs
    context = Context(
        network.eval(),
        few_bits(weights=2),
        lambda: (
            inputs.encode(batch) for _ in range(3) for batch in loader(batch_size=12, train=False).epoch(0)
        ),
        task=several(),
        train_loader=lambda size: loader(batch_size=size or 4),
        val_loader=lambda: loader(train=False),
        train=Train(threads=1, log_every=1, balancing="gradnorm"),
        folder=tmp_path / "quant",
    )
    q = quantize_with(context, qat(epochs=20, lr=3e-3, batch_size=6, distill=1.0, start=RANGES))
    assert q.meta["quality"].heads_db.keys() == {"segmentation", "depth"}
    lines = [json.loads(line) for line in (tmp_path / "quant/metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 40, "batches of six"
    steps = [line["terms"] for line in lines if "terms" in line]
    assert {term for terms in steps for term in terms} >= {"depth/silog", "depth/distillation"}
    for term in ("segmentation/distillation", "depth/distillation"):
        first, last = (sum(terms[term] for terms in some) for some in (steps[:10], steps[-10:]))
        assert last < 0.7 * first, term


def test_a_method_that_has_quantized_already_is_where_it_starts(tmp_path: Path) -> None:
    context = trained_context(tmp_path)
    first = method.part("qat", {"epochs": 1, "start": {"ptq": {"rungs": "mse"}}})
    assert first.value("start").settings["rungs"] == ["mse"]
    with pytest.raises(ValueError, match="no method is called 'pt'; did you mean 'ptq'"):
        method.part("qat", {"start": "pt"})
    one = first.build(fresh(tmp_path / "one", context)).state_dict()
    two = qat(epochs=1).build(fresh(tmp_path / "two", context)).state_dict()
    assert not all(torch.equal(one[key], two[key]) for key in one)
