"""Small networks, one for each pattern of operators that quantization and export must get right."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from timm.layers import Conv2dSame
from torch import Tensor, nn

from xvision.models.pixels import Pixels


class Pattern(nn.Module):
    """A stem, the pattern, a named head; uint8 pixels in."""

    def __init__(self, body: nn.Module, channels: int = 16, outputs: int | None = 10) -> None:
        super().__init__()
        self.pixels = Pixels()
        self.stem = conv_bn(3, 16, stride=2)
        self.body = body
        self.head = nn.Linear(channels, outputs) if outputs else nn.Identity()

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        x = self.body(F.relu(self.stem(self.pixels(image))))
        return {"class": self.head(x.mean((2, 3))) if isinstance(self.head, nn.Linear) else x}


def conv_bn(inputs: int, outputs: int, kernel: int = 3, **options: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False, **options)  # type: ignore[arg-type]
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


class Residual(nn.Module):
    """Addition and then ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = conv_bn(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.branch(x) + x)


class SqueezeExcite(nn.Module):
    def __init__(self, gate: nn.Module) -> None:
        super().__init__()
        self.reduce, self.expand = nn.Conv2d(16, 4, 1), nn.Conv2d(4, 16, 1)
        self.gate = gate

    def forward(self, x: Tensor) -> Tensor:
        s = F.adaptive_avg_pool2d(x, 1)
        return x * self.gate(self.expand(F.relu(self.reduce(s))))


class Shuffle(nn.Module):
    """ShuffleNet's unit: split, one half through convolutions, concatenation, channels interleaved."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Sequential(*conv_bn(8, 8, 1), nn.ReLU(), *conv_bn(8, 8, groups=8))

    def forward(self, x: Tensor) -> Tensor:
        left, right = x.chunk(2, dim=1)
        x = torch.cat((left, self.branch(right)), dim=1)
        batch, channels, height, width = x.size()
        x = x.view(batch, 2, channels // 2, height, width).transpose(1, 2).contiguous()
        return x.view(batch, -1, height, width)


class Concat(nn.Module):
    """Signed and unsigned tensors of different range, joined; ReLU6 on the joined tensors' grid."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.fuse = conv_bn(16, 8), conv_bn(16, 8, 1), conv_bn(16, 16, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.fuse(torch.cat((self.a(x), F.relu6(3 * self.b(x))), dim=1)))


class StackedSum(nn.Module):
    """Tensors of different range, stacked and added up, as decoders do."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = conv_bn(16, 16), conv_bn(16, 16, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(torch.stack([self.a(x), 3 * self.b(x), x]).sum(dim=0))


class Affinity(nn.Module):
    """Products of two tensors, as attention has them, a division and a difference of what is known."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = conv_bn(16, 4, 1), conv_bn(16, 4, 1), conv_bn(16, 16, 1)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (part(x).flatten(2) for part in (self.q, self.k, self.v))
        weights = 1 - torch.sigmoid(q.transpose(1, 2) @ k / 3)
        return (v @ weights).reshape(x.shape) / 12


class Resized(nn.Module):
    """Enlarged and added to a shortcut, as decoders do."""

    def __init__(self, mode: str, factor: int = 2) -> None:
        super().__init__()
        self.down = conv_bn(16, 16, stride=factor)
        self.mode, self.factor = mode, factor

    def forward(self, x: Tensor) -> Tensor:
        align = {} if self.mode == "nearest" else {"align_corners": False}
        return x + F.interpolate(F.relu(self.down(x)), scale_factor=self.factor, mode=self.mode, **align)


