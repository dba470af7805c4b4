"""Batches of images in the forms in which people have them, as the tensors that a network takes."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from xvision.graph.trace import input_names

POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
Batch = Tensor | tuple[Any, ...] | list[Any] | Mapping[str, Any]


def plane_names(network: nn.Module) -> tuple[str, ...]:
    """What a network needs, in order: a model of ours its planes, another one the arguments without a default."""
    if isinstance(network, Called):
        return network.names
    if names := input_names(network):
        return names
    known = [one for one in parameters(network) if one.kind in POSITIONAL]
    needed = tuple(one.name for one in known if one.default is one.empty)
    return needed or tuple(one.name for one in known[:1]) or ("input",)


class Called(nn.Module):
    """A network that is called with planes under these names, or with all planes that there are (``*planes``)."""

    def __init__(self, network: nn.Module, names: Sequence[str], *, by_name: bool) -> None:
        super().__init__()
        self.network = network
        self.names = tuple(names)
        self._by_name = by_name

    def forward(self, *planes: Tensor) -> Any:
        if self._by_name:
            return self.network(**dict(zip(self.names, planes, strict=True)))
        return self.network(*planes)


def called_with(network: nn.Module, batch: Batch) -> nn.Module:
    """The network as batches like this one call it: a dict gives optional arguments too, ``*planes`` takes all tensors.

    Warns where tensors of a tuple are left out that may be optional arguments, and no labels.
    """
    known = parameters(network)
    optional = [
        one.name for one in known if one.name not in plane_names(network) and one.kind not in VARIABLE
    ]
    if isinstance(batch, Mapping):
        given = [one.name for one in known if isinstance(batch.get(one.name), Tensor)]
        return Called(network, given, by_name=True) if set(given) & set(optional) else network
    if not isinstance(batch, tuple | list):
        return network
    tensors = sum(isinstance(one, Tensor) for one in batch)
    if [one.kind for one in known] == [inspect.Parameter.VAR_POSITIONAL] and tensors > 1:
        return Called(network, [f"input{i}" for i in range(tensors)], by_name=False)
    masks = [one.name for one in known if one.name in optional and one.default is None]
    if masks and tensors > len(plane_names(network)):
        names = ", ".join(plane_names(network))
        warnings.warn(
            f"{type(network).__name__}: takes {', '.join(masks)} too, what follows {names} in a batch is taken for "
            "labels; give dicts by the names of arguments if it is not",
            stacklevel=4,
        )
    return network


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
        if any(x.is_floating_point() and not bool(x.isfinite().all()) for x in planes):
            raise ValueError(
                f"{who}: expected batches of finite numbers, got NaN or infinity in batch {number}; check the images"
            )
        yield planes


def _planes(who: str, names: Sequence[str], batch: Any) -> tuple[Tensor, ...]:
    needed = len(names)
    if isinstance(batch, Mapping):
        images = [one for one in batch.values() if isinstance(one, Tensor) and one.ndim > 2]
        missing = any(name not in batch for name in names)
        if missing and needed == len(images) == 1:  # pixels are put in front under a name of theirs
            batch = dict.fromkeys(names, images[0])
        elif missing:
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
