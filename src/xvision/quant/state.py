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
from torch import fx, nn

from xvision.files import write_json
from xvision.quant.fake import Quantizer, QuantLayer
from xvision.quant.insert import prepare, scheme_of
from xvision.quant.numbers import QuantScheme, TensorQuant
from xvision.train.checkpoint import read_tensors, write_tensors
from xvision.train.errors import CheckpointError

FORMAT = "xvision-quantized-2"


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


def load(model: nn.Module, path: str | Path) -> nn.Module:
    """The quantized network in `path`, whose float original is (or has the structure of) `model`.

    Its weights are integers: it computes bit by bit what the saved one did, and cannot be trained.

    Raises: ValueError if the file is damaged or belongs to another network, OSError if it is missing.
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
    example = [torch.zeros(shape, dtype=getattr(torch, kind)) for shape, kind in manifest["inputs"]]
    graph = prepare(copy.deepcopy(model).cpu(), example, _scheme(manifest["scheme"]))
    try:
        graph.load_state_dict(tensors)
    except RuntimeError as error:  # torch lists every key that is missing, unknown or of another shape
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{path}: expected the codes of {type(model).__name__}, got those of another network ({reason[:300]}); "
            "quantize this network again"
        ) from error
    return graph.eval()


def _manifest(frozen: fx.GraphModule) -> dict[str, Any]:
    modules = list(frozen.named_modules())
    return {
        "format": FORMAT,
        "scheme": asdict(scheme_of(frozen)),
        "inputs": frozen.meta["inputs"],
        "float_operators": frozen.meta["float_operators"],
        "tensors": {key: m.extra_repr() for key, m in modules if isinstance(m, Quantizer)},
        "accumulator_bounds": {key: m.accumulator_bound() for key, m in modules if isinstance(m, QuantLayer)},
    }


def _scheme(plain: Mapping[str, Any]) -> QuantScheme:
    kinds = ("weights", "activations", "bias", "heads")
    formats = {kind: TensorQuant(**plain[kind]) for kind in kinds}
    ranges = {name: (low, high) for name, (low, high) in plain["known_ranges"].items()}
    return QuantScheme(**{**plain, **formats, "known_ranges": ranges})
