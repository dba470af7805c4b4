"""Any network of timm (Wightman, https://github.com/huggingface/pytorch-image-models)."""

from __future__ import annotations

import difflib
from typing import Any, Literal

import timm as library
from torch import Tensor, nn

from xvision.models.backbone import Backbone, Published, assemble
from xvision.models.backbones import backbone
from xvision.models.variants import remove_squeeze_excite, scale_width, set_activation, set_norm_eps


@backbone
def timm(
    channels: int,
    size: tuple[int, int],
    *,
    model: str,
    act: Literal["", "relu", "relu6", "hard_swish", "silu", "gelu", "leaky_relu"] = "",
    width: float = 1.0,
    strides: tuple[int, ...] = (),
    output_stride: int = 32,
    fast_down: bool = False,
    squeeze_excite: bool = True,
    norm_eps: float = 0.0,
    drop_path: float = 0.0,
) -> Backbone:
    """Any network of timm by its name, for example timm:mobilenetv2_100.

    Empty, zero and default settings leave the network as published. `act` replaces every activation, `width`
    multiplies every channel count (ResNet, VGG), `strides` has a 1 for each halving of the resolution that is
    not to be done, `output_stride` dilates instead, `fast_down` halves once more after the stem,
    `norm_eps` is batch norm's, `drop_path` the rate at which residual branches are dropped in training.

    Raises: ValueError that names the network, for an unknown one or one that cannot do a setting.
    """
    network = _create(model, channels, size, drop_path)
    cfg = network.pretrained_cfg
    if width != 1.0:
        scale_width(network, model, width)
    if not squeeze_excite:
        remove_squeeze_excite(network, model)
    if act:
        set_activation(network, model, act)
    if norm_eps:
        set_norm_eps(network, norm_eps)
    fixed = size if cfg.get("fixed_input_size") else None
    return assemble(
        model,
        network,
        channels,
        strides=strides,
        output_stride=output_stride,
        fast_down=fast_down,
        size=fixed,
        published=_published(model, cfg),
    )


def _create(model: str, channels: int, size: tuple[int, int], drop_path: float) -> Any:
    if not library.is_model(model.partition(".")[0]):
        close = difflib.get_close_matches(model, library.list_models(), n=3)
        raise ValueError(
            f"net.backbone: timm has no network called '{model}'; "
            + (f"did you mean {' or '.join(close)}?" if close else "timm.list_models() lists their names")
        )
    settings: dict[str, Any] = {}
    if drop_path:
        settings["drop_path_rate"] = drop_path
    cfg = library.get_pretrained_cfg(model)
    if cfg is not None and cfg.fixed_input_size:
        settings["img_size"] = size
    try:
        return library.create_model(model, pretrained=False, in_chans=channels, **settings)
    # timm's families have no common error for an argument that they do not know
    except (TypeError, AssertionError, NotImplementedError, RuntimeError, ValueError) as error:
        wanted = (
            ", ".join(f"{key}={value}" for key, value in settings.items()) or f"{channels} input channels"
        )
        raise ValueError(
            f"net.backbone: {model} cannot do {wanted}; leave it out, or choose another network ({error})"
        ) from error


def _published(model: str, cfg: dict[str, Any]) -> Published | None:
    place = cfg.get("hf_hub_id")
    origin = f"https://huggingface.co/{place}" if place else str(cfg.get("url") or "")
    if not origin:
        return None

    def load() -> dict[str, Tensor]:
        network: nn.Module = library.create_model(model, pretrained=True)
        return network.state_dict()

    return Published(origin, str(cfg.get("license") or "not stated"), cfg["mean"], cfg["std"], load)
