"""Export: a network as a file, in the format that the file's name says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, fx, nn

from xvision.config.parts import Part, part_of
from xvision.export.contract import Contents, Executor, Format
from xvision.export.description import as_metadata, described
from xvision.export.executors import executor
from xvision.export.formats import export_format
from xvision.export.integers import is_quantized
from xvision.export.settings import OPSET, RUNTIMES
from xvision.models.model import Model
from xvision.models.wrap import Wrapped, with_pixels


def export(
    model: nn.Module,
    path: str | Path,
    *,
    format: Part | str | None = None,
    inputs: Sequence[Tensor] | None = None,
    argmax: Sequence[str] = (),
    metadata: Mapping[str, str] | None = None,
    batch: int | None = None,
    opset: int = OPSET,
) -> Path:
    """Write a float or quantized network as a file, whole or not at all.

    `format` is a part or its name; by default the end of the file's name says it. `inputs` are example planes that fix
    sizes and types; our own networks and quantized ones know theirs. The file takes any number of images at once, or
    `batch` of them. Outputs are called as the keys of what the network returns; those in `argmax` give the id of the
    largest score in place of float scores, uint8 with one channel. `opset` is ONNX's: 17 and 18 are for older runtimes
    and know no tensors of 16 bits. The file's metadata says what is known of the network (docs/exported_file.md), and
    `metadata`, which counts where both say something.

    Raises: ValueError if the network cannot be exported or has no such output, OSError naming the file if it cannot be
    written.
    """
    path = Path(path)
    _check(batch, opset, metadata or {})
    chosen = format_of(path) if format is None else part_of(export_format).parse(format).build()
    given = tuple(inputs or _known_inputs(model))
    network = with_pixels(model, given)
    contents = Contents(given, tuple(argmax), {}, batch, opset)
    facts = as_metadata(described(chosen, network, contents))
    chosen.write(network, path, replace(contents, metadata={**facts, **(metadata or {})}))
    return path


def _check(batch: int | None, opset: int, metadata: Mapping[str, str]) -> None:
    if batch is not None and (type(batch) is not int or batch < 1):
        raise ValueError(
            f"batch: expected a number of images from 1 on, or None for any number, got {batch!r}"
        )
    if opset not in RUNTIMES:
        raise ValueError(f"opset: expected {', '.join(map(str, RUNTIMES))}, got {opset!r}")
    for key, value in metadata.items():
        if not isinstance(value, str):
            raise ValueError(
                f"metadata: expected text for '{key}', got {type(value).__name__}; write it as JSON"
            )


def find_format(path: Path) -> Format | None:
    """The format that a file's name says, whether there is such a file or not; None if it says none."""
    fits = [one for one in _formats() if path.name.endswith(one.suffix)]
    return max(fits, key=lambda one: len(one.suffix), default=None)


def format_of(path: Path) -> Format:
    """The format that a file's name says. Raises: ValueError if it says none."""
    found = find_format(path)
    if found is None:
        endings = ", ".join(f"{one.suffix} ({one.name})" for one in _formats())
        raise ValueError(
            f"{path}: expected a name that ends like a file of a format: {endings}; rename it, or say format="
        )
    return found


def as_executor(what: Executor | nn.Module | str | Path) -> Executor:
    """What runs a network (its simulation if it is quantized, else PyTorch) or a file (as its format says)."""
    if isinstance(what, Executor):
        return what
    if isinstance(what, nn.Module):
        part = executor.simulation() if is_quantized(what) else executor.pytorch()
        found: Executor = part.build(what)
        return found
    return format_of(Path(what)).executor(Path(what))


def _formats() -> list[Format]:
    return [export_format.part(name).build() for name in export_format.builders()]


def _known_inputs(model: nn.Module) -> Sequence[Tensor]:
    if isinstance(model, Model | Wrapped) and model.size is not None:
        return model.inputs.example(model.size)
    if isinstance(model, fx.GraphModule) and "inputs" in model.meta:
        return [
            torch.zeros(1, *shape[1:], dtype=getattr(torch, kind)) for shape, kind in model.meta["inputs"]
        ]
    raise ValueError(
        f"{type(model).__name__}: expected inputs=(tensor, …), example inputs of the size to export for"
    )
