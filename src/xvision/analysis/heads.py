"""What each task adds to a network: the layers that nothing but its output needs."""

from __future__ import annotations

from xvision.graph.cost import Cost, Layer
from xvision.models.model import Model, Shared


def head_costs(model: Model, cost: Cost) -> dict[str, tuple[int, int]]:
    """MACs and parameters that the network would lose without each output.

    Of a decoder of its own that is the decoder, and the end of the backbone that only it reads, such as a classifier's
    last layers. Of a shared decoder it is the output's share of the channels of the last layers.
    """
    found: dict[str, tuple[int, int]] = {}
    for key, head in model.heads.items():
        if isinstance(head, Shared):
            names = {f"heads.{key}.{name}" for name in head.last_layers()}
            macs, params = _sum([layer for layer in cost.layers if layer.name in names])
            total = sum(head.channels.values())
            found |= {
                name: (macs * channels // total, params * channels // total)
                for name, channels in head.channels.items()
            }
        else:
            found[key] = _sum(_own_layers(model, cost, key))
    return found


def _own_layers(model: Model, cost: Cost, key: str) -> list[Layer]:
    """The layers of a head, and of the backbone those that no other head needs."""
    needed = model.needed_by(key)
    others = set().union(*(model.needed_by(other) for other in model.heads if other != key))
    own = {f"backbone.{node.target}" for node in needed - others if node.op == "call_module"}
    return [layer for layer in cost.layers if layer.name.startswith(f"heads.{key}.") or layer.name in own]


def _sum(layers: list[Layer]) -> tuple[int, int]:
    return sum(layer.macs for layer in layers), sum(layer.params for layer in layers)
