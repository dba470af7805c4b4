"""Missing labels: which samples of a batch a task can learn from and be measured on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from xvision.data.framing import Framed
from xvision.tasks.metrics.contract import Batch, Outputs


def which(needs: Sequence[str], batch: Batch) -> list[int] | None:
    """The samples of a batch that have all labels in `needs`; None if all have."""
    lists: Mapping[str, list[bool]] = batch.get("labelled", {})
    partial = [lists[field] for field in needs if field in lists]
    if not partial:
        return None
    return [i for i, has in enumerate(zip(*partial, strict=True)) if all(has)]


def labelled(
    needs: Sequence[str], outputs: Sequence[str], out: Outputs, batch: Batch
) -> tuple[Outputs, Batch] | None:
    """`outputs` and labels of the samples that have all labels in `needs`; None if there is none."""
    rows = which(needs, batch)
    if rows is None:
        return out, batch
    if not rows:
        return None
    device = next(iter(out.values())).device
    index = torch.tensor(rows, device=device)
    return {name: out[name][index] for name in outputs}, rows_of(batch, rows, needs)


def rows_of(batch: Batch, rows: Sequence[int], fields: Sequence[str] = ()) -> dict[str, Any]:
    """The samples `rows` of a batch; if fields are named only those, which each of these samples has."""

    def taken(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value[torch.tensor(rows, device=value.device)]
        if isinstance(value, Mapping):  # "labelled"
            return {field: taken(has) for field, has in value.items()}
        if isinstance(value, Framed):  # of all samples alike
            return value
        return same_size([value[i] for i in rows])

    kept = {*fields, "name", "framing"} if fields else batch.keys()
    return {key: taken(batch[key]) for key in batch if key in kept}


def same_size(values: list[Any]) -> Any:
    """One tensor of maps of one size; other lists as they are."""
    if all(isinstance(v, Tensor) for v in values) and len({v.shape for v in values}) == 1:
        return torch.stack(values)
    return values
