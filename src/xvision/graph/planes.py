"""Batches of images in the forms in which people have them, as the tensors that a network takes."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from xvision.graph.trace import input_names

POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
Batch = Tensor | tuple[Any, ...] | list[Any] | Mapping[str, Any]


def plane_names(network: nn.Module) -> tuple[str, ...]:
    """What a network needs, in order: a model of ours its planes, another one the arguments without a default."""
    if names := input_names(network):
        return names
    known = [one for one in parameters(network) if one.kind in POSITIONAL]
    needed = tuple(one.name for one in known if one.default is one.empty)
    return needed or tuple(one.name for one in known[:1]) or ("input",)


def parameters(network: nn.Module) -> list[inspect.Parameter]:
    """The arguments of a network's forward; none where it is not written in Python."""
    try:
        return list(inspect.signature(network.forward).parameters.values())
    except ValueError:
        return []


def peeked(batches: Batch | Iterable[Batch]) -> tuple[Batch | None, Batch | Iterable[Batch]]:
    """The first batch, None if there is none, and all of them; what can be run through only once as well."""
    if isinstance(batches, Tensor | Mapping):
        return batches, batches
    walk = iter(batches)
    first = next(walk, None)
    return first, chain([first], walk) if walk is batches and first is not None else batches


def planes_of(
    who: str, names: Sequence[str], batches: Batch | Iterable[Batch]
) -> Iterator[tuple[Tensor, ...]]:
    """The planes called `names` of each batch, floats in float32.

    A batch is a tensor, a tuple or list that begins with the planes (labels after them are left out), or a dict that
    has them by name. A single tensor is one batch.

    Raises: ValueError if a batch is none of these, or holds no image.
    """
    first: list[str] = []
    for number, batch in enumerate([batches] if isinstance(batches, Tensor | Mapping) else batches, start=1):
        planes = _planes(who, names, batch)
        if not all(map(len, planes)):
            raise ValueError(f"{who}: expected batches of images, got an empty one; leave it out")
        kinds = [f"{str(x.dtype).removeprefix('torch.')} Nx{'x'.join(map(str, x.shape[1:]))}" for x in planes]
        first = first or kinds
        if kinds != first:
            raise ValueError(
                f"{who}: expected batches of one kind, got {', '.join(kinds)} in batch {number} after "
                f"{', '.join(first)}; bring all images to one size and type"
            )
        yield planes


def _planes(who: str, names: Sequence[str], batch: Any) -> tuple[Tensor, ...]:
    needed = len(names)
    if isinstance(batch, Mapping):
        if any(name not in batch for name in names):
            raise ValueError(
                f"{who}: expected a batch with {', '.join(names)}, got a dict of {', '.join(map(str, batch))}; call "
                "its keys as the network's arguments"
            )
        batch = tuple(batch[name] for name in names)
    given = tuple(batch[:needed]) if isinstance(batch, tuple | list) else (batch,)
    if len(given) < needed or not all(isinstance(one, Tensor) and one.ndim for one in given):
        kinds = ", ".join(type(one).__name__ for one in given)
        raise ValueError(
            f"{who}: expected batches of {needed} {'tensors' if needed > 1 else 'tensor'} with a batch dimension "
            f"(labels may follow), or dicts of {', '.join(names)}, got {kinds}; give what the network takes"
        )
    return as_float32(given)


def as_float32(planes: Iterable[Tensor]) -> tuple[Tensor, ...]:
    """Planes as a captured network takes them: floats of other precisions in float32."""
    return tuple(
        x.float() if x.dtype in (torch.float16, torch.bfloat16, torch.float64) else x for x in planes
    )
