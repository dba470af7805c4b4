"""Folded weights on uint8 pixels compute what the original ones do on normalised images."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, fx, nn

from xvision.models.folding import (
    FirstLayer,
    TrainedOn,
    first_layers,
    fold,
    fold_difference_db,
    own_pixels,
    pixels_to_training,
)
from xvision.models.inputs import Inputs
from xvision.models.pixels import PLANES, Pixels, YuvRange, channels_of, encode

IMAGENET_BGR = TrainedOn(mean=(0.406, 0.456, 0.485), std=(0.225, 0.224, 0.229), order="bgr")


class Stem(nn.Module):
    """A first block, with batch norm or a bias, with or without padding."""

    def __init__(self, channels: int, norm: bool, padding: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 4, 3, padding=padding, bias=not norm)
        self.bn = nn.BatchNorm2d(4) if norm else nn.Identity()

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (self.bn(self.conv(x)),)


def traced(channels: int, *, norm: bool = True, padding: int = 0) -> fx.GraphModule:
    return fx.symbolic_trace(Stem(channels, norm, padding)).eval()


def raw_state(norm: bool) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    state = {
        key: torch.rand(v.shape, generator=generator) for key, v in Stem(3, norm, 0).state_dict().items()
    }
    state["conv.weight"] -= 0.5
    state.pop("bn.num_batches_tracked", None)
    return state


@pytest.mark.parametrize("trained", [TrainedOn(), IMAGENET_BGR], ids=str)
@pytest.mark.parametrize("format", ["rgb", "bgr", "gray"])
@pytest.mark.parametrize("norm", [True, False], ids=["norm", "bias"])
def test_folding_is_exact_without_padding(format: str, trained: TrainedOn, norm: bool) -> None:
    raw, module = raw_state(norm), traced(channels_of(format), norm=norm)
    module.load_state_dict(fold(raw, first_layers(module), Inputs(format), trained), strict=False)
    rgb = torch.randint(0, 256, (1, 3, 9, 9), dtype=torch.uint8)
    if format == "gray":
        rgb = rgb[:, :1].expand(-1, 3, -1, -1)
    (expected,) = torch.func.functional_call(module, raw, (trained.images(rgb),))
    (got,) = module(Pixels(format)(*encode(rgb, format)))
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    assert fold_difference_db(module, raw, Inputs(format), trained, (32, 32)) > 90


@pytest.mark.parametrize("yuv_range", ["studio", "full"])
@pytest.mark.parametrize("format", ["yuv444", "nv12"])
def test_yuv_differs_by_its_rounding_only(format: str, yuv_range: YuvRange) -> None:
    raw, module, inputs = raw_state(True), traced(3), Inputs(format, yuv_range=yuv_range)
    module.load_state_dict(fold(raw, first_layers(module), inputs, TrainedOn()), strict=False)
    assert fold_difference_db(module, raw, inputs, TrainedOn(), (128, 128)) > 25
    other = Inputs(format, yuv_range="full" if yuv_range == "studio" else "studio")
    assert fold_difference_db(module, raw, other, TrainedOn(), (128, 128)) < 21


def test_the_padded_border_differs_and_is_measured() -> None:
    raw, module = raw_state(True), traced(3, padding=1)
    module.load_state_dict(fold(raw, first_layers(module), Inputs("rgb"), TrainedOn()), strict=False)
    rgb = torch.randint(0, 256, (1, 3, 16, 16), dtype=torch.uint8)
    (expected,) = torch.func.functional_call(module, raw, (TrainedOn().images(rgb),))
    difference = (module(Pixels("rgb")(rgb))[0] - expected).abs()
    assert difference[..., 1:-1, 1:-1].max() < 1e-4
    assert difference.max() > 1e-2
    assert 10 < fold_difference_db(module, raw, Inputs("rgb"), TrainedOn(), (64, 64)) < 60


def test_our_own_pixels_fold_into_nothing() -> None:
    trained = own_pixels("bgr")
    assert trained is not None
    matrix, offset = pixels_to_training(Inputs("bgr"), trained)
    assert torch.equal(matrix, torch.eye(3, dtype=torch.float64))
    assert torch.equal(offset, torch.zeros(3, dtype=torch.float64))
    assert own_pixels("nv12") is None


@pytest.mark.parametrize("format", PLANES)
def test_every_format_has_a_matrix(format: str) -> None:
    matrix, offset = pixels_to_training(Inputs(format), TrainedOn())
    assert (matrix.shape, offset.shape) == ((3, channels_of(format)), (3,))


def test_first_layers_of_other_networks_are_refused() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pool = nn.MaxPool2d(2)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.pool(x)
            return out

    assert first_layers(traced(3)) == [FirstLayer("conv", "bn")]
    with pytest.raises(
        ValueError, match=r"but the network begins with 'pool' \(MaxPool2d\); use weights=none, or"
    ):
        first_layers(fx.symbolic_trace(Odd()))
