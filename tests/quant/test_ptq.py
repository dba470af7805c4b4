"""Post-training quantization of every pattern: close to float, the same twice, clear about what it cannot do."""

from __future__ import annotations

import copy
from typing import cast

import pytest
import torch
from torch import Tensor, fx, nn

import xvision as xv
from tests.quant.patterns import PATTERNS, Pattern, conv_bn, planes_for, trained, with_statistics
from xvision.quant.calibration import take
from xvision.quant.fake import Quantizer, QuantLayer
from xvision.quant.methods import method
from xvision.quant.schemes import scheme


def quantized(model: nn.Module, *batches: tuple[Tensor, ...] | Tensor, **settings: object) -> fx.GraphModule:
    return cast(fx.GraphModule, xv.quantize(model, batches, method=method.ptq(**settings)))


def sqnr_db(q: nn.Module, model: nn.Module, planes: tuple[Tensor, ...]) -> float:
    """Signal over quantization noise of the worst output."""
    with torch.no_grad():
        wanted, got = model(*planes), q(*planes)
    assert wanted.keys() == got.keys()
    return min(
        float(10 * torch.log10(y.square().sum() / (got[name] - y).square().sum()))
        for name, y in wanted.items()
    )


@pytest.mark.parametrize("weights", ["tensor", "channel"])
@pytest.mark.parametrize("name", PATTERNS)
def test_outputs_are_close_to_the_float_ones(name: str, weights: str) -> None:
    model, planes = trained(name)
    q = xv.quantize(model, [planes], scheme=scheme.pow2(weights=weights))
    assert not q.training
    assert sqnr_db(q, model, planes) > 33  # 36 dB is the lowest
    assert sqnr_db(q, model, planes_for(model, seed=1)) > 28


def test_each_correction_is_worth_its_time() -> None:
    model, planes = trained("depthwise_relu6")
    nothing, bias, weights = (
        sqnr_db(quantized(model, planes, rungs=rungs), model, planes)
        for rungs in ("mse", "mse,bias", "mse,weights")
    )
    assert nothing < bias < weights


def test_the_same_images_give_the_same_codes() -> None:
    model, planes = trained("shuffle")
    before = copy.deepcopy(model.state_dict())
    first, again = quantized(model, planes), quantized(model, planes)
    assert first.state_dict().keys() == again.state_dict().keys()
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in first.state_dict().items())
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in before.items())


@pytest.mark.parametrize("name", PATTERNS)
def test_every_tensor_is_on_its_grid(name: str) -> None:
    model, planes = trained(name)
    q = quantized(model, planes, rungs="mse")
    assert all(m.ready for m in q.modules() if isinstance(m, Quantizer | QuantLayer))
    with torch.no_grad():
        outputs = q(*planes)
    heads = q.graph.output_node().args[0]
    assert isinstance(heads, dict)
    for key, node in heads.items():
        quantizer = q.get_submodule(str(node.target))
        assert torch.equal(quantizer(outputs[key]), outputs[key])


def test_relu6_still_clips_at_six() -> None:
    model = Pattern(nn.Sequential(conv_bn(16, 16), nn.ReLU6()), outputs=None)
    planes = planes_for(model)
    with_statistics(model, planes)
    with torch.no_grad():
        model.get_submodule("body.0.1").weight.mul_(8)  # far beyond 6
        output = quantized(model, planes)(*planes)["class"]
    assert (output.min(), output.max()) == (0, 6)


def test_the_batch_size_is_free_and_inputs_may_be_tensors() -> None:
    model, (image,) = trained("flatten")
    q = quantized(model, image)
    with torch.no_grad():
        torch.testing.assert_close(q(image[:1])["class"], q(image)["class"][:1], rtol=0, atol=0)


def test_networks_that_are_not_ours() -> None:
    class Foreign(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.linear = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            y = self.conv(x)
            return y, self.linear(y.mean((2, 3)))

    torch.manual_seed(0)
    model, x = Foreign(), torch.randn(4, 3, 8, 8)
    q = quantized(model, x)
    with torch.no_grad():
        outputs = q(x)
        assert list(outputs) == ["out0", "out1"]
        for got, wanted in zip(outputs.values(), model(x), strict=True):
            torch.testing.assert_close(got, wanted, rtol=0, atol=0.05)
    assert float(q.get_submodule("quantizers.x").scale) == 2.0**-5  # 4 sigma in 128 steps


def test_take_cuts_the_last_batch() -> None:
    batches = [(torch.arange(n), torch.arange(n) * 10) for n in (3, 3, 3)]
    taken = take(iter(batches), 5)
    assert [y.tolist() for y, _ in taken] == [[0, 1, 2], [0, 1]]
    assert [uv.tolist() for _, uv in taken] == [[0, 10, 20], [0, 10]]
    assert len(take(batches, 100)) == 3
    assert len(take(batches, 3)) == 1


def test_no_batch_is_an_error() -> None:
    model, _ = trained("conv_relu")
    with pytest.raises(
        ValueError, match=r"calibration: expected at least one batch of images, got none; check"
    ):
        quantized(model)


def test_operators_without_a_rule_are_named() -> None:
    model = Pattern(nn.Sequential(nn.Softmax(dim=1), nn.GroupNorm(2, 16))).eval()
    planes = planes_for(model)
    with pytest.warns(
        UserWarning,
        match=r"^Pattern: 2 operators without a rule .*: softmax \(1\), group_norm \(1\): .* \(body_0, body_1\)",
    ):
        q = quantized(model, planes)
    assert sqnr_db(q, model, planes) > 20


@pytest.mark.parametrize(
    ("name", "planes", "message"),
    [
        (
            "conv_relu",
            (torch.zeros(2, 1, 8, 8, dtype=torch.uint8),),
            r"Pattern, layer stem.0: .* takes planes of Nx1x8x8, got RuntimeError: Given groups=1, weight of size",
        ),
        (
            "two_heads",
            (torch.zeros(2, 1, 8, 8),),
            r"TwoHeads: expected batches of 2 tensors .* or dicts of y, uv, got Tensor",
        ),
    ],
)
def test_planes_that_the_network_does_not_take(name: str, planes: tuple[Tensor, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        quantized(trained(name)[0], planes)


def test_outputs_that_are_no_tensors() -> None:
    class Nothing(nn.Module):
        def forward(self, x: Tensor) -> None:
            return None

    with pytest.raises(
        ValueError, match=r"Nothing: expected a tensor, or a tuple, list or dict of tensors as output"
    ):
        quantized(Nothing(), torch.zeros(1, 3))


@pytest.mark.parametrize(
    ("which", "message"),
    [
        ({"scheme": "pow3"}, r"no scheme is called 'pow3'; did you mean 'pow2'\?"),
        ({"method": "ptp"}, r"no method is called 'ptp'; did you mean 'ptq'\?"),
    ],
)
def test_unknown_names(which: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        xv.quantize(nn.ReLU(), [], **which)  # type: ignore[arg-type]
