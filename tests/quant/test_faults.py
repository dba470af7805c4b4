"""What networks of others brought to light: each in the smallest network that shows it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

import xvision as xv
from tests.graph.written import Written
from xvision.models.pixels import Pixels
from xvision.quant.fake import Quantizer
from xvision.quant.methods import method


def quantized(network: nn.Module, *batches: Any, **settings: Any) -> fx.GraphModule:
    q = xv.quantize(network.eval(), batches, **settings)
    assert isinstance(q, fx.GraphModule)
    return q


def sqnr_db(wanted: Tensor, got: Tensor) -> float:
    return float(10 * torch.log10(wanted.square().sum() / (got - wanted).square().sum()))


def test_maps_of_one_row(tmp_path: Path) -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 8, (1, 9), padding=(0, 4)), nn.ReLU(), nn.Conv2d(8, 4, (1, 9), stride=(1, 4))
    )
    x = torch.randn(8, 1, 1, 16000)
    q = quantized(network, x)
    with torch.no_grad():
        assert sqnr_db(network(x), q(x)["out0"]) > 25
    assert xv.verify(q, xv.export(q, tmp_path / "m.onnx"), [x[:2]]).max_lsb == 0


@pytest.mark.parametrize("rungs", ["mse", "mse,weights"])
def test_one_pixel_that_is_not_a_number(rungs: str) -> None:
    good, bad = torch.randn(8, 3, 16, 16), torch.randn(8, 3, 16, 16)
    bad[3, 0, 2, 2] = torch.nan
    with pytest.raises(
        ValueError, match="expected batches of finite numbers, got NaN or infinity in batch 2"
    ):
        quantized(Written(lambda net, x: net.head(net.conv(x))), good, bad, method=method.ptq(rungs=rungs))


def test_sums_that_float32_does_not_hold_are_told() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(12288, 16))
    network[1].weight.data.abs_()
    with pytest.warns(UserWarning, match=r"sums of 1 layers go beyond 2\^24, .* \(most at 1: 2\^2\d\.\d\)"):
        quantized(network, torch.rand(16, 3, 64, 64) * 2)


def test_sums_of_products_of_two_tensors_are_told() -> None:
    network = Written(lambda net, x: F.relu(net.conv(x)).flatten(2) @ F.relu(net.side(x)).flatten(2).mT)
    with pytest.warns(
        UserWarning, match=r"sums of 1 layers go beyond 2\^24, .* \(most at matmul: 2\^2\d\.\d\)"
    ):
        quantized(network, torch.rand(16, 3, 64, 64) + 1)


def test_sums_that_float32_holds_are_not() -> None:
    """Worst-case inputs would exceed 2^24 here, images do not."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".*so none is held back|.*images look like noise")
        few = (torch.rand(16, 3, 64, 64) > 0.95).float()
        quantized(nn.Sequential(nn.Flatten(), nn.Linear(12288, 16)), few)


def test_what_only_operators_in_float_read_has_more_bits() -> None:
    network = Written(
        lambda net, x: (net.head(net.conv(x).softmax(1)), torch.var_mean(net.conv(x), dim=(2, 3))[0])
    )
    with pytest.warns(
        UserWarning, match="2 operators without a rule compute in float .*: softmax .*var_mean"
    ):
        q = quantized(network, torch.randn(8, 3, 16, 16))
    bits = {name: m.numbers.bits for name, m in q.named_modules() if isinstance(m, Quantizer)}
    assert bits["quantizers.conv"] == bits["quantizers.conv_again"] == 16


def test_values_of_several_tensors_have_scales_of_their_own() -> None:
    network = Written(lambda net, x: torch.var_mean(net.conv(x) * 0.04 + 5, dim=(2, 3))[0])
    x = torch.randn(8, 3, 16, 16)
    with pytest.warns(UserWarning, match="1 operators without a rule"):
        q = quantized(network, x)
    with torch.no_grad():
        assert sqnr_db(network(x), q(x)["out0"]) > 25


