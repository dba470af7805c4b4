"""Heads: the prediction layers of a decoder, from its features to named outputs.

Maps as large as the image share one prediction, whose channels are divided among them: what is common is computed once,
and upsampled once. Each tensor at a stride has layers of its own on the features of that stride.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from xvision.models.blocks import UpsampleMode, prediction, upsample
from xvision.models.outputs import OutputSpec, tensor_names

PredictionLayers = Mapping[str, tuple[nn.Module, ...]]
"""Name of an output to the layers whose channels are its own, or its own beside those of other outputs."""


def channels_of(outputs: Sequence[OutputSpec]) -> int:
    """The channels of all outputs together."""
    return sum(output.channels for output in outputs)


def split(x: Tensor, outputs: Sequence[OutputSpec]) -> dict[str, Tensor]:
    """Each output's channels of a tensor that holds one after the other.

    Shapes: (B, sum of channels, …) to (B, channels, …) each.
    """
    if len(outputs) == 1:
        return {outputs[0].name: x}
    ends = [channels_of(outputs[: i + 1]) for i in range(len(outputs))]
    return {o.name: x[:, end - o.channels : end] for o, end in zip(outputs, ends, strict=True)}


class MapHead(nn.Module):
    """Maps as large as the image from features of one stride.

    Shapes: (B, in_channels, H / stride, W / stride) to (B, channels, H, W) of each output.
    """

    def __init__(
        self,
        in_channels: int,
        outputs: Sequence[OutputSpec],
        stride: int,
        upsample_mode: UpsampleMode,
        group_width: int,
    ) -> None:
        super().__init__()
        self.outputs = tuple(outputs)
        channels = channels_of(outputs)
        self.predict = prediction(in_channels, channels, group_width)
        self.upsample = upsample(stride, channels, upsample_mode)

    @property
    def prediction_layers(self) -> PredictionLayers:
        return {output.name: (self.predict[-1], self.upsample) for output in self.outputs}

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return split(self.upsample(self.predict(x)), self.outputs)


class PyramidHead(nn.Module):
    """Outputs at the strides of a pyramid: for each tensor a prediction of its own.

    Shapes: (B, in_channels, H / s, W / s) of each stride s to (B, channels, H / s, W / s).
    """

    def __init__(self, in_channels: int, outputs: Sequence[OutputSpec], group_width: int) -> None:
        super().__init__()
        self.outputs = tuple(outputs)
        self.strides = {
            name: stride for o in outputs for name, stride in zip(o.names, o.strides, strict=True)
        }
        self.predict = nn.ModuleDict(
            {name: prediction(in_channels, o.channels, group_width) for o in outputs for name in o.names}
        )

    @property
    def prediction_layers(self) -> PredictionLayers:
        return {output.name: tuple(self.predict[name] for name in output.names) for output in self.outputs}

    def forward(self, features: Mapping[int, Tensor]) -> dict[str, Tensor]:
        return {name: self.predict[name](features[stride]) for name, stride in self.strides.items()}


class Heads(nn.Module):
    """All outputs of a pyramid of features: maps as large as the image from its largest level, others at their strides.

    Shapes: features (B, in_channels, H / s, W / s) by their stride s; `largest` is what full-size maps are made from,
    of `first_stride`.
    """

    def __init__(
        self,
        in_channels: int,
        outputs: Sequence[OutputSpec],
        first_stride: int,
        upsample_mode: UpsampleMode,
        group_width: int,
    ) -> None:
        super().__init__()
        self.names = tensor_names(outputs)
        full, levels = [o for o in outputs if not o.strides], [o for o in outputs if o.strides]
        self.maps = MapHead(in_channels, full, first_stride, upsample_mode, group_width) if full else None
        self.pyramid = PyramidHead(in_channels, levels, group_width) if levels else None

    @property
    def prediction_layers(self) -> PredictionLayers:
        heads = (head for head in (self.maps, self.pyramid) if head is not None)
        return dict(pair for head in heads for pair in head.prediction_layers.items())

    def forward(self, largest: Tensor, features: Mapping[int, Tensor]) -> dict[str, Tensor]:
        found = {} if self.maps is None else self.maps(largest)
        if self.pyramid is not None:
            found |= self.pyramid(features)
        return {name: found[name] for name in self.names}


def finest_stride(outputs: Sequence[OutputSpec], first_stride: int, default: int, deepest: int) -> int:
    """The stride at which a pyramid of features begins, so that every level of it is read.

    `first_stride`, or where it is 0 the smallest of what outputs need: maps as large as the image `default`, others
    their own.

    Raises: ValueError if an output has a stride that the pyramid up to `deepest` lacks, or none has the first.
    """
    strides = sorted({stride for output in outputs for stride in output.strides})
    full = any(not output.strides for output in outputs)
    first = first_stride or min([default] * full + strides)
    levels = [first << i for i in range((deepest // first).bit_length())]
    if wrong := [stride for stride in strides if stride not in levels]:
        raise ValueError(
            f"net.decoder: expected outputs at strides {', '.join(map(str, levels))}, got {wrong[0]}; set "
            "net.decoder.first_stride, or choose another backbone"
        )
    if not full and first < strides[0]:
        raise ValueError(
            f"net.decoder.first_stride: expected {strides[0]}, the smallest stride of an output, got {first}, which "
            "nothing reads; leave it out"
        )
    return first
