"""Any network of timm (Wightman, https://github.com/huggingface/pytorch-image-models)."""

from __future__ import annotations

import difflib

import timm as library

from xvision.models.backbone import Backbone, network_graph
from xvision.models.backbones import backbone


@backbone
def timm(channels: int, size: tuple[int, int], *, model: str) -> Backbone:
    """Any network of timm by its name, for example timm:mobilenetv2_100."""
    if not library.is_model(model.partition(".")[0]):
        close = difflib.get_close_matches(model, library.list_models(), n=3)
        raise ValueError(
            f"net.backbone: timm has no network called '{model}'; "
            + (f"did you mean {', '.join(close)}?" if close else "its names: python -m timm.models")
        )
    network = library.create_model(model, pretrained=False, in_chans=channels)
    return Backbone(model, network_graph(network, model), channels)
