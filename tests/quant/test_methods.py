"""What any quantization method must keep, and a method from outside that trains, on two processes too."""

from __future__ import annotations

import copy
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, fx, nn

import xvision as xv
from tests.quant.crash import Crash, crashing
from tests.quant.tiny_context import tiny_context
from tests.quant.two_processes import QAT
from xvision.quant.context import Context
from xvision.quant.fake import Quantizer, QuantLayer
from xvision.quant.insert import prepare, scheme_of
from xvision.quant.methods import method
from xvision.quant.methods.ptq import ptq
from xvision.quant.quantize import quantize_with

ROOT = Path(__file__).parents[2]
METHODS = [*method.builders()]


def images(context: Context) -> Tensor:
    (first,) = next(iter(context.calibration()))
    return first


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_sets_every_range_and_leaves_the_network_alone(name: str, tmp_path: Path) -> None:
    context = tiny_context(tmp_path)
    before = copy.deepcopy(context.network.state_dict())
    q = quantize_with(context, method.part(name))
    assert not q.training
    assert scheme_of(q) == context.scheme
    assert all(m.ready for m in q.modules() if isinstance(m, Quantizer | QuantLayer))
    assert equal(before, context.network.state_dict())
    with torch.no_grad():
        difference = q(images(context))["class"] - context.network(images(context))["class"]
    assert difference.abs().mean() < 0.1


@pytest.mark.parametrize("name", METHODS)
def test_a_method_gives_the_same_twice(name: str, tmp_path: Path) -> None:
    first, again = (
        quantize_with(tiny_context(tmp_path / which), method.part(name)) for which in ("first", "again")
    )
    assert equal(first.state_dict(), again.state_dict())


@pytest.mark.parametrize("name", METHODS)
def test_all_that_a_method_finds_is_in_the_state_dict(name: str, tmp_path: Path) -> None:
    context = tiny_context(tmp_path)
    q = quantize_with(context, method.part(name))
    other = prepare(context.network, (images(context),), context.scheme)
    other.load_state_dict(q.state_dict())
    with torch.no_grad():
        assert equal(q(images(context)), other(images(context)))


def test_a_method_that_needs_labels_says_so_without_them() -> None:
    with pytest.raises(
        ValueError,
        match=r"^method: expected a task and labelled data to train with, got calibration images only; quantize a run",
    ):
        xv.quantize(nn.Linear(2, 2), [torch.zeros(1, 2)], method="qat")


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    context = tiny_context(tmp_path)
    qat = method.part("qat", {"epochs": 8, "lr": 0.01, "ema": 0.0, "distill": 0.0})
    assert mean_loss(quantize_with(context, qat), context) < 0.9 * mean_loss(ptq(context), context)


def mean_loss(q: nn.Module, context: Context) -> float:
    task, _, val = context.labelled()
    with torch.no_grad():
        losses = [task.losses(q(*context.network.inputs.encode(batch)), batch) for batch in val.epoch(0)]  # type: ignore[union-attr, operator]
    return sum(float(v) for loss in losses for terms in loss.values() for v in terms.values())


@pytest.mark.parametrize("thresholds", ["learned", "statistics"])
def test_a_training_that_was_killed_ends_with_the_same_bits(thresholds: str, tmp_path: Path) -> None:
    qat = QAT.with_settings(thresholds=thresholds, ema=0.9)
    whole = qat.build(tiny_context(tmp_path / "whole"))
    stopped = tiny_context(tmp_path / "stopped")
    with pytest.raises(Crash):
        qat.build(crashing(stopped, 8))  # the checkpoint is of step 5
    assert equal(whole.state_dict(), qat.build(stopped).state_dict())
    shorter = qat.with_settings(epochs=1).build(tiny_context(tmp_path / "shorter"))
    assert not equal(whole.state_dict(), shorter.state_dict())


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that two processes left."""
    folder = tmp_path_factory.mktemp("two")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(probe.getsockname()[1])}
    world = place | {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    pair = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.quant.two_processes", str(folder)],
            cwd=ROOT,
            env=os.environ | world | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=300)[1] for process in pair]
    assert [process.returncode for process in pair] == [0, 0], errors
    return folder


@pytest.mark.parametrize("what", ["heard", "trained", "resumed"])
def test_two_processes_end_with_the_same_network(two: Path, what: str) -> None:
    first, second = (load_file(two / f"{what}-{rank}.safetensors") for rank in range(2))
    assert equal(first, second)


def test_ddp_gives_the_ranges_of_the_first_process_to_the_second(two: Path, tmp_path: Path) -> None:
    context = tiny_context(tmp_path)
    with torch.no_grad():
        alone = ptq(context)(images(context))
    assert torch.equal(load_file(two / "heard-1.safetensors")["heard"], alone["class"])


def test_two_processes_resume_with_the_same_bits(two: Path) -> None:
    trained, resumed = (load_file(two / f"{what}-0.safetensors") for what in ("trained", "resumed"))
    assert equal(trained, resumed)


def test_two_processes_learn_what_one_learns_from_double_batches(two: Path, tmp_path: Path) -> None:
    alone: fx.GraphModule = QAT.build(tiny_context(tmp_path))
    together = load_file(two / "trained-0.safetensors")
    for key, value in alone.state_dict().items():
        torch.testing.assert_close(together[key], value, rtol=0, atol=1e-5, check_dtype=True)
