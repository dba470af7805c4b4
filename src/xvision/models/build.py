"""From the `net` section of a recipe to a model."""

from __future__ import annotations

from collections.abc import Mapping

from xvision.models.model import Model
from xvision.models.pixels import Pixels, channels_of
from xvision.models.settings import Net


def build_model(net: Net, outputs: Mapping[str, int], size: tuple[int, int]) -> Model:
    """Build a network for images of `size`, with a head for each of `outputs` (name to channels).

    Fresh weights come from torch's generator: the same seed gives the same model.
    """
    backbone = net.backbone.build(channels_of(net.pixels), size)
    heads = {name: net.decoder.build(backbone, channels) for name, channels in outputs.items()}
    return Model(Pixels(net.pixels), backbone, heads, size)
