"""What a network returns for planes, by name; or why it does not take them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from xvision.graph.exported import evaluated, layer_of
from xvision.graph.outputs import named


def answers(network: nn.Module, planes: Sequence[Tensor]) -> dict[str, Any]:
    """Its outputs for planes on any device, in eval mode and float32; network and planes are left as they were.

    Raises: ValueError that names the layer if the network does not take the planes.
    """
    held = next(chain(network.parameters(), network.buffers()), None)
    device = planes[0].device if held is None else held.device
    with evaluated(network), torch.no_grad():
        try:
            return named(network(*(x.to(device, copy=True) for x in planes)))
        except Exception as error:  # whatever the network raises
            raise ValueError(_refusal(network, planes, error)) from error


def _refusal(network: nn.Module, planes: Sequence[Tensor], error: Exception) -> str:
    layer = layer_of(network, error)
    who = f"{type(network).__name__}{f', layer {layer}' if layer else ''}"
    sizes = ", ".join("x".join(("N", *map(str, x.shape[1:]))) for x in planes)
    reason = next((line for line in str(error).splitlines() if line.strip()), "").strip()[:200]
    return (
        f"{who}: expected a network that takes planes of {sizes}, got {type(error).__name__}: {reason}; check number, "
        "size, type and channels of the planes"
    )
