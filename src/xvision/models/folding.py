"""Folding: weights trained on normalised images take the model's own pixels instead.

A network was trained on t = (x / 255 - mean) / std, its channels in some order; ours gets p = (y - 128) / 64, y
being the planes of its pixel format. For every format t is linear in p: t = T p + b. So the first convolution
becomes W' = W T, and W b goes where a bias is: into the convolution's own, or out of the running mean of the
batch norm that follows. This is exact but for the border, where the convolution pads with zeros: zero was the mean
of the training images, and is mid-gray now.

YUV to RGB is the inverse of BT.601's matrix, of studio swing (ITU-R BT.601-7; rounded as in Jack, "Video
Demystified", 4th ed., chapter 3) or of full swing (ITU-T T.871, section 7); the gray of a
monochrome camera counts as R = G = B.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, fx, nn

from xvision.graph.shapes import in_eval_mode
from xvision.models.inputs import Inputs
from xvision.models.pixels import STEPS, ZERO_POINT, Pixels, YuvRange, encode

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

YUV_TO_RGB: dict[YuvRange, tuple[tuple[float, ...], ...]] = {
    "studio": ((1.164, 0.0, 1.596), (1.164, -0.392, -0.813), (1.164, 2.017, 0.0)),
    "full": ((1.0, 0.0, 1.402), (1.0, -0.3441, -0.7141), (1.0, 1.772, 0.0)),
}
YUV_ZERO: dict[YuvRange, tuple[float, ...]] = {"studio": (16.0, 128.0, 128.0), "full": (0.0, 128.0, 128.0)}


@dataclass(frozen=True)
class TrainedOn:
    """The images that weights were trained on: channels scaled to 0-1, minus mean, over std, in this order."""

    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    order: Literal["rgb", "bgr"] = "rgb"

    def __str__(self) -> str:
        mean, std = ("/".join(f"{v:.4g}" for v in values) for values in (self.mean, self.std))
        return f"{self.order.upper()}, mean {mean}, std {std}"

    def images(self, rgb: Tensor) -> Tensor:
        """uint8 (B, 3, H, W) in RGB as the network saw it in its training."""
        x = (rgb if self.order == "rgb" else rgb.flip(1)).float() / 255
        return (x - x.new_tensor(self.mean).view(3, 1, 1)) / x.new_tensor(self.std).view(3, 1, 1)


def own_pixels(format: str) -> TrainedOn | None:
    """What a model of ours was trained on, in the same terms; None for formats that are not RGB."""
    if format not in ("rgb", "bgr"):
        return None
    mean, std = (ZERO_POINT / 255,) * 3, (STEPS / 255,) * 3
    return TrainedOn(mean, std, "rgb" if format == "rgb" else "bgr")


def pixels_to_training(inputs: Inputs, trained: TrainedOn) -> tuple[Tensor, Tensor]:
    """The matrix T (3, C) and the vector b (3) of t = T p + b, in float64; of training on gray (1, 1) and (1)."""
    eye = torch.eye(3, dtype=torch.float64)
    yuv = eye.new_tensor(YUV_TO_RGB[inputs.yuv_range]), eye.new_tensor(YUV_ZERO[inputs.yuv_range])
    to_rgb, zero = {
        "rgb": (eye, eye.new_zeros(3)),
        "bgr": (eye.flip(0), eye.new_zeros(3)),
        "gray": (eye.new_ones(len(trained.mean), 1), eye.new_zeros(1)),
        "yuv444": yuv,
        "nv12": yuv,
    }[inputs.format]
    if trained.order == "bgr":
        to_rgb = to_rgb.flip(0)
    std = 255 * eye.new_tensor(trained.std)
    offset = to_rgb @ (ZERO_POINT - zero) - 255 * eye.new_tensor(trained.mean)
    return to_rgb * STEPS / std.unsqueeze(1), offset / std


@dataclass(frozen=True)
class FirstLayer:
    """Names of a convolution that sees the image, and of the batch norm after it ("" if it has a bias itself)."""

    conv: str
    norm: str

    @property
    def folded_keys(self) -> tuple[str, str]:
        """Names of the tensors that folding changes: the factor, and what takes the constant."""
        return f"{self.conv}.weight", f"{self.norm}.running_mean" if self.norm else f"{self.conv}.bias"


def first_layers(backbone: fx.GraphModule, stream: int = 0) -> list[FirstLayer]:
    """The layers to fold into for an input of the network: one, or the parallel branches of the first block.

    Raises: ValueError if the network begins otherwise.
    """
    image = [n for n in backbone.graph.nodes if n.op == "placeholder"][stream]
    found = []
    for node in (user for user in image.users if user.op == "call_module"):
        layer = backbone.get_submodule(str(node.target))
        after = [str(u.target) for u in node.users if u.op == "call_module"]
        norm = backbone.get_submodule(after[0]) if len(after) == 1 else None
        if isinstance(layer, nn.Conv2d) and layer.bias is not None:
            found.append(FirstLayer(str(node.target), ""))
        elif isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            found.append(FirstLayer(str(node.target), after[0]))
        else:
            raise ValueError(
                f"net.weights: these were trained on normalised images, which must be folded into a first "
                f"convolution with a bias or batch norm, but the network begins with '{node.target}' "
                f"({type(layer).__name__}); use weights=none, or another backbone"
            )
    return found


def fold(
    state: Mapping[str, Tensor], layers: list[FirstLayer], inputs: Inputs, trained: TrainedOn
) -> dict[str, Tensor]:
    """A copy of a backbone's weights that takes the model's pixels instead of normalised images."""
    matrix, offset = pixels_to_training(inputs, trained)
    folded = dict(state)
    for layer in layers:
        factor, term = layer.folded_keys
        weight = state[factor].double()
        constant = torch.einsum("okhw,k->o", weight, offset)
        folded[factor] = torch.einsum("okhw,kc->ochw", weight, matrix).float()
        folded[term] = (state[term].double() + (-constant if layer.norm else constant)).float()
    return folded


def fold_difference_db(
    backbone: fx.GraphModule,
    raw: Mapping[str, Tensor],
    inputs: Inputs,
    trained: TrainedOn,
    size: tuple[int, int],
) -> float:
    """How near the folded network's outputs are to those of the network as trained: signal over error, in dB.

    Measured on two smooth random images, at most 128 pixels wide, gray if that is the format; only the padded
    border and the rounding of YUV differ. `raw` are the weights before folding. A previous frame is the image again;
    streams of flow have no part in folding and see no motion.
    """
    even = tuple(min(side, 128) // 2 * 2 for side in size)
    generator = torch.Generator().manual_seed(0)
    light, colour = torch.randn(2, 1, 9, 9, generator=generator), torch.randn(2, 3, 9, 9, generator=generator)
    coarse = 128 + 50 * light + (0 if inputs.format == "gray" else 15) * colour
    smooth = nn.functional.interpolate(coarse, size=even, mode="bicubic", align_corners=True)
    rgb = smooth.round().clamp(0, 255).to(torch.uint8)
    with in_eval_mode(backbone), torch.no_grad():
        before, after = [], []
        for stream in inputs.streams:
            still = torch.zeros(2, stream.channels, *even)
            before.append(trained.images(rgb) if stream.is_camera else still)
            after.append(
                Pixels(stream.format)(*encode(rgb, stream.format, stream.yuv_range))
                if stream.is_camera
                else still
            )
        expected = torch.func.functional_call(backbone, dict(raw), tuple(before))
        got = backbone(*after)
    signal = sum(x.double().square().sum().item() for x in expected)
    error = sum((x - y).double().square().sum().item() for x, y in zip(expected, got, strict=True))
    return 10 * math.log10(signal / error) if error else math.inf
