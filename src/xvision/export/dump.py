"""The integers of a network on some images, in files: for who builds hardware, or looks for the first wrong tensor.

An array each (.npy) of the inputs, of weights and biases, and of every integer tensor as each executor has it; what
each is stands in index.json.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from xvision.export.contract import Executor
from xvision.files import read_json, write_json
from xvision.graph.operators import operator
from xvision.quant.fake import Quantizer, QuantLayer
from xvision.quant.insert import scheme_of
from xvision.quant.numbers import TensorQuant

INDEX = "index.json"
FORMAT = "xvision-dump-1"


def dump(network: nn.Module, executors: Sequence[Executor], inputs: tuple[Tensor, ...], folder: Path) -> Path:
    """Write the integers of a quantized network on a batch of images; what an earlier dump left is replaced.

    Raises: ValueError for a network that is not quantized, OSError naming what cannot be written.
    """
    scheme = scheme_of(network)
    assert isinstance(network, fx.GraphModule)
    _remove_old(folder)
    seen = {one.name: _codes(one, inputs) for one in executors}
    names = [node.target for node in network.graph.nodes if node.op == "placeholder"]
    index = {
        "format": FORMAT,
        "scheme": scheme.name,
        "rounding": scheme.rounding,
        "images": len(inputs[0]),
        "inputs": [
            {"name": str(name), "shape": list(plane.shape), "file": _save(folder, f"inputs/{name}", plane)}
            for name, plane in zip(names, inputs, strict=True)
        ],
        "tensors": _tensors(network, seen, folder),
        "layers": _layers(network, folder),
        "outputs": _outputs(network),
    }
    write_json(folder / INDEX, index)
    return folder / INDEX


def _codes(executor: Executor, inputs: tuple[Tensor, ...]) -> Mapping[str, Tensor]:
    """The codes that an executor shows, at the first of its levels that shows any."""
    return next((codes for level in executor.levels().values() if (codes := level.codes(inputs))), {})


def _tensors(
    network: fx.GraphModule, seen: Mapping[str, Mapping[str, Tensor]], folder: Path
) -> list[dict[str, Any]]:
    """Each integer tensor in the order of the graph, with the operator that gives it and what that reads."""
    modules = dict(network.named_modules(remove_duplicate=False))
    found = []
    for node in network.graph.nodes:
        quantizer = modules.get(str(node.target)) if node.op == "call_module" else None
        if not isinstance(quantizer, Quantizer):
            continue
        (source,) = node.all_input_nodes
        kind = _type_of(quantizer.numbers)
        files = {
            name: _save(folder, f"{name}/{source.name}", codes[source.name].to(kind))
            for name, codes in seen.items()
            if source.name in codes
        }
        shapes = [list(codes[source.name].shape) for codes in seen.values() if source.name in codes]
        found.append(
            {
                "name": source.name,
                "layer": source.meta.get("layer") or "",
                "operator": operator(source, modules),
                "reads": _read_by(source, modules),
                "shape": shapes[0],
                "scale": float(quantizer.scale),
                "zero_point": int(quantizer.zero_point),
                **_format(quantizer.numbers),
                "files": files,
            }
        )
    return found


def _read_by(node: fx.Node, modules: Mapping[str, nn.Module]) -> list[str]:
    """The integer tensors and inputs that a node computes from, through what stands between two quantizers."""
    names: dict[str, None] = {}
    for source in node.all_input_nodes:
        if isinstance(modules.get(str(source.target)), Quantizer):
            names[source.all_input_nodes[0].name] = None
        elif source.op == "placeholder":
            names[str(source.target)] = None
        else:
            names |= dict.fromkeys(_read_by(source, modules))
    return list(names)


def _layers(network: fx.GraphModule, folder: Path) -> list[dict[str, Any]]:
    """Weights and biases; the scale of a bias is that of the accumulator."""
    found = []
    for name, layer in network.named_modules():
        if not isinstance(layer, QuantLayer):
            continue
        weight, bias = layer.codes()
        parts = (
            ("weight", weight, layer.weight_scale, layer.numbers),
            ("bias", bias, layer.accumulator_scale(), layer.bias_numbers),
        )
        found.append(
            {"name": name, "operator": layer.kind, "pad": list(layer.pad), **_plain(layer.options)}
            | {
                key: {
                    "shape": list(codes.shape),
                    "scale": scale.tolist(),
                    "zero_point": 0,
                    **_format(numbers),
                    "file": _save(folder, f"layers/{name}.{key}", codes),
                }
                for key, codes, scale, numbers in parts
            }
        )
    return found


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in options.items()}


def _outputs(network: fx.GraphModule) -> list[dict[str, str]]:
    """Outputs by name, and the tensor that each is."""
    (heads,) = network.graph.output_node().args
    assert isinstance(heads, dict)
    return [
        {"name": name, "tensor": (node.all_input_nodes or [node])[0].name} for name, node in heads.items()
    ]


def _format(numbers: TensorQuant) -> dict[str, Any]:
    return {"bits": numbers.bits, "signed": numbers.signed}


def _type_of(numbers: TensorQuant) -> torch.dtype:
    """The smallest type of whole bytes that holds the codes."""
    signed, unsigned = (torch.int8, torch.int16, torch.int32), (torch.uint8, torch.uint16, torch.uint32)
    return (signed if numbers.signed else unsigned)[(numbers.bits > 8) + (numbers.bits > 16)]


def _save(folder: Path, name: str, values: Tensor) -> str:
    """Write an array; its path in the folder."""
    path = folder / f"{name}.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, values.detach().cpu().contiguous().numpy(), allow_pickle=False)
    return path.relative_to(folder).as_posix()


def _remove_old(folder: Path) -> None:
    """What the index of an earlier dump names."""
    if not (folder / INDEX).is_file():
        return

    def files(value: Any) -> list[str]:
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list):
            return [name for one in value for name in files(one)]
        return [value] if isinstance(value, str) and value.endswith(".npy") else []

    for name in files(read_json(folder / INDEX)):
        if (folder / name).resolve().is_relative_to(folder.resolve()):
            (folder / name).unlink(missing_ok=True)
