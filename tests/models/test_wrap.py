"""Networks that are not ours, with pixels in front."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor, nn

import xvision as xv
from xvision.models.folding import TrainedOn
from xvision.models.pixels import encode
from xvision.quant.methods import method

RANGES_ALONE = method.ptq(rungs="mse")


class Plain(nn.Module):
    """Two convolutions that pad, as most networks begin."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, 8, 3, stride=2, padding=1)
        self.second = nn.Conv2d(8, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).relu())


class OfPixels(Plain):
    """Takes uint8 by itself."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.float() / 255 - 0.5)


def images(number: int = 8, size: int = 16) -> Tensor:
    torch.manual_seed(0)
    coarse = torch.randint(0, 256, (number, 3, 4, 4)).float()
    return nn.functional.interpolate(coarse, size=(size, size), mode="bicubic").clamp(0, 255).to(torch.uint8)


@pytest.mark.parametrize("format", ["rgb", "bgr", "yuv444", "nv12"])
def test_it_computes_what_the_network_computes_of_normalised_images(format: str) -> None:
    trained = TrainedOn((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    network = Plain()
    wrapped = xv.wrap(network, mean=trained.mean, std=trained.std, pixels=format)
    grays = images()[:, :1].expand(
        -1, 3, -1, -1
    )  # a gray is the same colour everywhere of YUV with fewer pixels
    with torch.no_grad():
        wanted = network(trained.images(grays))
        found = wrapped(*encode(grays, format))
    assert list(found) == ["out0"]
    yuv = format in ("yuv444", "nv12")
    torch.testing.assert_close(found["out0"], wanted, atol=0.05 if yuv else 1e-5, rtol=0)


def test_gray_images() -> None:
    network = Plain(1)
    wrapped = xv.wrap(network, mean=[0.1307], std=[0.3081], pixels="gray")
    (gray,) = encode(images(), "gray")
    with torch.no_grad():
        torch.testing.assert_close(wrapped(gray)["out0"], network((gray / 255 - 0.1307) / 0.3081))


def test_the_given_network_is_left_as_it_was() -> None:
    network = Plain().train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    wrapped = xv.wrap(network)
    with torch.no_grad():
        next(wrapped.network.parameters()).zero_()
    assert wrapped.training
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


def test_timm_says_mean_and_size() -> None:
    wrapped = xv.wrap(timm.create_model("mobilenetv3_small_050"))
    assert wrapped.size == (224, 224)
    assert "mean 0.485/0.456/0.406" in str(wrapped)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"mean": (0.5,), "std": (0.5,)},
            "expected mean and std as 3 numbers each, of pixels from 0 to 1, std above 0, got (0.5,)",
        ),
        (
            {"mean": (0.5,) * 3, "std": (1.0, 1.0, 0.0)},
            "above 0, got (0.5, 0.5, 0.5) and (1.0, 1.0, 0.0); give",
        ),
        ({"mean": (0.5,) * 3}, "wrap: expected mean and std, got one without the other; give both"),
        ({"mean": (123.0, 116.0, 103.0), "std": (58.0, 57.0, 57.0)}, "of pixels from 0 to 1"),
        ({"size": 16}, "wrap: expected size as numbers in a tuple, got int"),
    ],
)
def test_a_wrong_mean_is_refused(given: dict[str, tuple[float, ...]], message: str) -> None:
    with pytest.raises(ValueError, match="wrap: ") as caught:
        xv.wrap(Plain(), **given)  # type: ignore[arg-type]
    assert message in str(caught.value)


def test_other_channels_are_refused() -> None:
    with pytest.raises(
        ValueError, match="got 5 channels and pixels='rgb'; quantize it with the float batches"
    ):
        xv.wrap(Plain(5))
    with pytest.raises(
        ValueError, match="of gray ones \\(1\\) with pixels='gray', got 1 channels and pixels='rgb'"
    ):
        xv.wrap(Plain(1))


@pytest.mark.filterwarnings("ignore:.*fewer than 32")
def test_every_step_wraps_by_itself(tmp_path: Path) -> None:
    network, given = Plain(), images()
    with pytest.warns(UserWarning, match="Plain: expected to know the mean and std that it was trained with"):
        q = xv.quantize(network, iter([given, given]), method=RANGES_ALONE)
    file = xv.export(q, tmp_path / "int8.onnx")
    assert xv.verify(q, file, [given]).max_lsb == 0
    wrapped = xv.wrap(network)
    as_float = xv.export(wrapped, tmp_path / "float.onnx", inputs=[given[:1]])
    with pytest.warns(UserWarning, match="is given pixels as x / 255"):
        parity = xv.verify(network, as_float, [given])
    assert parity.ok
    assert parity.reference == "pytorch"


@pytest.mark.filterwarnings("ignore:.*fewer than 32")
def test_a_network_that_takes_pixels_is_not_wrapped(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="compute in float between integers: to "):
        q = xv.quantize(OfPixels(), [images()], method=RANGES_ALONE)
    assert q.meta["inputs"] == [([8, 3, 16, 16], "uint8")]  # type: ignore[index,union-attr]
    assert not any("normalize" in name for name, _ in q.named_modules())
    assert xv.verify(q, xv.export(q, tmp_path / "int8.onnx"), [images()]).max_lsb == 0


def test_export_needs_a_size(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected inputs=\\(tensor, …\\), example inputs of the size"):
        xv.export(xv.wrap(Plain()), tmp_path / "float.onnx")
    assert xv.export(xv.wrap(Plain(), size=(16, 24)), tmp_path / "float.onnx").exists()


def test_pixels_are_no_floats() -> None:
    with pytest.raises(ValueError, match="Wrapped: expected uint8 planes, got float32; give the pixels"):
        xv.quantize(xv.wrap(Plain()), [torch.zeros(4, 3, 16, 16)])
