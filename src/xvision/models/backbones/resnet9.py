"""ResNet-9, a network for small images that is cheap to train: few wide layers, and half of them residual.

Source: Page, "How to Train Your ResNet" (2018, myrtle.ai/learn/how-to-train-your-resnet, part 4); the average over the
last map in the place of its maximum, because every runtime has it.
"""

from __future__ import annotations

from torch import Tensor, nn

from xvision.models.backbone import Backbone, assemble
from xvision.models.backbones import backbone


@backbone
def resnet9(
    channels: int,
    size: tuple[int, int],
    *,
    widths: tuple[int, int, int, int] = (64, 128, 256, 512),
    strides: tuple[int, ...] = (),
    output_stride: int = 32,
    fast_down: bool = False,
) -> Backbone:
    """ResNet-9 for images of 32 pixels or so: levels of stride 1, 2, 4 and 8 with `widths` channels.

    `strides` has a 1 for each halving of the resolution that is not to be done, `output_stride` dilates instead,
    `fast_down` halves once more.
    """
    return assemble(
        "resnet9",
        ResNet9(channels, widths),
        channels,
        strides=strides,
        output_stride=output_stride,
        fast_down=fast_down,
    )


class ResNet9(nn.Module):
    """A stem, and three stages of a convolution and a pooling; residual blocks after the first and the third."""

    def __init__(self, channels: int, widths: tuple[int, int, int, int]) -> None:
        super().__init__()
        stem, one, two, three = widths
        self.stem = _conv(channels, stem)
        self.stage1 = nn.Sequential(_conv(stem, one), nn.MaxPool2d(2), Residual(one))
        self.stage2 = nn.Sequential(_conv(one, two), nn.MaxPool2d(2))
        self.stage3 = nn.Sequential(_conv(two, three), nn.MaxPool2d(2), Residual(three))
        self.fc = nn.Linear(three, 1000)

    def forward_intermediates(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        levels = [stem := self.stem(x)]
        levels.append(stage1 := self.stage1(stem))
        levels.append(stage2 := self.stage2(stage1))
        levels.append(stage3 := self.stage3(stage2))
        return stage3, levels

    def forward_head(self, x: Tensor) -> Tensor:
        scores: Tensor = self.fc(x.mean([2, 3]))
        return scores


class Residual(nn.Module):
    """Two convolutions, added to their input (after their ReLU, as in the source)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = _conv(width, width), _conv(width, width)

    def forward(self, x: Tensor) -> Tensor:
        branch: Tensor = self.conv2(self.conv1(x))
        return x + branch


def _conv(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )
