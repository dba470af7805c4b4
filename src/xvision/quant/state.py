"""Quantized networks on disk: one safetensors file of integer codes and scales, its manifest in its header.

The `.json` beside it is a copy of the manifest to read.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

from xvision.files import write_json
from xvision.graph.exported import CONSTANTS, keep
from xvision.graph.plain import from_plain, to_plain
from xvision.models.outputs import OutputSpec
from xvision.models.pixels import Pixels
from xvision.quant.bits import Bits
from xvision.quant.fake import LayerForm, Quantizer, QuantLayer
from xvision.quant.findings import Sensitivity
from xvision.quant.insert import scheme_of
from xvision.quant.islands import FloatOperator
from xvision.quant.numbers import QuantScheme, TensorQuant
from xvision.quant.quality import Quality
from xvision.train.checkpoint import read_tensors, write_tensors
from xvision.train.errors import CheckpointError

FORMAT = "xvision-quantized-6"
NOTES = ("warnings", "threshold_shifts")
"""What is kept of a network's `meta` as it is, where it is there."""


def save(q: nn.Module, path: str | Path) -> Path:
    """Write a quantized network with int8 weights and int32 biases, whole or not at all.

    Raises: OSError naming the file if it cannot be written.
    """
    assert isinstance(q, fx.GraphModule), "save takes what quantize returned"
    path = Path(path)
    frozen = copy.deepcopy(q).cpu()
    for module in frozen.modules():
        if isinstance(module, QuantLayer):
            module.freeze()
    manifest = _manifest(frozen)
    write_tensors(path, frozen.state_dict(), manifest)
    write_json(path.with_suffix(".json"), manifest)
    return path


def load(path: str | Path) -> nn.Module:
    """The quantized network in a file.

    Its weights are integers: it computes bit by bit what the saved one did, and cannot be trained.

    Raises: ValueError if the file is damaged, OSError if it is missing.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected a quantized network, got no such file; quantize first")
    try:
        tensors, manifest = read_tensors(path)
    except CheckpointError as error:
        raise ValueError(
            f"{path}: expected a safetensors file, it cannot be read ({error.__cause__}); quantize again"
        ) from error
    if manifest.get("format") != FORMAT:
        raise ValueError(
            f"{path}: expected the manifest of a quantized network ({FORMAT}), got {manifest.get('format')}; "
            "quantize again"
        )
    try:
        graph = from_plain(manifest["graph"], _modules(manifest["modules"], tensors), manifest["network"])
        graph.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{path}: expected a whole quantized network, it is damaged ({reason[:300]}); quantize again"
        ) from error
    graph.meta["inputs"] = manifest["inputs"]
    graph.meta["float_operators"] = [FloatOperator(**one) for one in manifest["float_operators"]]
    graph.meta["outputs_by_task"] = {
        task: tuple(OutputSpec.of(one) for one in specs)
        for task, specs in manifest["outputs_by_task"].items()
    }
    graph.meta["scheme"] = _scheme(manifest["scheme"])
    if manifest["quality"] is not None:
        graph.meta["quality"] = Quality.of(manifest["quality"])
    for note in NOTES:
        if note in manifest:
            graph.meta[note] = manifest[note]
    if manifest["sensitivity"] is not None:
        graph.meta["sensitivity"] = Sensitivity.of(manifest["sensitivity"])
    return graph.eval()


def _modules(plain: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> nn.Module:
    """Quantizers, layers and pixels as the manifest describes them, and room for stored tensors."""
    root, quantizers = nn.Module(), dict[str, Quantizer]()
    made: nn.Module
    for path, one in plain.items():
        if "quantizer" in one:
            made = quantizers[path] = Quantizer(TensorQuant(**one["quantizer"]))
        elif "pixels" in one:
            made = Pixels(*one["pixels"])
        else:
            numbers = {key: TensorQuant(**one["layer"][key]) for key in ("weights", "bias")}
            form = LayerForm(**{**one["layer"], **numbers, "pad": tuple(one["layer"]["pad"])})
            weight, bias = (torch.zeros(tensors[f"{path}.{key}"].shape) for key in ("weight", "bias"))
            made = QuantLayer(form, weight, bias, quantizers[one["source"]])
            if one["target"] is not None:
                made.round_twice(quantizers[one["target"]])
        _place(root, path, made)
    for key, tensor in tensors.items():
        if key.startswith(f"{CONSTANTS}."):
            keep(root, key.partition(".")[2], torch.empty_like(tensor))
    return root


def _place(root: nn.Module, path: str, module: nn.Module) -> None:
    *above, name = path.split(".")
    for part in above:
        if not hasattr(root, part):
            root.add_module(part, nn.Module())
        root = root.get_submodule(part)
    root.add_module(name, module)


def _manifest(frozen: fx.GraphModule) -> dict[str, Any]:
    modules = list(frozen.named_modules())
    return {
        "format": FORMAT,
        "scheme": asdict(scheme_of(frozen)),
        "network": type(frozen).__name__,
        "graph": to_plain(frozen.graph),
        "modules": _described(frozen),
        "inputs": frozen.meta["inputs"],
        "float_operators": [asdict(one) for one in frozen.meta["float_operators"]],
        "outputs_by_task": {
            task: [asdict(spec) for spec in specs]
            for task, specs in frozen.meta.get("outputs_by_task", {}).items()
        },
        "quality": frozen.meta["quality"].plain() if "quality" in frozen.meta else None,
        "sensitivity": asdict(frozen.meta["sensitivity"]) if "sensitivity" in frozen.meta else None,
        **{note: frozen.meta[note] for note in NOTES if note in frozen.meta},
        "tensors": {key: m.extra_repr() for key, m in modules if isinstance(m, Quantizer)},
        "accumulator_bounds": {key: m.accumulator_bound() for key, m in modules if isinstance(m, QuantLayer)},
    }


def _described(frozen: fx.GraphModule) -> dict[str, Any]:
    """Each module that the graph calls, in plain values; quantizers first, which layers refer to."""
    modules = dict(frozen.named_modules())
    paths = {module: path for path, module in modules.items()}
    found: dict[str, Any] = {
        k: {"quantizer": asdict(m.numbers)} for k, m in modules.items() if isinstance(m, Quantizer)
    }
    for path, module in modules.items():
        if isinstance(module, QuantLayer):
            form = asdict(module.form) | {"options": dict(module.form.options)}
            target = paths[module.target] if module.target is not None else None
            found[path] = {"layer": form, "source": paths[module.source], "target": target}
        elif isinstance(module, Pixels):
            found[path] = {"pixels": [module.format, module.stream, module.yuv_range]}
    return found


def _scheme(plain: Mapping[str, Any]) -> QuantScheme:
    kinds = ("weights", "activations", "bias", "heads")
    formats = {kind: TensorQuant(**plain[kind]) for kind in kinds}
    ranges = {name: (low, high) for name, (low, high) in plain["known_ranges"].items()}
    layers = {pattern: Bits(**bits) for pattern, bits in plain["layers"].items()}
    return QuantScheme(**{**plain, **formats, "known_ranges": ranges, "layers": layers})
