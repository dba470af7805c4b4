"""From the `net` section of a recipe to a model."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from torch import nn

from xvision.config.messages import nearest
from xvision.models.model import SEPARATOR, Model, Shared
from xvision.models.settings import Net
from xvision.models.weights import load


def build_model(
    net: Net, outputs: Mapping[str, int], size: tuple[int, int], owners: Mapping[str, str] | None = None
) -> Model:
    """Build a network for images of `size`, with a head for each of `outputs` (name to channels), or a shared one.

    `owners` are the outputs' tasks, by which `net.heads` names its decoders; by default the outputs themselves.

    Fresh weights come from torch's generator: the same seed gives the same model. What became of weights from
    elsewhere goes to stderr, and stays in `Model.loaded`.

    Raises: ValueError if the network cannot do a setting, or its weights cannot be loaded.
    """
    image, *others = net.takes.streams
    backbone = net.backbone.build(image.channels, size)
    if others:
        backbone.join({stream.name: net.backbone.build(stream.channels, size) for stream in others})
    owners = owners or {name: name for name in outputs}
    if unknown := net.heads.keys() - owners.values():
        name = min(unknown)
        raise ValueError(
            f"net.heads.{name}: no task of this network is called so; {nearest(name, owners.values())}"
        )
    usual = [name for name in outputs if owners[name] not in net.heads]
    heads: dict[str, nn.Module] = {}
    if net.shared_decoder and len(usual) > 1:
        together = net.decoder.build(backbone, sum(outputs[name] for name in usual))
        heads[SEPARATOR.join(usual)] = Shared(together, {name: outputs[name] for name in usual})
    for name, channels in outputs.items():
        if name not in SEPARATOR.join(heads).split(SEPARATOR):
            heads[name] = net.heads.get(owners[name], net.decoder).build(backbone, channels)
    model = Model(net.takes, backbone, heads, size)
    if net.weights != "none":
        model.loaded = load(model, net.weights, backbone.published)
        print(model.loaded, file=sys.stderr)
    return model
