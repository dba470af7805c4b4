"""What any scheme must keep, from the numbers to a file that a runtime computes within its tolerance."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import cast, get_args

import pytest
import torch
from torch import fx

import xvision as xv
from tests.quant.free_scales import free_scales
from tests.quant.patterns import planes_for, trained
from xvision.config.parts import Part
from xvision.quant.fake import EXACT, Quantizer, QuantLayer
from xvision.quant.insert import prepare, scheme_of
from xvision.quant.methods import method
from xvision.quant.numbers import QuantScheme, TensorQuant
from xvision.quant.rules import KNOWN_RANGES, RULES, Rule
from xvision.quant.schemes import scheme
from xvision.quant.state import load, save

SCHEMES = [*scheme.builders(), "free_scales"]
PATTERNS = ["conv_relu6", "add_relu", "concat", "squeeze_excite_hard", "transposed", "two_heads"]


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheme, "_own", {})
    scheme(free_scales)


def quantized(
    name: str, chosen: Part | str, rungs: str = "mse,weights"
) -> tuple[fx.GraphModule, tuple[torch.Tensor, ...]]:
    model, planes = trained(name)
    q = xv.quantize(model, [planes], scheme=chosen, method=method.ptq(rungs=rungs))
    return cast(fx.GraphModule, q), planes


@pytest.mark.parametrize("name", SCHEMES)
def test_a_scheme_is_plain_data(name: str) -> None:
    built: QuantScheme = scheme.part(name).build()
    assert built.name == name
    assert set(built.rules.values()) <= set(get_args(Rule))
    assert all(low <= 0 < high for low, high in built.known_ranges.values())
    assert built.known_ranges.keys() <= built.rules.keys()
    assert built.tolerance_lsb >= 0
    assert json.loads(json.dumps(asdict(built)))["rules"] == built.rules


@pytest.mark.parametrize("pattern", ["add_relu", "concat", "two_heads"])
@pytest.mark.parametrize("name", SCHEMES)
def test_the_runtime_is_within_the_tolerance_of_the_scheme(name: str, pattern: str, tmp_path: Path) -> None:
    q, planes = quantized(pattern, name)
    model, _ = trained(pattern)
    with torch.no_grad():
        for key, y in model(*planes).items():
            least = 0.01 if scheme_of(q).weights.bits == 8 else 0.1
            assert (q(*planes)[key] - y).square().mean() < least * y.square().mean(), "20 dB; 10 with 4 bits"
    file = xv.export(q, tmp_path / "model.onnx")
    parity = xv.verify(q, file, [planes_for(model, seed=seed) for seed in range(3)])
    assert parity.tolerance_lsb == scheme_of(q).tolerance_lsb
    if parity.tolerance_lsb == 0:
        assert (parity.ok, parity.max_lsb) == (True, 0), parity
    assert parity.max_lsb <= 64, "of 16 bits"


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("name", SCHEMES)
def test_codes_are_in_the_range_of_their_format(name: str, pattern: str, tmp_path: Path) -> None:
    q, planes = quantized(pattern, name, rungs="mse")
    built = scheme_of(q)
    for module in q.modules():
        if isinstance(module, QuantLayer):
            weight, bias = module.codes()
            assert built.weights.low <= weight.min() <= weight.max() <= built.weights.high
            assert bias.abs().max() <= EXACT // 4 + 1
    back = load(save(q, tmp_path / "model.safetensors"))
    assert scheme_of(back) == built
    with torch.no_grad():
        assert all(torch.equal(back(*planes)[key], y) for key, y in q(*planes).items())


@pytest.mark.parametrize(("tolerance", "ok"), [(0, False), (1, True)])
def test_one_lsb_fails_where_none_is_allowed(tolerance: int, ok: bool, tmp_path: Path) -> None:
    """A bias of one more step of the output makes every score differ by one code."""
    q, planes = quantized("conv_relu", scheme.pow2(head_bits=8))
    file = xv.export(q, tmp_path / "model.onnx")
    assert xv.verify(q, file, [planes]).ok
    q.meta["scheme"] = replace(scheme_of(q), tolerance_lsb=tolerance)
    head, output = q.get_submodule("head"), q.get_submodule("quantizers.head")
    assert isinstance(head, QuantLayer)
    assert isinstance(output, Quantizer)
    with torch.no_grad():
        head.bias += output.scale
    parity = xv.verify(q, file, [planes])
    assert (parity.max_lsb, parity.ok, parity.tolerance_lsb) == (1, ok, tolerance)


@pytest.mark.parametrize("activations", ["affine", "symmetric"])
def test_free_scales_are_no_powers_of_two_and_closer_to_float(activations: str) -> None:
    model, planes = trained("add_relu")
    errors = []
    for chosen in (scheme.part("free_scales", {"activations": activations}), scheme.pow2(head_bits=8)):
        q = xv.quantize(model, [planes], scheme=chosen)
        with torch.no_grad():
            errors.append(float((q(*planes)["class"] - model(*planes)["class"]).square().mean()))
        exponents = [torch.frexp(m.scale).mantissa for m in q.modules() if isinstance(m, Quantizer)]
        assert all(m == 0.5 for m in exponents) == (chosen.name == "pow2")
    assert errors[0] < errors[1]


def test_a_scheme_decides_what_operators_do() -> None:
    """One for a device that has no average pooling, and none whose sigmoid has a known range."""
    own = replace(scheme.pow2().build(), rules={**RULES, "avg_pool": "float"}, known_ranges={}, name="own")
    model, planes = trained("avg_pool_2")
    (found,) = prepare(model, planes, own).meta["float_operators"]
    assert str(found) == "avg_pool (body_0)"
    model, planes = trained("squeeze_excite")
    graphs = [prepare(model, planes, one) for one in (own, scheme.pow2().build())]
    ready = [graph.get_submodule("quantizers.body_gate").ready for graph in graphs]
    assert ready == [False, True]


@pytest.mark.parametrize(
    ("kind", "numbers"),
    [
        ("weights", TensorQuant(8, signed=False)),
        ("bias", TensorQuant(32, symmetric=False, power_of_two=False)),
    ],
)
def test_weights_with_a_zero_point_are_refused(kind: str, numbers: TensorQuant) -> None:
    with pytest.raises(
        ValueError, match=rf"^scheme pow2: expected signed, symmetric {kind}, got TensorQuant\(.*; products"
    ):
        replace(scheme.pow2().build(), **{kind: numbers})  # type: ignore[arg-type]


def test_a_power_of_two_has_no_free_zero_point() -> None:
    with pytest.raises(
        ValueError,
        match=r"^TensorQuant: expected symmetric=True with power_of_two=True, got .*; set power_of_two",
    ):
        TensorQuant(8, symmetric=False)


def test_the_default_tables_name_the_same_operators() -> None:
    assert all(RULES[name] == "table" for name in KNOWN_RANGES)