def test_features_joined_with_pixels_are_not_cut_at_the_pixels_range() -> None:
    class Enet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.pixels, self.conv, self.head = Pixels(), nn.Conv2d(3, 13, 3, 2, 1), nn.Conv2d(16, 4, 1)

        def forward(self, image: Tensor) -> dict[str, Tensor]:
            p = self.pixels(image)
            return {"map": self.head(torch.cat([8 * self.conv(p), F.max_pool2d(p, 2)], 1))}

    network, x = Enet(), torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8)
    q = quantized(network, x)
    with torch.no_grad():
        assert sqnr_db(network(x)["map"], q(x)["map"]) > 25


def test_class_ids_inside_a_network(tmp_path: Path) -> None:
    network, x = Written(lambda net, x: net.head(net.conv(x)).argmax(1)), torch.randn(8, 3, 16, 16)
    q = quantized(network, x)
    file = xv.export(q, tmp_path / "m.onnx")
    parity = xv.verify(q, file, [x])
    assert parity.ok
    assert parity.agreement == 1


def test_outputs_may_be_called_as_anything_inside(tmp_path: Path) -> None:
    network = Written(lambda net, x: {"relu": net.head(F.relu(net.conv(x))), "x": net.conv(x)})
    images = torch.randn(8, 3, 16, 16)
    q = quantized(network, images)
    file = xv.export(q, tmp_path / "m.onnx")
    assert xv.verify(q, file, [images]).ok
    assert [port.name for port in onnx.load(file).graph.input] == ["x_in"]


def test_layers_with_equal_biases_keep_their_own(tmp_path: Path) -> None:
    """Untrained networks have many: the exporter merges them, and their copies need names of their own."""
    layers = [nn.Conv2d(8, 8, 1) for _ in range(6)]
    for i, layer in enumerate(layers):
        nn.init.zeros_(layer.bias)
        layer.weight.data.mul_(2.0 ** (i % 2))
    network = nn.Sequential(nn.Conv2d(3, 8, 1), *layers)
    x = torch.randn(8, 3, 8, 8)
    q = quantized(network, x, method=method.ptq(rungs="mse"))
    assert xv.verify(q, xv.export(q, tmp_path / "m.onnx"), [x]).max_lsb == 0


def test_a_quarter_of_the_images_is_held_back() -> None:
    network = Written(lambda net, x: net.head(F.relu(net.conv(x))))
    quality = quantized(network, *torch.randn(48, 3, 12, 12).split(20)).meta["quality"]
    assert (quality.num_fitted, quality.num_judged) == (36, 12)
    assert quality.heads_db["out0"] > quality.heads_db_before["out0"]
    assert set(quality.layers) == {"conv", "head"}


def test_few_images_are_told() -> None:
    network = Written(lambda net, x: net.head(net.conv(x)))
    with pytest.warns(UserWarning, match="calibration: 8 images, fewer than 32, so none is held back"):
        quality = quantized(network, torch.randn(8, 3, 16, 16)).meta["quality"]
    assert quality.num_judged == 0


def test_an_output_that_is_noise_is_told() -> None:
    """The difference of two numbers of which one is a thousandth larger."""

    def cancelled(net: Any, x: Tensor) -> Tensor:
        y = F.relu(net.conv(x))
        return y - y * 0.999

    with pytest.warns(
        UserWarning, match=r"less than 10 dB of signal over quantization noise: 'out0' -?\d+\.\d dB"
    ):
        quantized(Written(cancelled), torch.randn(32, 3, 16, 16))


