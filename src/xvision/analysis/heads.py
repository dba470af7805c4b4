"""What each task adds to a network: the layers that nothing but its head needs."""

from __future__ import annotations

from xvision.analysis.cost import Cost
from xvision.models.model import Model


def head_costs(model: Model, cost: Cost) -> dict[str, tuple[int, int]]:
    """MACs and parameters that the network would lose without each head, by the head's name.

    That is the head itself and the end of the backbone that only it reads, such as a classifier's last layers.
    """
    needed = {key: model.needed_by(key) for key in model.heads}
    found = {}
    for key in model.heads:
        others = set().union(*(nodes for other, nodes in needed.items() if other != key))
        own = {f"backbone.{node.target}" for node in needed[key] - others if node.op == "call_module"}
        layers = [c for c in cost.layers if c.name.startswith(f"heads.{key}.") or c.name in own]
        found[key] = sum(c.macs for c in layers), sum(c.params for c in layers)
    return found
