"""The losses of the latest steps, left on the device until they are read all at once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn

import torch
from torch import Tensor, nn

from xvision.train.errors import NonFiniteLossError

if TYPE_CHECKING:
    from accelerate import Accelerator

MAX_NAMES = 16  # of a batch in a message


class Losses:
    """Loss terms of each step, and the names of the samples they are from.

    A step may lack some `terms`: its samples had no labels for them.
    """

    def __init__(self, accelerator: Accelerator, terms: Sequence[str]) -> None:
        self._accelerator = accelerator
        self._terms = tuple(terms)
        self._values: list[Tensor] = []
        self._has: list[list[bool]] = []
        self._names: list[tuple[int, list[str]]] = []
        self._latest: tuple[int, list[str]] | None = None

    def add(self, step: int, terms: Mapping[str, Tensor], names: Iterable[str]) -> None:
        """Keep the terms of a step; nothing here waits for the device."""
        assert set(terms) <= set(self._terms), (set(terms), self._terms)
        values = [terms[name].float() for name in self._terms if name in terms]
        self._has.append([name in terms for name in self._terms])
        self._values.append(torch.stack(values))
        self._names.append((step, list(names)))

    def read(self) -> dict[str, float]:
        """Averages over the steps since the last call and over all processes; empty without a step.

        Raises NonFiniteLossError for the first step with a NaN or infinity, in whatever process it happened.
        """
        if not self._values:
            return {}
        has = torch.tensor(self._has)
        rows = torch.zeros(has.shape, device=self._values[0].device)
        rows[has.to(rows.device)] = torch.cat(self._values)
        gathered = self._accelerator.gather(torch.stack([rows, has.to(rows)])[None]).cpu()
        values, weights = gathered[:, 0], gathered[:, 1]  # (processes, steps, terms)
        names, self._values, self._has, self._names = self._names, [], [], []
        bad = ~values.isfinite().all(dim=2)  # (processes, steps)
        if bad.any():
            first = int(bad.any(dim=0).int().argmax())
            step, own = names[first]
            terms = zip(self._terms, _means(values[:, first], weights[:, first], 0).tolist(), strict=True)
            has_it = weights[:, first].sum(dim=0).tolist()  # a term that the step lacks is NaN here
            wrong = ", ".join(
                f"{name} {value}"
                for (name, value), has in zip(terms, has_it, strict=True)
                if has and not math.isfinite(value)
            )
            mine = bad[self._accelerator.process_index, first]
            self._fail(f"step {step}: the loss is not finite ({wrong})", own if mine else [])
        self._latest = names[-1]
        means = _means(values, weights, (0, 1)).tolist()
        return {t: v for t, v in zip(self._terms, means, strict=True) if not math.isnan(v)}

    def check_weights(self, model: nn.Module) -> None:
        """Raise NonFiniteLossError if the step behind the latest `read` broke the weights, its loss being finite."""
        floats = [v for v in model.state_dict().values() if v.is_floating_point()]
        if self._latest and not torch.stack(torch._foreach_norm(floats)).isfinite().all():
            step, own = self._latest
            self._fail(f"step {step}: the weights became NaN or infinite", own)

    def _fail(self, what: str, own: list[str]) -> NoReturn:
        from accelerate.utils import gather_object

        names: list[str] = gather_object(own)
        more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
        raise NonFiniteLossError(f"{what} for the batch {', '.join(names[:MAX_NAMES])}{more}")


def _means(values: Tensor, weights: Tensor, dim: int | tuple[int, ...]) -> Tensor:
    """Over the places where a weight is 1; NaN where there is none."""
    return values.sum(dim=dim) / weights.sum(dim=dim)