class NamedLikeMethods(nn.Module):
    """Tensors whose names torch uses for methods of modules."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, half: Tensor) -> dict[str, Tensor]:
        return {"type": self.conv(half.to(torch.float32) / 255)}


@pytest.mark.filterwarnings("ignore:.*compute in float between integers")
def test_names_of_methods_are_names_of_tensors(tmp_path: Path) -> None:
    images = torch.randint(0, 256, (8, 3, 8, 8), dtype=torch.uint8)
    for given in (images, images.float()):
        q = xv.quantize(NamedLikeMethods(), [given], method=method.ptq(rungs="mse"))
        assert xv.verify(q, xv.export(q, tmp_path / "model.onnx"), [given]).max_lsb == 0


def equal_codes(net: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    return net.conv(x), net.conv(x) * 2


def equal_blurs(net: Any, x: Tensor) -> Tensor:
    ones = torch.ones(8, 1, 3, 3)
    return F.conv2d(F.conv2d(net.conv(x), ones / 16, groups=8), ones / 4, groups=8)


@pytest.mark.parametrize("forward", [equal_codes, equal_blurs])
def test_equal_codes_of_different_scales(forward: Any, tmp_path: Path) -> None:
    x = torch.randn(8, 3, 16, 16)
    q = quantized(Written(forward), x, method=method.ptq(rungs="mse"))
    parity = xv.verify(q, xv.export(q, tmp_path / "m.onnx"), [x])
    assert parity.ok
    assert parity.max_lsb == 0


@pytest.mark.parametrize("value", [-1e9, float("-inf"), torch.finfo(torch.float32).min])
@pytest.mark.filterwarnings("ignore:.*compute in float between integers")
def test_masks_of_scores_leave_them_their_codes(value: float, tmp_path: Path) -> None:
    mask = torch.triu(torch.full((16, 16), value), 1)
    network = Written(lambda net, x: F.softmax(net.conv(x) + mask, -1)).eval()
    x = torch.randn(8, 3, 16, 16)
    q = quantized(network, x, method=method.ptq(rungs="mse"))
    with torch.no_grad():
        assert sqnr_db(network(x), q(x)["out0"]) > 30
    assert xv.verify(q, xv.export(q, tmp_path / "m.onnx"), [x]).ok


def test_a_tensor_inside_an_island_has_no_codes() -> None:
    with pytest.warns(UserWarning, match=r"softmax \(1\), log \(1\)"):
        q = quantized(Written(lambda net, x: F.softmax(net.conv(x), 1).log()), torch.randn(8, 3, 8, 8))
    names = [name for name, m in q.named_modules() if isinstance(m, Quantizer)]
    assert [name for name in names if "softmax" in name] == []
    assert len(names) == 3  # of the images, the convolution and the output


@pytest.mark.parametrize(
    ("model", "batches", "message"),
    [
        (lambda x: x, [torch.zeros(1, 3, 8, 8)], r"expected a network \(torch.nn.Module\), got function"),
        (nn.Conv2d(3, 8, 1), None, r"quantize: expected batches of images, got NoneType; give a list"),
        (
            nn.Conv2d(3, 8, 1),
            [torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 8, 9)],
            r"expected batches of one kind, got float32 Nx3x8x9 in batch 2 after float32 Nx3x8x8; bring all",
        ),
    ],
)
def test_what_is_no_network_or_no_batch(model: Any, batches: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        xv.quantize(model, batches)


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_a_scripted_network_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a network in Python, got a scripted or traced one"):
        xv.quantize(torch.jit.script(nn.Conv2d(3, 8, 1)), [torch.zeros(1, 3, 8, 8)])


def test_a_quantized_network_is_not_quantized_again() -> None:
    q = quantized(nn.Conv2d(3, 8, 1), torch.randn(32, 3, 8, 8))
    with pytest.raises(ValueError, match="is quantized already; quantize the float network"):
        xv.quantize(q, [torch.randn(32, 3, 8, 8)])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"batch": 0}, "batch: expected a number of images from 1 on, or None for any number, got 0"),
        ({"batch": 2.0}, r"batch: expected a number .* got 2\.0"),
        ({"opset": 16}, "opset: expected 17, 18, 21, got 16"),
        ({"metadata": {"foo": 1}}, "metadata: expected text for 'foo', got int; write it as JSON"),
    ],
)
def test_what_a_file_cannot_be(wrong: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        xv.export(nn.Conv2d(3, 8, 1), tmp_path / "m.onnx", inputs=[torch.zeros(1, 3, 8, 8)], **wrong)
    assert not list(tmp_path.iterdir())
