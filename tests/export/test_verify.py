"""Verification finds what differs and refuses what cannot be compared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn

import xvision as xv
from tests.quant.patterns import trained
from xvision.export.contract import Executor, Grid
from xvision.export.executors import executor
from xvision.export.executors.onnxruntime import OnnxRuntime
from xvision.quant.schemes import scheme

Export = tuple[nn.Module, tuple[Tensor, ...], Path]


def exported(name: str, folder: Path) -> Export:
    model, planes = trained(name)
    q = xv.quantize(model, [planes])
    return q, planes, xv.export(q, folder / f"{name}.onnx")


@pytest.fixture(scope="module")
def residual(tmp_path_factory: pytest.TempPathFactory) -> Export:
    return exported("add_relu", tmp_path_factory.mktemp("verify"))


@pytest.fixture(scope="module")
def two_heads(tmp_path_factory: pytest.TempPathFactory) -> Export:
    return exported("two_heads", tmp_path_factory.mktemp("verify"))


def lowered(codes: np.ndarray) -> np.ndarray:
    """Four codes nearer to zero."""
    codes = codes.copy()
    codes.flat[:4] -= np.sign(codes.flat[:4]) * np.array(20, codes.dtype)
    return codes


def tampered(file: Path, name: str, copy: Path, change: Callable[[np.ndarray], np.ndarray] = lowered) -> Path:
    """A copy of the file with one initializer changed."""
    model = onnx.load(file)
    (tensor,) = [t for t in model.graph.initializer if t.name == name]
    tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor)), name))
    onnx.save(model, copy)
    return copy


@pytest.mark.parametrize(
    ("weight", "first"),
    [
        ("stem.0.weight", "relu"),
        ("body.0.branch.0.weight", "body_0_branch_0"),
        ("body.1.branch.0.bias", "body_1_branch_0"),
        ("head.weight", "head"),
    ],
)
def test_a_changed_weight_is_found_where_it_is(
    residual: Export, weight: str, first: str, tmp_path: Path
) -> None:
    q, planes, file = residual
    parity = xv.verify(q, tampered(file, weight, tmp_path / "changed.onnx"), [planes])
    assert not parity.ok
    assert parity.first_difference == first
    assert parity.max_lsb == max(level.max_lsb for level in parity.levels.values()) > 0
    assert all(level.max_lsb > 0 for level in parity.levels.values())


def test_both_heads_are_compared(two_heads: Export, tmp_path: Path) -> None:
    q, planes, file = two_heads
    for weight, first in (("map.weight", "map_1"), ("linear.weight", "linear")):
        parity = xv.verify(q, tampered(file, weight, tmp_path / "changed.onnx"), [planes])
        assert parity.first_difference == first
        assert parity.levels["all"].max_lsb > 0


def test_other_answers_are_counted(residual: Export, tmp_path: Path) -> None:
    q, planes, file = residual
    parity = xv.verify(
        q, tampered(file, "head.weight", tmp_path / "changed.onnx", np.negative), [planes, planes]
    )
    with torch.no_grad():
        wanted, got = (
            q(*planes)["class"].argmax(1),
            OnnxRuntime(tmp_path / "changed.onnx")(*planes)["class"].argmax(1),
        )
    assert parity.agreement == float((wanted == got).double().mean()) < 1


def test_what_was_found_as_plain_values(two_heads: Export) -> None:
    q, planes, file = two_heads
    found = xv.verify(q, file, [planes, tuple(plane[:3] for plane in planes)]).to_dict()
    levels, noise = found.pop("levels"), found.pop("sqnr_db")
    assert noise == q.meta["quality"].heads_db
    assert found == {
        "reference": "simulation",
        "executor": "onnxruntime",
        "ok": True,
        "tolerance_lsb": 0,
        "max_lsb": 0,
        "max_error": 0.0,
        "agreement": 1.0,
        "first_difference": None,
        "reasons": [],
        "operators": None,
        "images": 11,
        "wide_layers": [],
        "float_operators": [],
        "float_in_runtime": "ReduceMean (1), Gemm (1), Conv (1): 1.2% of the MACs",
    }
    equal = {"max_lsb": 0, "max_error": 0.0, "agreement": 1.0}
    assert levels == {
        level: {**equal, "tensors": tensors} for level, tensors in (("off", 7), ("basic", 2), ("all", 2))
    }


def test_a_batch_may_be_one_tensor(residual: Export) -> None:
    q, (image,), file = residual
    assert xv.verify(q, file, [image]).ok


def test_one_lsb_is_too_much_where_the_scheme_allows_none(tmp_path: Path) -> None:
    """The last bias is a step of the output off: one code in one class."""
    model, planes = trained("add_relu")
    q = xv.quantize(model, [planes], scheme=scheme.pow2(head_bits=8))
    head, scale = q.get_submodule("head"), q.get_submodule("quantizers.head").scale
    step = int(scale / head.accumulator_scale())  # type: ignore[operator, arg-type]
    assert step >= 1
    file = xv.export(q, tmp_path / "model.onnx")
    one_class = np.array([step] + 9 * [0], np.int32)
    changed = tampered(file, "head.bias", tmp_path / "changed.onnx", lambda bias: bias + one_class)
    strict = xv.verify(q, changed, [planes])
    assert (strict.max_lsb, strict.tolerance_lsb, strict.ok) == (1, 0, False)
    tolerant = xv.verify(q, changed, [planes], tolerance_lsb=1)
    assert (tolerant.max_lsb, tolerant.tolerance_lsb, tolerant.ok) == (1, 1, True)
    assert tolerant.first_difference == "head"


class Answers(Executor):
    """Gives the same outputs for all inputs."""

    def __init__(self, outputs: Tensor, scale: float | None = None) -> None:
        self.name, self.found, self.scale = "answers", outputs, scale

    def outputs(self, inputs: tuple[Tensor, ...]) -> dict[str, Tensor]:
        return {"scores": self.found}

    def grids(self) -> dict[str, Grid]:
        return {"scores": lambda x: torch.round(x / self.scale).long()} if self.scale else {}


@pytest.mark.parametrize(
    ("scores", "class_id", "max_lsb"),
    [([5, 2, 0], 0, 0), ([5, 2, 0], 1, 2), ([5, 1, 0], 1, 2), ([5, 5, 0], 1, 1), ([5, 2, 0], 2, 3)],
)
def test_another_class_counts_as_the_change_of_scores_that_would_give_it(
    scores: list[int], class_id: int, max_lsb: int
) -> None:
    """Both scores move: of 3 that the class is behind each makes up half, rounded up."""
    given = torch.tensor(scores).view(1, 3, 1, 1) * 0.25
    parity = xv.verify(
        Answers(given, 0.25), Answers(torch.full((1, 1, 1, 1), class_id)), [torch.zeros(1)], tolerance_lsb=2
    )
    assert (parity.max_lsb, parity.ok) == (max_lsb, max_lsb <= 2)


def test_the_scheme_of_the_network_says_the_tolerance(residual: Export) -> None:
    q, planes, file = residual
    simulation = executor.simulation().build(q)
    simulation.tolerance_lsb = 3
    assert xv.verify(simulation, file, [planes]).tolerance_lsb == 3
    assert xv.verify(file, simulation, [planes]).tolerance_lsb == 3


def test_files_of_other_networks_are_refused(residual: Export, two_heads: Export, tmp_path: Path) -> None:
    q, planes, file = residual
    with pytest.raises(
        ValueError,
        match=r"two_heads\.onnx: expected the same network as in simulation, its inputs are y, uv and not image; ",
    ):
        xv.verify(q, two_heads[2], [planes])
    small = xv.quantize(trained("conv_relu")[0], [planes])
    with pytest.raises(
        ValueError,
        match=r"add_relu\.onnx: .* it has an unknown tensor 'body_0_branch_0'; export again",
    ):
        xv.verify(small, file, [planes])


def test_tensors_and_outputs_of_other_names_or_shapes_are_refused(residual: Export, tmp_path: Path) -> None:
    q, planes, file = residual
    renamed = onnx.load(file)
    renamed.graph.output[0].name = renamed.graph.node[-1].output[0] = "score"
    onnx.save(renamed, tmp_path / "renamed.onnx")
    with pytest.raises(
        ValueError, match=r"renamed\.onnx: .* its outputs are score and not class; export again"
    ):
        xv.verify(q, tmp_path / "renamed.onnx", [planes])
    model, _ = trained("add_relu")
    model.head = nn.Linear(16, 7)
    with pytest.raises(
        ValueError, match=r"add_relu\.onnx: .* tensor 'head' is 8x10 and not 8x7; export again"
    ):
        xv.verify(xv.quantize(model, [planes]), file, [planes])


def test_images_of_another_size_are_refused(residual: Export) -> None:
    q, _, file = residual
    with pytest.raises(ValueError, match=r"input 'image': expected .* Nx3x24x24, got .* 2x3x32x32; resize"):
        xv.verify(q, file, [torch.zeros(2, 3, 32, 32, dtype=torch.uint8)])


def test_no_batch_proves_nothing(residual: Export) -> None:
    q, _, file = residual
    with pytest.raises(
        ValueError, match=r"add_relu\.onnx: expected at least one batch to compare on, got none"
    ):
        xv.verify(q, file, [])
