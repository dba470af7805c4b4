"""Networks of torchvision that timm does not have: ShuffleNetV2."""

from __future__ import annotations

from typing import Any, Literal

import torchvision.models as library
from torch import Tensor, nn
from torchvision.models.shufflenetv2 import ShuffleNetV2

from xvision.models.backbone import Backbone, Published, assemble
from xvision.models.backbones import backbone


class ShuffleNet(ShuffleNetV2):  # type: ignore[misc] # torchvision has no types
    """ShuffleNetV2 (Ma et al., 2018) with levels, for the contract of `xvision.models.backbone.network_graph`."""

    def forward_intermediates(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        levels = [stem := self.conv1(x)]
        levels.append(pooled := self.maxpool(stem))
        levels.append(stage2 := self.stage2(pooled))
        levels.append(stage3 := self.stage3(stage2))
        levels.append(stage4 := self.stage4(stage3))
        return stage4, levels

    def forward_head(self, x: Tensor) -> Tensor:
        scores: Tensor = self.fc(self.conv5(x).mean([2, 3]))
        return scores


STAGE_CHANNELS = {
    "shufflenet_v2_x0_5": [24, 48, 96, 192, 1024],
    "shufflenet_v2_x1_0": [24, 116, 232, 464, 1024],
    "shufflenet_v2_x1_5": [24, 176, 352, 704, 1024],
    "shufflenet_v2_x2_0": [24, 244, 488, 976, 2048],
}  # table 5 of the paper


@backbone
def torchvision(
    channels: int,
    size: tuple[int, int],
    *,
    model: Literal["shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "shufflenet_v2_x1_5", "shufflenet_v2_x2_0"],
    strides: tuple[int, ...] = (),
    output_stride: int = 32,
    fast_down: bool = False,
) -> Backbone:
    """A network of torchvision that timm does not have, for example torchvision:shufflenet_v2_x1_0.

    `strides` has a 1 for each halving of the resolution that is not to be done, `output_stride` dilates instead,
    `fast_down` halves once more.
    """
    network = ShuffleNet([4, 8, 4], STAGE_CHANNELS[model])
    if channels != 3:
        stem: Any = network.conv1
        stem[0] = nn.Conv2d(channels, stem[0].out_channels, 3, stride=2, padding=1, bias=False)
    return assemble(
        model,
        network,
        channels,
        strides=strides,
        output_stride=output_stride,
        fast_down=fast_down,
        published=_published(model),
    )


def _published(model: str) -> Published:
    weights: Any = library.get_model_weights(model)["DEFAULT"]

    def load() -> dict[str, Tensor]:
        state: dict[str, Tensor] = weights.get_state_dict(progress=False, check_hash=True)
        return state

    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    return Published(weights.url, "BSD-3-Clause (torchvision); trained on ImageNet", mean, std, load)
