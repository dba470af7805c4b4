"""What each task adds to a network: the layers that nothing but its outputs needs."""

from __future__ import annotations

from typing import Any

from xvision.graph.cost import Cost, Layer
from xvision.models.model import Model


def head_costs(model: Model, cost: Cost) -> dict[str, tuple[int, int]]:
    """MACs and parameters that the network would lose without each task.

    Of a decoder of its own that is the decoder, and the end of the backbone that only it reads, such as a classifier's
    last layers. Of a shared decoder it is the layers that predict the task's outputs, or their share of the channels.
    """
    found: dict[str, tuple[int, int]] = {}
    for key in model.decoders:
        tasks = model.tasks_of(key)
        if len(tasks) == 1:
            found[key] = _sum(_own_layers(model, cost, key))
        else:
            found |= {task: _predicting(model, cost, key, task) for task in tasks}
    return found


def _own_layers(model: Model, cost: Cost, key: str) -> list[Layer]:
    """The layers of a decoder, and of the backbone those that no other decoder needs."""
    needed = model.needed_by(key)
    others = set().union(*(model.needed_by(other) for other in model.decoders if other != key))
    own = {f"backbone.{node.target}" for node in needed - others if node.op == "call_module"}
    return [layer for layer in cost.layers if layer.name.startswith(f"decoders.{key}.") or layer.name in own]


def _predicting(model: Model, cost: Cost, key: str, task: str) -> tuple[int, int]:
    """The prediction layers of a task's outputs in a shared decoder; of one for several outputs their channels'."""
    layers: Any = model.decoders[key].prediction_layers
    channels = {output.name: output.channels for output in model.outputs_of(key)}
    paths = {module: name for name, module in model.named_modules()}
    macs = params = 0
    for output in model.outputs_by_task[task]:
        names = {paths[part] for layer in layers[output.name] for part in layer.modules()}
        together = sum(n for name, n in channels.items() if layers[name] == layers[output.name])
        of_layers = _sum([layer for layer in cost.layers if layer.name in names])
        macs += of_layers[0] * output.channels // together
        params += of_layers[1] * output.channels // together
    return macs, params


def _sum(layers: list[Layer]) -> tuple[int, int]:
    return sum(layer.macs for layer in layers), sum(layer.params for layer in layers)
