"""All state of a quantized network is in its buffers: whoever copies a state_dict copies the network."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import cast

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, fx

import xvision as xv
from tests.quant.patterns import trained
from xvision.quant.fake import Quantizer, QuantLayer
from xvision.quant.insert import prepare, scheme_of
from xvision.quant.schemes import scheme
from xvision.train.ema import Ema

PATTERNS = ["concat", "grouped", "squeeze_excite", "transposed_grouped", "two_heads"]


def quantized(name: str) -> tuple[fx.GraphModule, tuple[Tensor, ...]]:
    model, planes = trained(name)
    return cast(fx.GraphModule, xv.quantize(model, [planes], scheme=scheme.pow2(weights="channel"))), planes


def frozen(q: fx.GraphModule) -> fx.GraphModule:
    q = copy.deepcopy(q)
    for module in q.modules():
        if isinstance(module, QuantLayer):
            module.freeze()
    return q


def fresh(name: str, q: fx.GraphModule) -> fx.GraphModule:
    """The same network without any range."""
    model, planes = trained(name)
    return prepare(model, planes, scheme_of(q))


def same(a: fx.GraphModule, b: fx.GraphModule, planes: tuple[Tensor, ...]) -> bool:
    with torch.no_grad():
        return all(torch.equal(y, b(*planes)[key]) for key, y in a(*planes).items())


@pytest.mark.parametrize("theirs", ["float", "integers"])
@pytest.mark.parametrize("ours", ["open", "float", "integers"])
@pytest.mark.parametrize("name", PATTERNS)
def test_a_state_dict_brings_everything_whatever_form_it_has(
    name: str, ours: str, theirs: str, tmp_path: Path
) -> None:
    q, planes = quantized(name)
    source = frozen(q) if theirs == "integers" else q
    target = {"open": fresh(name, q), "float": copy.deepcopy(q), "integers": frozen(q)}[ours]
    for parameter in target.parameters():  # what was there before does not matter
        parameter.data.add_(1)
    save_file(source.state_dict(), tmp_path / "state.safetensors")
    target.load_state_dict(load_file(tmp_path / "state.safetensors"))
    assert same(q, target, planes)
    assert bool(list(target.parameters())) == (theirs == "float")
    assert target.state_dict().keys() == source.state_dict().keys()
    for module in target.modules():
        assert not isinstance(module, Quantizer | QuantLayer) or module.ready


def test_ranges_are_buffers_and_integers_are_integers() -> None:
    q, _ = quantized("squeeze_excite")
    state = q.state_dict()
    kinds = {
        key.rpartition(".")[2]: value.dtype for key, value in state.items() if key.startswith("quantizers.")
    }
    assert kinds == {"scale": torch.float32, "zero_point": torch.int32}
    assert {int(v) for k, v in state.items() if k.endswith("zero_point")} == {0, 128}


def test_an_open_state_opens_a_network_again() -> None:
    q, planes = quantized("grouped")
    q.load_state_dict(fresh("grouped", q).state_dict())
    assert not q.get_submodule("quantizers.head").ready
    assert same(q, fresh("grouped", q), planes)


def test_a_moving_average_is_a_quantized_network_too() -> None:
    q, planes = quantized("squeeze_excite")
    ema = Ema(q, 0.9)
    with torch.no_grad():
        for parameter in q.parameters():
            parameter.add_(0.01)
    output = q.get_submodule("quantizers.pixels")
    assert isinstance(output, Quantizer)
    ema.update(q, 100)
    average = ema.module
    for key, value in q.state_dict().items():
        is_range = key.startswith("quantizers.") or key.endswith("weight_scale")
        assert torch.equal(average.state_dict()[key], value) == is_range
    assert not same(q, cast(fx.GraphModule, average), planes)
    output.zero_point.fill_(7)  # as a method may decide
    ema.update(q, 101)
    assert int(cast(Tensor, average.get_submodule("quantizers.pixels").zero_point)) == 7
    with torch.no_grad():
        codes = cast(Quantizer, average.get_submodule("quantizers.head")).codes(average(*planes)["class"])
        heads = cast(Quantizer, average.get_submodule("quantizers.head"))
        assert torch.equal(codes * heads.scale, average(*planes)["class"])  # 16 bits, zero point 0


def test_a_copy_has_a_state_of_its_own() -> None:
    q, planes = quantized("grouped")
    twin = copy.deepcopy(q)
    quantizer = cast(Quantizer, q.get_submodule("quantizers.head"))
    quantizer.set_range(float(quantizer.scale) * 16, 0)
    assert not same(q, twin, planes)
    layer = cast(QuantLayer, twin.get_submodule("head"))
    assert layer.source in set(twin.modules())
    assert layer.source not in set(q.modules())