class Functional(nn.Module):
    """One activation module used twice, in-place functions, a constant, dropout, a slice."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.act = conv_bn(16, 16), conv_bn(16, 16), nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.a(x))
        y = F.dropout(y, 0.5, training=self.training)
        y += x
        return F.hardtanh_(self.act(self.b(y))[:, :, 1:, 1:], 0.0, 2.0)


class PreActivation(nn.Module):
    """Batch norm without a convolution before it, and a tensor read before and after its ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(16), conv_bn(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(F.relu(self.norm(x)))
        return F.relu(y) * 0.5 + y


def _seq(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(*layers)


PATTERNS: dict[str, Callable[[], nn.Module]] = {
    "conv_relu": lambda: Pattern(_seq(conv_bn(16, 16), nn.ReLU())),
    "conv_relu6": lambda: Pattern(_seq(conv_bn(16, 16), nn.ReLU6())),
    "conv_linear": lambda: Pattern(conv_bn(16, 16)),
    "conv_hardtanh": lambda: Pattern(_seq(conv_bn(16, 16), nn.Hardtanh(-0.75, 0.75))),
    "conv_with_bias": lambda: Pattern(_seq(nn.Conv2d(16, 16, 3, padding=1), nn.ReLU())),
    "depthwise_relu6": lambda: Pattern(_seq(conv_bn(16, 16, groups=16), nn.ReLU6(), conv_bn(16, 16, 1))),
    "grouped": lambda: Pattern(_seq(conv_bn(16, 32, groups=4, stride=2), nn.ReLU()), 32),
    "dilated": lambda: Pattern(_seq(nn.Conv2d(16, 16, 3, padding=2, dilation=2), nn.ReLU())),
    "same_padding": lambda: Pattern(
        _seq(Conv2dSame(16, 16, 4), nn.ReLU(), nn.Conv2d(16, 16, 3, padding="same"))
    ),
    "add_relu": lambda: Pattern(_seq(Residual(), Residual())),
    "concat": lambda: Pattern(Concat()),
    "affinity": lambda: Pattern(Affinity()),
    "stacked_sum": lambda: Pattern(StackedSum()),
    "max_pool": lambda: Pattern(_seq(nn.MaxPool2d(3, 2, 1), conv_bn(16, 16), nn.ReLU())),
    "avg_pool_2": lambda: Pattern(_seq(nn.AvgPool2d(2), conv_bn(16, 16), nn.ReLU())),
    "avg_pool_3": lambda: Pattern(_seq(nn.AvgPool2d(3, 2, 1), conv_bn(16, 16), nn.ReLU())),
    "adaptive_pool": lambda: Pattern(_seq(nn.AdaptiveAvgPool2d(4), conv_bn(16, 16), nn.ReLU())),
    "flatten": lambda: _seq_model(),
    "squeeze_excite_hard": lambda: Pattern(SqueezeExcite(nn.Hardsigmoid())),
    "squeeze_excite": lambda: Pattern(SqueezeExcite(nn.Sigmoid())),
    "hardswish": lambda: Pattern(_seq(conv_bn(16, 16), nn.Hardswish(), conv_bn(16, 16, 1))),
    "silu": lambda: Pattern(_seq(conv_bn(16, 16), nn.SiLU(), conv_bn(16, 16, 1))),
    "leaky_relu": lambda: Pattern(_seq(conv_bn(16, 16), nn.LeakyReLU(0.1), conv_bn(16, 16, 1))),
    "shuffle": lambda: Pattern(_seq(Shuffle(), Shuffle())),
    "transposed": lambda: Pattern(_seq(nn.ConvTranspose2d(16, 8, 2, 2), nn.BatchNorm2d(8), nn.ReLU()), 8),
    "transposed_grouped": lambda: Pattern(
        _seq(nn.ConvTranspose2d(16, 16, 4, 2, 1, groups=8, bias=False), nn.BatchNorm2d(16), nn.ReLU())
    ),
    "nearest": lambda: Pattern(Resized("nearest")),
    "bilinear": lambda: Pattern(Resized("bilinear")),
    "bilinear_4": lambda: Pattern(Resized("bilinear", 4)),
    "functional": lambda: Pattern(Functional()),
    "pre_activation": lambda: Pattern(PreActivation()),
    "map_head": lambda: Pattern(nn.Conv2d(16, 5, 1), outputs=None),
    "resized_head": lambda: Pattern(
        _seq(nn.Conv2d(16, 5, 1), nn.UpsamplingBilinear2d(scale_factor=1)), outputs=None
    ),
    "two_heads": lambda: TwoHeads(),
}


class TwoHeads(nn.Module):
    """A class and a map from one trunk; NV12 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.pixels = Pixels("nv12")
        self.trunk = _seq(conv_bn(3, 16, stride=2), nn.ReLU(), Residual())
        self.map, self.linear = nn.Conv2d(16, 2, 1), nn.Linear(16, 4)

    def forward(self, *planes: Tensor) -> dict[str, Tensor]:
        x = self.trunk(self.pixels(*planes))
        return {"depth": self.map(x), "class": self.linear(F.adaptive_avg_pool2d(x, 1).flatten(1))}


def _seq_model() -> nn.Module:
    class Flattened(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pixels = Pixels()
            self.features = _seq(conv_bn(3, 8, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(7))
            self.classifier = _seq(nn.Linear(8 * 7 * 7, 32), nn.ReLU(), nn.Dropout(), nn.Linear(32, 10))

        def forward(self, image: Tensor) -> dict[str, Tensor]:
            return {"class": self.classifier(torch.flatten(self.features(self.pixels(image)), 1))}

    return Flattened()


def planes_for(model: nn.Module, size: int = 24, batch: int = 8, seed: int = 0) -> tuple[Tensor, ...]:
    """Random planes in the model's pixel format, from smooth to noisy."""
    generator = torch.Generator().manual_seed(seed)
    streams = [part for part in model.children() if isinstance(part, Pixels)]
    planes = []
    for plane in (plane for pixels in streams for plane in pixels.planes):
        side = size // plane.subsampling
        coarse = torch.rand(batch, plane.channels, 4, 4, generator=generator)
        smooth = F.interpolate(coarse, size=(side, side), mode="bilinear", align_corners=False)
        noise = torch.rand(batch, plane.channels, side, side, generator=generator)
        values = (255 * (0.7 * smooth + 0.3 * noise)).to(torch.uint8)
        planes.append(values.permute(0, 2, 3, 1).contiguous() if plane.interleaved else values)
    return tuple(planes)


def with_statistics(model: nn.Module, planes: tuple[Tensor, ...]) -> nn.Module:
    """Random, uneven batch norms with statistics of `planes`, so that activations have real ranges; eval mode."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # statistics of one batch, not a moving average
            module.weight.data = 0.5 + torch.rand(module.num_features, generator=generator)
            module.bias.data = torch.randn(module.num_features, generator=generator) / 2
    with torch.no_grad():
        model.train()(*planes)
    return model.eval()


def trained(name: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """A pattern as it could be after training, and images for it."""
    torch.manual_seed(0)
    model = PATTERNS[name]()
    planes = planes_for(model)
    return with_statistics(model, planes), planes
