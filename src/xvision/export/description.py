"""What a file says of the network in it, for who has the file alone: gathered from those who know.

What each input is comes from the planes of its stream, what each output says from the task that reads it. Networks that
are not ours say their names, types and shapes.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Mapping
from typing import Any

from torch import Tensor, fx, nn

from xvision.export.contract import Contents, Format
from xvision.export.integers import is_quantized
from xvision.graph.answers import answers
from xvision.graph.planes import plane_names
from xvision.models.inputs import Stream
from xvision.models.model import Model
from xvision.models.outputs import PIXEL_IDS, OutputSpec, Reading
from xvision.models.pixels import Pixels
from xvision.quant.insert import scheme_of

Facts = dict[str, Any]


def described(one: Format, network: nn.Module, contents: Contents) -> Facts:
    """What a file of a format says of a network, in plain values.

    Raises: ValueError if the network does not take the example inputs.
    """
    inputs = _inputs(network, contents)
    return {
        "producer": {"name": "xvision", "version": importlib.metadata.version("edgeai-xvision")},
        "runtime": one.requires(contents),
        "numbers": _numbers(network),
        "inputs": inputs,
        "outputs": _outputs(network, contents, _height(inputs)),
    }


def as_metadata(facts: Mapping[str, Any]) -> dict[str, str]:
    """Facts as they are written: each value as JSON."""
    return {key: json.dumps(value, ensure_ascii=False) for key, value in facts.items()}


def _numbers(network: nn.Module) -> Facts:
    """Which numbers the network computes with."""
    if not is_quantized(network):
        return {"kind": "float"}
    scheme = scheme_of(network)
    bits = {f"{kind}_bits": getattr(scheme, kind).bits for kind in ("weights", "activations", "heads")}
    return {"kind": "integer", "scheme": scheme.name, **bits}


def _inputs(network: nn.Module, contents: Contents) -> list[Facts]:
    names = plane_names(network)
    known: Facts = {}
    for pixels in (part for part in network.children() if isinstance(part, Pixels)):
        known |= Stream(pixels.stream, pixels.format, pixels.yuv_range).described()
    names = names if len(names) == len(contents.inputs) else ("",) * len(contents.inputs)
    return [
        {"name": name, **_port(tensor, contents), **known.get(name, {})}
        for name, tensor in zip(names, contents.inputs, strict=True)
    ]


def _outputs(network: nn.Module, contents: Contents, height: int | None) -> list[Facts]:
    specs = _specs(network)
    found = []
    for name, tensor in answers(network, tuple(plane[:1] for plane in contents.inputs)).items():
        facts = {"name": name, **_port(tensor, contents)}
        if height is not None and tensor.ndim == 4:
            facts["stride"] = height // tensor.shape[2]
        if name in specs:
            task, spec = specs[name]
            facts |= {"task": task, "field": spec.field, **spec.reading.plain()}
        if name in contents.argmax:
            facts |= _ids(facts, tensor)
        found.append(facts)
    return found


def _ids(facts: Facts, scores: Tensor) -> Facts:
    """What becomes of scores of which the file gives the largest one's id."""
    reading = PIXEL_IDS if scores.ndim == 4 else Reading("class ids", "class id")
    shape = [facts["shape"][0], 1, *facts["shape"][2:]]
    return {"dtype": "uint8", "shape": shape, "num_classes": scores.shape[1], **reading.plain()}


def _port(tensor: Tensor, contents: Contents) -> Facts:
    batch = "batch" if contents.batch is None else contents.batch
    return {"dtype": str(tensor.dtype).removeprefix("torch."), "shape": [batch, *tensor.shape[1:]]}


def _height(inputs: list[Facts]) -> int | None:
    """Of the image, where it is known which side of the first plane that is."""
    layout = inputs[0].get("layout") if inputs else None
    return inputs[0]["shape"][layout.index("H")] if layout else None


def _specs(network: nn.Module) -> dict[str, tuple[str, OutputSpec]]:
    """Task and meaning of each output of a network of ours, quantized or not."""
    by_task: Mapping[str, tuple[OutputSpec, ...]] = {}
    if isinstance(network, Model):
        by_task = network.outputs_by_task
    elif isinstance(network, fx.GraphModule):
        by_task = network.meta.get("outputs_by_task", {})
    return {name: (task, spec) for task, specs in by_task.items() for spec in specs for name in spec.names}
