"""The quant section: what its settings change of a scheme, and plans of bits for each layer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import xvision as xv
from tests.quant.patterns import trained
from xvision.quant.bits import Bits
from xvision.quant.fake import Quantizer, QuantLayer
from xvision.quant.insert import prepare, scheme_of
from xvision.quant.schemes import scheme
from xvision.quant.settings import Quant
from xvision.quant.state import load, save
from xvision.quant.weight_clip import clipped
from xvision.recipes.named import recipe
from xvision.recipes.overrides import override


def prepared(pattern: str, **settings: object) -> torch.fx.GraphModule:
    model, planes = trained(pattern)
    return prepare(model, planes, Quant(**settings).numbers())  # type: ignore[arg-type]


def grid_of(graph: torch.fx.GraphModule, name: str) -> Quantizer:
    found = graph.get_submodule(f"quantizers.{name}")
    assert isinstance(found, Quantizer)
    return found


def quantizers(graph: torch.fx.GraphModule) -> int:
    return sum(isinstance(module, Quantizer) for module in graph.modules())


@pytest.mark.parametrize(
    ("pattern", "setting", "fewer"),
    [("add_relu", {"add": "join"}, 4), ("avg_pool_2", {"pool": "same"}, 2)],
)
def test_operators_on_one_grid(pattern: str, setting: dict[str, str], fewer: int) -> None:
    own, aligned = prepared(pattern), prepared(pattern, **setting)
    assert quantizers(own) - quantizers(aligned) == fewer


def test_joined_addition_and_relu_are_one_operator_on_one_grid(tmp_path: Path) -> None:
    model, planes = trained("add_relu")
    q = xv.quantize(model, [planes], scheme=Quant(add="join").numbers())
    graph = q
    assert isinstance(graph, torch.fx.GraphModule)
    (addition, *_) = [n for n in graph.graph.nodes if "add" in str(n.target) and n.op == "call_function"]
    grids = {graph.get_submodule(str(source.target)) for source in addition.all_input_nodes}
    (clip,) = addition.users
    (after,) = clip.users
    assert grids == {graph.get_submodule(str(after.target))}
    parity = xv.verify(q, xv.export(q, tmp_path / "model.onnx"), [planes])
    assert (parity.ok, parity.max_lsb) == (True, 0)


@pytest.mark.parametrize("setting", [{"concat": "own"}, {"resize": "own"}])
def test_tensors_with_scales_of_their_own_are_exact(setting: dict[str, str], tmp_path: Path) -> None:
    pattern = "concat" if "concat" in setting else "bilinear"
    model, planes = trained(pattern)
    q = xv.quantize(model, [planes], scheme=Quant(**setting).numbers())  # type: ignore[arg-type]
    assert quantizers(q) > quantizers(prepared(pattern))  # type: ignore[arg-type]
    parity = xv.verify(q, xv.export(q, tmp_path / "model.onnx"), [planes])
    assert (parity.ok, parity.max_lsb) == (True, 0)


def test_biases_of_few_bits_make_weights_coarser() -> None:
    """A bias of 3 in steps of at most 2^15 - 1: with inputs of step 1/64, weights of a step of at least 1/128."""
    model, planes = trained("conv_relu")
    with torch.no_grad():
        model.body[0][1].bias.fill_(300.0)  # type: ignore[index, union-attr, operator]
    for bits in (32, 16):
        q = xv.quantize(model, [planes], scheme=Quant(bias_bits=bits).numbers(), method="ptq")
        layers = [module for module in q.modules() if isinstance(module, QuantLayer)]
        codes = [int(layer.codes()[1].abs().max()) for layer in layers]
        assert max(codes) > 2**15 if bits == 32 else max(codes) < 2**15


def test_sums_beyond_the_accumulator_are_refused() -> None:
    model, planes = trained("conv_relu")
    with pytest.raises(
        ValueError,
        match=r"^quant.accumulator_bits: expected sums below 2\^15, got up to 2\^\d+\.\d in layer '[\w.]+' "
        r"\(\d layers in all\); give it coarser weights \(quant.layers=[\w.]+:w6\), or split the layer$",
    ):
        xv.quantize(model, [planes], scheme=Quant(accumulator_bits=16).numbers())


def test_weights_far_beyond_the_others_are_clipped() -> None:
    """Median 1, so the limit is 16 and what is kept 16 * 120 / 128 = 15."""
    weight = torch.ones(4, 4)
    weight[0, 0], weight[1, 1] = 100.0, -40.0
    assert clipped(weight).flatten().unique().tolist() == [-15.0, 1.0, 15.0]
    for kept in (torch.full((4, 4), 20.0), weight / 10):
        assert torch.equal(clipped(kept), kept)
    layer = nn.Linear(4, 4)
    layer.weight = nn.Parameter(weight)
    numbers, source = Quant(weight_clip=True).numbers(), Quantizer(scheme.pow2().build().activations)
    assert float(QuantLayer.of(layer, numbers, source).weight.detach().abs().max()) == 15.0


def test_bits_of_one_layer(tmp_path: Path) -> None:
    model, planes = trained("add_relu")
    names = [name for name, m in prepared("add_relu").named_modules() if isinstance(m, QuantLayer)]
    first, *others, head = names
    plan = {first: "w4a16", head: "a8"}
    q = xv.quantize(model, [planes], scheme=Quant(layers=plan).numbers())
    layers = {name: m for name, m in q.named_modules() if isinstance(m, QuantLayer)}
    assert [layers[name].numbers.bits for name in names] == [4, *[8] * (len(others) + 1)]
    assert int(layers[first].codes()[0].abs().max()) <= 8
    bits = {m.numbers.bits for m in q.modules() if isinstance(m, Quantizer)}
    assert bits == {8, 16}
    assert q(*planes)["class"].unique().numel() <= 256
    back = load(save(q, tmp_path / "model.safetensors"))
    assert scheme_of(back).layers == {first: Bits(4, 16), head: Bits(None, 8)}
    assert torch.equal(back(*planes)["class"], q(*planes)["class"])
    assert xv.verify(q, xv.export(q, tmp_path / "model.onnx"), [planes]).max_lsb <= 1


def test_a_layer_in_float(tmp_path: Path) -> None:
    model, planes = trained("add_relu")
    with pytest.warns(UserWarning, match=r"1 operators without a rule compute in float .* \(head\)"):
        q = xv.quantize(model, [planes], scheme=Quant(layers={"head": "float"}).numbers())
    (island,) = q.meta["float_operators"]  # type: ignore[union-attr, misc]
    assert (island.operator, island.name) == ("linear", "head")
    assert island.macs_ratio > 0
    back = load(save(q, tmp_path / "model.safetensors"))
    assert torch.equal(back(*planes)["class"], q(*planes)["class"])
    parity = xv.verify(q, xv.export(q, tmp_path / "model.onnx"), [planes])
    assert parity.levels["off"].max_lsb == 0  # optimised, ONNX Runtime makes int8 of these weights by itself
    assert parity.agreement == 1.0
    assert parity.float_operators


def test_float_operators_may_be_refused() -> None:
    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.norm(self.conv(x))  # type: ignore[no-any-return]

    planes = (torch.randn(4, 3, 8, 8),)
    with pytest.raises(
        ValueError,
        match=r"^layer norm: expected operators that have an integer form \(quant.float_operators=refuse\), got \w+ "
        r"\(\d such operators in all\); replace it, or leave the layer in float \(quant.layers=norm:float\)$",
    ):
        prepare(Normed().eval(), planes, Quant(float_operators="refuse").numbers())
    named = Quant(float_operators="refuse", layers={"norm": "float"}).numbers()
    assert prepare(Normed().eval(), planes, named).meta["float_operators"]


def test_a_pattern_that_fits_no_layer_is_refused() -> None:
    with pytest.raises(
        ValueError,
        match=r"^quant.layers: expected names or patterns of layers, got 'heat', .* mean 'head'\?$",
    ):
        prepared("add_relu", layers={"heat": "a16"})


def test_a_plan_is_read_from_a_file_or_from_text(tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text("backbone.*: a16\nhead: w8a16\n")
    base = recipe("classification")
    for text in (str(file), "backbone.*:a16,head:w8a16"):
        assert override(base, [f"quant.layers={text}"]).quant.layers == {"backbone.*": "a16", "head": "w8a16"}
    for text, problem in (
        ("head:w9", r"'head': expected bits of weights .*, got 'w9'"),
        ("head", r"expected a plan's file \(.yaml\), or layers and bits such as .*, got 'head'"),
        (str(tmp_path / "none.yaml"), r"none.yaml: expected a plan \(YAML\), it cannot be read"),
    ):
        with pytest.raises(ValueError, match=problem):
            override(base, [f"quant.layers={text}"])
    file.write_text("- head\n")
    with pytest.raises(ValueError, match=r"plan.yaml: expected a mapping of layer patterns to bits"):
        override(base, [f"quant.layers={file}"])


def test_the_last_pattern_that_fits_decides() -> None:
    built = Quant(layers={"backbone.*": "a16", "backbone.stem": "w4"}).numbers()
    assert built.bits("backbone.stem") == Bits(weights=4)
    assert built.bits("backbone.blocks.0") == Bits(activations=16)
    assert built.bits("head") == Bits()
