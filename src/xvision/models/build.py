"""From the `net` section of a recipe to a model."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from xvision.models.model import Model
from xvision.models.pixels import Pixels, channels_of
from xvision.models.settings import Net
from xvision.models.weights import load


def build_model(net: Net, outputs: Mapping[str, int], size: tuple[int, int]) -> Model:
    """Build a network for images of `size`, with a head for each of `outputs` (name to channels).

    Fresh weights come from torch's generator: the same seed gives the same model. What became of weights from
    elsewhere goes to stderr, and stays in `Model.loaded`.

    Raises: ValueError if the network cannot do a setting, or its weights cannot be loaded.
    """
    backbone = net.backbone.build(channels_of(net.pixels), size)
    heads = {name: net.decoder.build(backbone, channels) for name, channels in outputs.items()}
    model = Model(Pixels(net.pixels), backbone, heads, size)
    if net.weights != "none":
        model.loaded = load(model, net.weights, backbone.published)
        print(model.loaded, file=sys.stderr)
    return model
