"""Changes of a whole network that its authors foresaw no argument for: width, activation, no squeeze-excite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from timm.layers import get_act_layer, make_divisible
from torch import nn

# By name: timm has classes of its own beside torch's.
ACTIVATIONS = frozenset(
    {"ReLU", "ReLU6", "Hardswish", "SiLU", "Swish", "GELU", "LeakyReLU", "ELU", "PReLU", "Mish"}
)
SQUEEZE_EXCITES = frozenset({"SqueezeExcite", "SqueezeExciteCl", "SEModule", "EffectiveSEModule"})


def set_activation(network: nn.Module, name: str, activation: str) -> None:
    """Replace every activation by another one; gates (sigmoid, hard sigmoid) stay."""
    fresh: Any = get_act_layer(activation)
    if _replace(network, ACTIVATIONS, lambda: fresh(inplace=True)) == 0:
        raise ValueError(f"net.backbone.act: {name} has no activation modules to replace; leave act out")


def remove_squeeze_excite(network: nn.Module, name: str) -> None:
    """Take out every squeeze-excite block: embedded runtimes are slow at its global pooling."""
    if _replace(network, SQUEEZE_EXCITES, nn.Identity) == 0:
        raise ValueError(f"net.backbone.squeeze_excite: {name} has no squeeze-excite blocks; leave it out")


def _replace(network: nn.Module, kinds: frozenset[str], fresh: Callable[[], nn.Module]) -> int:
    children = [(parent, key, m) for parent in network.modules() for key, m in parent.named_children()]
    found = [(parent, key) for parent, key, m in children if type(m).__name__ in kinds]
    for parent, key in found:
        setattr(parent, key, fresh())
    return len(found)


def set_norm_eps(network: nn.Module, eps: float) -> None:
    """The small number that batch norm adds to the variance."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = eps


def scale_width(network: nn.Module, name: str, ratio: float) -> None:
    """Multiply every channel count by `ratio`, rounded to multiples of 8; fresh weights.

    The image's channels and the class scores keep their number. Only for networks of plain convolutions (ResNet,
    VGG): grouped and depthwise ones round differently in each family, so timm has variants of its own.
    """
    if ratio <= 0:
        raise ValueError(f"net.backbone.width: expected a factor above 0, got {ratio:g}")
    layers = list(network.named_modules())
    convs = [m for _, m in layers if isinstance(m, nn.Conv2d)]
    for path, module in layers:
        unknown = any(True for _ in module.parameters(recurse=False)) and not isinstance(
            module, nn.Conv2d | nn.BatchNorm2d | nn.Linear
        )
        if unknown or (isinstance(module, nn.Conv2d) and module.groups != 1):
            raise ValueError(
                f"net.backbone.width: {name} has a layer that no width fits in general: '{path}' "
                f"({'grouped ' * (not unknown)}{type(module).__name__}); choose one of timm's variants of it"
            )
    scores = [m for _, m in layers if isinstance(m, nn.Linear)][-1:]
    for _, module in layers:
        if isinstance(module, nn.Conv2d):
            first = module is convs[0]
            _resize_conv(module, module.in_channels if first else _scaled(module.in_channels, ratio), ratio)
        elif isinstance(module, nn.BatchNorm2d):
            _resize_norm(module, _scaled(module.num_features, ratio))
        elif isinstance(module, nn.Linear):
            out = module.out_features if module in scores else _scaled(module.out_features, ratio)
            _resize_linear(module, _scaled(module.in_features, ratio), out)


def _scaled(channels: int, ratio: float) -> int:
    return int(make_divisible(channels * ratio, 8))


def _resize_conv(conv: nn.Conv2d, inputs: int, ratio: float) -> None:
    conv.in_channels, conv.out_channels = inputs, _scaled(conv.out_channels, ratio)
    conv.weight = nn.Parameter(conv.weight.new_empty(conv.out_channels, inputs, *conv.kernel_size))
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    if conv.bias is not None:
        conv.bias = nn.Parameter(conv.bias.new_zeros(conv.out_channels))


def _resize_norm(norm: nn.BatchNorm2d, channels: int) -> None:
    """A fresh norm holds one number in each of its tensors (0 in a ResNet's last norms): keep that number."""
    norm.num_features = channels
    for key in ("weight", "bias", "running_mean", "running_var"):
        value = getattr(norm, key)
        longer = value.detach()[:1].repeat(channels)
        setattr(norm, key, nn.Parameter(longer) if isinstance(value, nn.Parameter) else longer)


def _resize_linear(linear: nn.Linear, inputs: int, outputs: int) -> None:
    linear.in_features, linear.out_features = inputs, outputs
    linear.weight = nn.Parameter(linear.weight.new_empty(outputs, inputs))
    nn.init.normal_(linear.weight, 0, 0.01)
    if linear.bias is not None:
        linear.bias = nn.Parameter(linear.bias.new_zeros(outputs))
