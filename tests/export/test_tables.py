"""Functions of one value are looked up where a runtime computes other codes."""

from __future__ import annotations

import copy
from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor, fx, nn

import xvision as xv
from tests.quant.patterns import Pattern, conv_bn, trained
from xvision.export.integers import to_integers
from xvision.export.onnx_translate import translate
from xvision.export.tables import as_tables, differing, functions

ACTIVATIONS = {
    "silu": nn.SiLU, "gelu": nn.GELU, "tanh": nn.Tanh, "hardswish": nn.Hardswish, "elu": nn.ELU, "mish": nn.Mish,
    "leaky_relu": lambda: nn.LeakyReLU(0.1), "hardsigmoid": nn.Hardsigmoid, "softplus": nn.Softplus,
}  # fmt: skip


class AllOfThem(nn.Module):
    """Each behind a layer of its own, so that no two share a scale."""

    def __init__(self) -> None:
        super().__init__()
        self.before = nn.ModuleList(conv_bn(16, 16, 1) for _ in ACTIVATIONS)
        self.functions = nn.ModuleList(made() for made in ACTIVATIONS.values())

    def forward(self, x: Tensor) -> Tensor:
        return sum((f(conv(x)) for f, conv in zip(self.functions, self.before, strict=True)), start=x)


@pytest.fixture(scope="module", params=["pow2", "int8"])
def quantized(request: pytest.FixtureRequest) -> tuple[fx.GraphModule, tuple[Tensor, ...]]:
    torch.manual_seed(0)
    model = Pattern(AllOfThem()).eval()
    images = torch.randint(0, 256, (8, 3, 16, 16), dtype=torch.uint8)
    with pytest.warns(UserWarning, match="fewer than 32"):
        q = xv.quantize(model, [images], scheme=request.param)
    assert isinstance(q, fx.GraphModule)
    return q, (images,)


def other_codes(network: nn.Module, inputs: tuple[Tensor, ...]) -> list[dict[str, Tensor]]:
    """A runtime that is one code too high somewhere."""
    outputs: dict[str, Tensor] = network(*inputs)
    for y in outputs.values():
        y[0, 7] += 1.0
    return [outputs]


def test_all_functions_of_one_value_are_found(quantized: tuple[fx.GraphModule, tuple[Tensor, ...]]) -> None:
    q, _ = quantized
    assert len(functions(q)) == len(ACTIVATIONS)
    assert differing(q, lambda network, inputs: [network(*inputs)]) == []
    assert len(differing(q, other_codes)) == len(ACTIVATIONS)


def test_tables_give_the_codes_of_the_simulation(
    quantized: tuple[fx.GraphModule, tuple[Tensor, ...]], tmp_path: Path
) -> None:
    q, planes = quantized
    wanted = q(*planes)["class"]
    made = copy.deepcopy(q)
    as_tables(made, [one.node for one in functions(made)])
    to_integers(made)
    with torch.no_grad():
        assert torch.equal(made(*planes)["class"], wanted)
    kinds = [node.op_type for node in translate(made, planes).graph]
    assert kinds.count("Gather") == len(ACTIVATIONS)
    assert not {"Sigmoid", "Erf", "Elu", "HardSwish"} & set(kinds)


def test_a_file_has_tables_where_its_runtime_differs(
    quantized: tuple[fx.GraphModule, tuple[Tensor, ...]], tmp_path: Path
) -> None:
    q, planes = quantized
    file = xv.export(q, tmp_path / "model.onnx")
    nodes = [node.op_type for node in onnx.load(file).graph.node]
    levels = xv.verify(q, file, [planes]).levels
    looked_up = nodes.count("Gather")
    assert looked_up < len(ACTIVATIONS)
    inside = {one.node.name for one in functions(q)}
    assert levels["off"].tensors > len(inside)


def test_functions_are_compared_at_the_scales_they_are_used_with() -> None:
    model, planes = trained("silu")
    q = xv.quantize(model, [planes], scheme="int8")
    assert isinstance(q, fx.GraphModule)
    (one,) = functions(q)
    values = one.values()
    assert len(values) == len(one.table()) == 256
    assert float(values[int(one.before.zero_point)]) == 0.0
    assert torch.equal(one.table(), one.after.codes(torch.nn.functional.silu(values)))
