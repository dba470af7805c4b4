"""Quantized networks on disk: the integer codes themselves in a safetensors file, and a manifest in JSON beside it."""

from __future__ import annotations

import copy
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import Tensor, fx, nn

from xvision.files import replacing, write_json
from xvision.graph.batch_norm import fold_batch_norms
from xvision.graph.canonical import capture
from xvision.quant.fake import Quantizer, QuantLayer
from xvision.quant.insert import insert_quantizers
from xvision.quant.numbers import QuantScheme, TensorQuant

FORMAT = "xvision-quantized-1"


def save(q: nn.Module, path: str | Path) -> Path:
    """Write a quantized network: int8 weights and int32 biases in `path`, scales and shapes in its .json.

    Both files are written whole or not at all.

    Raises: OSError naming the file if it cannot be written.
    """
    assert isinstance(q, fx.GraphModule), "save takes what quantize returned"
    path = Path(path)
    frozen = copy.deepcopy(q).cpu()
    for module in frozen.modules():
        if isinstance(module, QuantLayer) and not module.frozen:
            module.freeze()
    tensors = {key: value.contiguous() for key, value in frozen.state_dict().items()}
    with replacing(path) as temporary:
        temporary.write_bytes(to_bytes(tensors))
    write_json(path.with_suffix(".json"), _manifest(frozen))
    return path


def load(model: nn.Module, path: str | Path) -> nn.Module:
    """The quantized network in `path`, whose float original is (or has the structure of) `model`.

    Its weights are integers: it computes bit by bit what the saved one did, and cannot be trained.

    Raises: ValueError if the files are damaged or belong to another network, OSError if they are missing.
    """
    path = Path(path)
    manifest = _read_manifest(path.with_suffix(".json"))
    example = [torch.zeros(shape, dtype=getattr(torch, kind)) for shape, kind in manifest["inputs"]]
    graph = capture(copy.deepcopy(model).cpu(), example)
    fold_batch_norms(graph)
    insert_quantizers(graph, _scheme(manifest["scheme"]))
    try:
        tensors = load_file(path)
    except OSError:
        raise
    except Exception as error:  # safetensors has a class of its own for damaged files
        raise ValueError(
            f"{path}: expected a safetensors file, it cannot be read ({error}); quantize again"
        ) from error
    _fill(graph, tensors, manifest, path, type(model).__name__)
    return graph.eval()


def _fill(
    graph: fx.GraphModule, tensors: dict[str, Tensor], manifest: dict[str, Any], path: Path, name: str
) -> None:
    quantizers = {k: m for k, m in graph.named_modules() if isinstance(m, Quantizer)}
    layers = {k: m for k, m in graph.named_modules() if isinstance(m, QuantLayer)}
    expected = {f"{k}.{part}" for k in layers for part in ("weight", "bias")} | {
        f"{k}.scale" for k in quantizers
    }
    wrong = sorted(expected - set(tensors)) + sorted(set(quantizers) ^ set(manifest["tensors"]))
    wrong += [
        f"{k}.weight" for k, m in layers.items() if _shape(tensors, f"{k}.weight") != tuple(m.weight.shape)
    ]
    if wrong:
        raise ValueError(
            f"{path}: expected the codes of {name}, {len(wrong)} tensors are missing or differ "
            f"(first: {wrong[0]}); quantize this network again"
        )
    for key, quantizer in quantizers.items():
        quantizer.set(float(tensors[f"{key}.scale"]), manifest["tensors"][key]["zero_point"])
    for key, layer in layers.items():
        layer.set_weight_scale(tensors[f"{key}.weight_scale"])
        layer.freeze((tensors[f"{key}.weight"], tensors[f"{key}.bias"]))
    graph.load_state_dict(tensors)


def _shape(tensors: dict[str, Tensor], key: str) -> tuple[int, ...]:
    return tuple(tensors[key].shape) if key in tensors else ()


def _manifest(frozen: fx.GraphModule) -> dict[str, Any]:
    tensors, layers = {}, {}
    for key, module in frozen.named_modules():
        if isinstance(module, Quantizer):
            tensors[key] = {
                "scale": float(module.scale),
                "zero_point": module.zero_point,
                "bits": module.numbers.bits,
                "signed": module.numbers.signed,
            }
        elif isinstance(module, QuantLayer):
            layers[key] = {
                "kind": module.kind,
                "weight_shape": list(module.weight.shape),
                "weight_scale": module.weight_scale.tolist(),
                "accumulator_bound": module.accumulator_bound(),
            }
    return {
        "format": FORMAT,
        "scheme": asdict(frozen.meta["scheme"]),
        "inputs": frozen.meta["inputs"],
        "float_operators": frozen.meta["float_operators"],
        "tensors": tensors,
        "layers": layers,
    }


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: expected JSON, it cannot be read ({error}); quantize again") from error
    keys = {"scheme", "inputs", "tensors"}
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT or not keys <= manifest.keys():
        raise ValueError(f"{path}: expected the manifest of a quantized network ({FORMAT}); quantize again")
    return manifest


def _scheme(plain: dict[str, Any]) -> QuantScheme:
    formats = {key: TensorQuant(**value) for key, value in plain.items() if key != "name"}
    return QuantScheme(name=plain["name"], **formats)
