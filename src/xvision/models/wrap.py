"""Networks that are not ours, with uint8 pixels in front: what an exported file takes from a camera."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from xvision.graph.outputs import named
from xvision.graph.planes import Batch, called_with, plane_names, planes_of
from xvision.graph.shapes import in_eval_mode
from xvision.graph.trace import input_names
from xvision.models.folding import TrainedOn, pixels_to_training
from xvision.models.inputs import Inputs
from xvision.models.pixels import Pixels, YuvRange


class Wrapped(nn.Module):
    """A copy of a network that takes uint8 planes and returns a dict of named outputs, like a model of ours.

    A 1x1 convolution makes of the model's pixels the images that the network was `trained` on, whatever the pixel
    format. Folding it into the network's first layer would be cheaper, but no longer the same network: a layer that
    pads with zeros pads with the mean of the training images, and folded with another colour (ResNet-18, untrained, at
    224 px: 34 dB of signal over that difference, as much as int8 costs).
    """

    def __init__(
        self, network: nn.Module, trained: TrainedOn, inputs: Inputs, size: tuple[int, int] | None
    ) -> None:
        super().__init__()
        self.inputs = inputs
        self.size = size
        self.trained = trained
        self.pixels = Pixels(inputs.format, yuv_range=inputs.yuv_range)
        self.normalize = _normalization(inputs, trained)
        self.network = copy.deepcopy(network)

    def forward(self, *planes: Tensor) -> dict[str, Tensor]:
        return named(self.network(self.normalize(self.pixels(*planes))))

    def extra_repr(self) -> str:
        return str(self.trained)


def wrap(
    network: nn.Module,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    size: tuple[int, int] | None = None,
    pixels: str = "rgb",
    yuv_range: YuvRange = "studio",
) -> Wrapped:
    """A copy of a network that takes uint8 pixels, as an exported file does, and returns a dict of named outputs.

    `mean` and `std` are those of values between 0 and 1, one for each channel, which the network was trained with; by
    default what timm says of its networks, else 0 and 1. `size` is (height, width), for `export` before any batch was
    seen. `pixels` is the format in which a camera delivers them: rgb, bgr, gray, yuv444 or nv12, with
    the `yuv_range` studio or full.

    Raises: ValueError for means of another number than the network has channels.
    """
    known, channels = _published(network), _channels(network)
    if (mean is None) != (std is None):
        raise ValueError("wrap: expected mean and std, got one without the other; give both")
    for name, values in (("mean", mean), ("std", std), ("size", size)):
        if values is not None and not isinstance(values, Sequence):
            raise ValueError(f"wrap: expected {name} as numbers in a tuple, got {type(values).__name__}")
    mean = tuple(mean or known.get("mean") or (0.0,) * channels)
    std = tuple(std or known.get("std") or (1.0,) * channels)
    if channels not in (1, 3) or (channels == 1 and pixels != "gray"):
        raise ValueError(
            f"wrap: expected a network of images in colour (3 channels), or of gray ones (1) with pixels='gray', got "
            f"{channels} channels and pixels='{pixels}'; quantize it with the float batches that it takes"
        )
    if not len(mean) == len(std) == channels or min(std) <= 0 or max(*mean, *std) > 1:
        raise ValueError(
            f"wrap: expected mean and std as {channels} numbers each, of pixels from 0 to 1, std above 0, got "
            f"{mean} and {std}; give those of the network's training"
        )
    if size is None and "input_size" in known:
        height, width = known["input_size"][1:]
        size = (height, width)
    network_of = Wrapped(network, TrainedOn(mean, std), Inputs(pixels, yuv_range=yuv_range), size)
    return network_of.train(network.training)


def fitting(network: nn.Module, first: Batch | None) -> nn.Module:
    """What takes batches like the first one: see `with_pixels`.

    Raises: ValueError if it is none that the network could take.
    """
    if first is None:
        return network
    if not _knows_its_planes(network):
        network = called_with(network, first)
    (planes,) = planes_of(type(network).__name__, plane_names(network), [first])
    return with_pixels(network, planes)


def with_pixels(network: nn.Module, planes: Sequence[Tensor]) -> nn.Module:
    """The network itself; one that takes floats and is given uint8 pixels wrapped.

    Warns where nothing says which mean and deviation it wants. Raises: ValueError for floats where pixels are taken.
    """
    if input_names(network) and any(x.dtype != torch.uint8 for x in planes):
        kinds = ", ".join(str(x.dtype).removeprefix("torch.") for x in planes)
        raise ValueError(
            f"{type(network).__name__}: expected uint8 planes, got {kinds}; give the pixels as they are"
        )
    if _knows_its_planes(network) or len(planes) != 1:
        return network
    if planes[0].dtype != torch.uint8 or _takes(network, planes[0]):
        return network
    if not _published(network):
        warnings.warn(
            f"{type(network).__name__}: expected to know the mean and std that it was trained with, nothing says them; "
            "it is given pixels as x / 255, or say them by xv.wrap(network, mean=…, std=…)",
            stacklevel=3,
        )
    height, width = planes[0].shape[-2:]
    return wrap(network, size=(height, width), pixels="gray" if _channels(network) == 1 else "rgb")


def _knows_its_planes(network: nn.Module) -> bool:
    """Whether it is a model of ours, wrapped or captured."""
    return bool(input_names(network)) or (isinstance(network, fx.GraphModule) and "inputs" in network.meta)


def _takes(network: nn.Module, plane: Tensor) -> bool:
    with in_eval_mode(network), torch.no_grad():
        try:
            network(plane[:2].clone())
        except Exception:  # whatever it raises
            return False
    return True


def _published(network: nn.Module) -> dict[str, Any]:
    """What timm says of one of its networks."""
    return dict(getattr(network, "pretrained_cfg", None) or {})


def _channels(network: nn.Module) -> int:
    """Of the images that a network takes."""
    return next((m.in_channels for m in network.modules() if isinstance(m, nn.Conv2d)), 3)


def _normalization(inputs: Inputs, trained: TrainedOn) -> nn.Conv2d:
    matrix, offset = pixels_to_training(inputs, trained)
    conv = nn.Conv2d(matrix.shape[1], matrix.shape[0], 1)
    conv.weight = nn.Parameter(matrix.float()[..., None, None], requires_grad=False)
    conv.bias = nn.Parameter(offset.float(), requires_grad=False)
    return conv
