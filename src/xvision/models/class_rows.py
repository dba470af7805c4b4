"""Rows of the last layers follow the names of classes, not their numbers.

Weights of a run carry its class names. A network that knows the same classes in another order, or only some of them,
takes each class's row by name; classes that the file lacks keep the rows that they have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from xvision.models.model import Model
from xvision.models.outputs import OutputSpec

Classes = Mapping[str, Sequence[str]]
Row = tuple[str, str | int]
"""An output and what a channel of it stands for: the name of a class, or the channel's number."""


def rows_by_name(
    model: Model, state: Mapping[str, Tensor], theirs: Classes, ours: Classes
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The tensors of a run whose classes are `theirs` as a model with the classes `ours` takes them, and what to say.

    Classes are named by label field, in the order of their ids.
    """
    differing = {field for field in ours if field in theirs and tuple(ours[field]) != tuple(theirs[field])}
    taken = dict(state)
    mixed: set[str] = set()
    for layer, outputs in _predicting(model):
        if not differing & {_field(output) for output in outputs}:
            continue
        own, other = _rows(outputs, ours, ours), _rows(outputs, theirs, ours)
        for name, part in _tensors(model, layer):
            if not _is_row_wise(layer, part):
                taken.pop(name, None)
                mixed |= {_field(output) for output in outputs}
            elif name in state and len(state[name]) == len(other):
                taken[name] = _matched(model.get_parameter(name), state[name], own, other)
    said = [_line(field, theirs[field], ours[field]) for field in ours if field in differing]
    said += [
        f"layers behind the scores of {field} mix the classes: they start from random values"
        for field in sorted(mixed)
    ]
    return taken, tuple(said)


def _predicting(model: Model) -> list[tuple[nn.Module, list[OutputSpec]]]:
    """The layers that predict, each with the outputs that its channels hold one after the other."""
    found: list[tuple[nn.Module, list[OutputSpec]]] = []
    for key, decoder in model.decoders.items():
        layers: Any = decoder.prediction_layers
        distinct = dict.fromkeys(layer for of_one in layers.values() for layer in of_one)
        outputs = model.outputs_of(key)
        found += [(layer, [o for o in outputs if layer in layers[o.name]]) for layer in distinct]
    return found


def _tensors(model: Model, layer: nn.Module) -> list[tuple[str, nn.Module]]:
    """The parameters of the part of a layer whose channels are classes: their names, and the modules they are of."""
    if isinstance(layer, nn.Sequential) and isinstance(layer[-1], nn.Conv2d):
        layer = layer[-1]  # the layers before it work on features
    inside = list(layer.modules())
    return [
        (f"{path}.{name}", module)
        for path, module in model.named_modules()
        if any(module is one for one in inside)
        for name, _ in module.named_parameters(recurse=False)
    ]


def _is_row_wise(layer: nn.Module, part: nn.Module) -> bool:
    """Whether each class has a row of its own: not in a convolution over classes, or a shuffle of them."""
    if isinstance(part, nn.ConvTranspose2d):
        return part.groups == part.in_channels
    last = layer[-1] if isinstance(layer, nn.Sequential) else layer
    return part is last and isinstance(part, nn.Conv2d | nn.Linear)


def _rows(outputs: Sequence[OutputSpec], classes: Classes, ours: Classes) -> list[Row]:
    rows: list[Row] = []
    for output in outputs:
        field = _field(output)
        named = field in classes and len(ours.get(field, ())) == output.channels
        rows += [(output.name, what) for what in (classes[field] if named else range(output.channels))]
    return rows


def _field(output: OutputSpec) -> str:
    return output.field or output.name


def _matched(own: Tensor, given: Tensor, rows: list[Row], other: list[Row]) -> Tensor:
    """`given` with its rows in the order of `rows`; where it has none, those of `own`."""
    place = {row: i for i, row in enumerate(other)}
    found = own.detach().clone()
    for i, (output, what) in enumerate(rows):
        at = place.get((output, what))
        if at is None and what == f"class {i}" and i < len(other) and other[i] not in rows:
            at = i  # a row without a name: by number
        if at is not None and given.shape[1:] == own.shape[1:]:
            found[i] = given[at]
    return found


def _line(field: str, theirs: Sequence[str], ours: Sequence[str]) -> str:
    common = [name for name in ours if name in theirs]
    parts = [f"classes of '{field}' by name: {len(common)} of {len(ours)}"]
    if new := [name for name in ours if name not in theirs]:
        parts.append(f"not in the file: {_some(new)}")
    if left := [name for name in theirs if name not in ours]:
        parts.append(f"in the file only: {_some(left)}")
    return "; ".join(parts)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return f"{', '.join(names[:8])}{more}"
