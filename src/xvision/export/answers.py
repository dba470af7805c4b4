"""What a network returns for example inputs, by name."""

from __future__ import annotations

from itertools import chain

import torch
from torch import Tensor, nn

from xvision.graph.exported import layer_of
from xvision.graph.outputs import named
from xvision.graph.shapes import in_eval_mode


def answers(network: nn.Module, inputs: tuple[Tensor, ...]) -> dict[str, Tensor]:
    """Its outputs for inputs on any device, in eval mode.

    Raises: ValueError if the network does not take them.
    """
    held = next(chain(network.parameters(), network.buffers()), None)
    device = torch.device("cpu") if held is None else held.device
    try:
        with in_eval_mode(network), torch.no_grad():
            return named(network(*(plane.to(device) for plane in inputs)))
    except Exception as error:  # whatever the network raises
        shapes = ", ".join("x".join(map(str, plane.shape[1:])) for plane in inputs)
        layer, reason = layer_of(network, error), str(error).splitlines()[0]
        raise ValueError(
            f"{type(network).__name__}{f', layer {layer}' if layer else ''}: expected a network that takes planes of "
            f"{shapes} and returns tensors, got {type(error).__name__}: {reason}; check number, size, type and "
            "channels of the planes"
        ) from error
