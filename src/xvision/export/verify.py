"""Proof that a file computes what was trained: integer codes of two executors, tensor by tensor."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from xvision.export.contract import Executor, Grid, groups
from xvision.export.export import as_executor
from xvision.graph.planes import Batch, peeked, planes_of
from xvision.models.wrap import fitting
from xvision.quant.islands import listed

FLOAT_TOLERANCE = 1e-3
"""How far outputs without integer codes may be off, as a share of the largest: runtimes add floats in another order."""

TINY = 1e-30


@dataclass
class LevelParity:
    """What was found at one optimisation level; `tensors` were compared.

    `max_lsb` is of integer codes, `max_error` of float outputs (as a share of the largest value).
    """

    max_lsb: int = 0
    max_error: float = 0.0
    agreement: float = 1.0
    tensors: int = 0


@dataclass
class Parity:
    """How far an executor is from another one, the reference, and how far it may be.

    `max_lsb` is the largest difference of integer codes at any tensor and level (where a file ends in an argmax: by how
    much scores must differ to give its class ids), `agreement` the smallest share of equal answers (the class of the
    largest score where a head has several channels), `first_difference` the first tensor in the order of the graph that
    differs, in the first batch where one does. `sqnr_db` is what quantization leaves of each output: signal over noise
    against the float network, on calibration images. `float_operators` compute in float between integers,
    `float_in_runtime` what the executor computes in float besides, for reasons of its own, each with the share of
    multiply-accumulates.
    """

    reference: str = ""
    executor: str = ""
    tolerance_lsb: int = 0
    levels: dict[str, LevelParity] = field(default_factory=dict)
    first_difference: str | None = None
    images: int = 0
    sqnr_db: dict[str, float] = field(default_factory=dict)
    float_operators: list[str] = field(default_factory=list)
    float_in_runtime: str = ""

    @property
    def max_lsb(self) -> int:
        return max((level.max_lsb for level in self.levels.values()), default=0)

    @property
    def max_error(self) -> float:
        return max((level.max_error for level in self.levels.values()), default=0.0)

    @property
    def agreement(self) -> float:
        return min((level.agreement for level in self.levels.values()), default=1.0)

    @property
    def ok(self) -> bool:
        return self.max_lsb <= self.tolerance_lsb and self.max_error <= FLOAT_TOLERANCE

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a JSON file."""
        found = {"max_lsb": self.max_lsb, "max_error": self.max_error, "agreement": self.agreement}
        return {"ok": self.ok} | found | asdict(self)


def verify(
    reference: Executor | nn.Module | str | Path,
    candidate: Executor | nn.Module | str | Path,
    batches: Batch | Iterable[Batch],
    tolerance_lsb: int | None = None,
) -> Parity:
    """Compare what two executors compute, the candidate at each of its optimisation levels.

    A quantized network stands for its simulation, another network for PyTorch, a file for the executor of its format.
    Every integer tensor that both show is compared, and all outputs: as integer codes if either of the two knows their
    quantization grid. `tolerance_lsb` is by default what the scheme of the quantized network allows.

    Raises: ValueError if the two are not of the same network, or there is no batch.
    """
    first, batches = peeked(batches)
    a, b = (
        as_executor(fitting(one, first) if isinstance(one, nn.Module) else one)
        for one in (reference, candidate)
    )
    who = f"{b}: expected the same network as in {a}"
    if a.input_names and b.input_names and a.input_names != b.input_names:
        raise ValueError(
            f"{who}, its inputs are {_listed(b.input_names)} and not {_listed(a.input_names)}; export again"
        )
    if tolerance_lsb is None:
        tolerance_lsb = max(a.tolerance_lsb, b.tolerance_lsb)
    levels, grids = b.levels(), {**b.grids(), **a.grids()}
    parity = Parity(a.name, b.name, tolerance_lsb, {level: LevelParity(agreement=0.0) for level in levels})
    num_compared = 0  # with those that fill a group
    parity.sqnr_db = {**b.sqnr_db, **a.sqnr_db}
    parity.float_operators = [str(one) for one in a.float_operators or b.float_operators]
    parity.float_in_runtime = listed(
        [replace(one, macs_ratio=a.macs_ratio.get(one.name, 0.0)) for one in b.computed_in_float()]
    )
    for batch in planes_of(f"{b}", a.input_names or b.input_names, batches):
        for inputs in groups(batch, a.batch or b.batch):
            wanted = Pass(*a.run(inputs))
            for level, runtime in levels.items():
                found = Pass(*runtime.run(inputs))
                if problem := _of_another_network(wanted, found):
                    raise ValueError(f"{who}, {problem}; export again")
                _compare(wanted, found, grids, parity, level)
                parity.levels[level].agreement += _share_of_equal_answers(wanted, found) * len(inputs[0])
            num_compared += len(inputs[0])
        parity.images += len(batch[0])
    if not parity.images:
        raise ValueError(f"{b}: expected at least one batch to compare on, got none")
    for here in parity.levels.values():
        here.agreement /= num_compared
    return parity


class Pass(NamedTuple):
    """What an executor computed of one batch."""

    outputs: Mapping[str, Tensor]
    codes: Mapping[str, Tensor]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def _of_another_network(wanted: Pass, found: Pass) -> str | None:
    """What says that two passes are not of the same network."""
    unknown = [name for name in found.codes if name not in wanted.codes]
    if unknown and wanted.codes.keys() - found.codes.keys():  # each may see more than the other, but not both
        return f"it has an unknown tensor '{unknown[0]}'"
    if set(wanted.outputs) != set(found.outputs):
        return f"its outputs are {_listed(found.outputs)} and not {_listed(wanted.outputs)}"
    for name, x, y in (*_inside(wanted, found), *_outputs(wanted, found)):
        if x.is_floating_point() != y.is_floating_point():  # class ids have one channel
            x, y = (one[:, :1] for one in (x, y))
        if x.shape != y.shape:
            shapes = ("x".join(map(str, one.shape)) for one in (y, x))
            return f"tensor '{name}' is {' and not '.join(shapes)}"
    return None


def _inside(wanted: Pass, found: Pass) -> list[tuple[str, Tensor, Tensor]]:
    """The integer tensors that both show."""
    return [(name, wanted.codes[name], codes) for name, codes in found.codes.items() if name in wanted.codes]


def _outputs(wanted: Pass, found: Pass) -> list[tuple[str, Tensor, Tensor]]:
    return [(name, x, found.outputs[name]) for name, x in wanted.outputs.items()]


def _compare(wanted: Pass, found: Pass, grids: Mapping[str, Grid], parity: Parity, level: str) -> None:
    """Note the largest differences: of the integer tensors that both show, then of the outputs."""
    inside, outputs = _inside(wanted, found), _outputs(wanted, found)
    differences = [(name, *_difference(x, y, None)) for name, x, y in inside]
    differences += [(name, *_difference(x, y, grids.get(name))) for name, x, y in outputs]
    here = parity.levels[level]
    here.tensors = len(inside or outputs)
    for name, lsb, error in differences:
        here.max_lsb, here.max_error = max(here.max_lsb, lsb), max(here.max_error, error)
        if parity.first_difference is None and (lsb or error > FLOAT_TOLERANCE):
            parity.first_difference = name


def _difference(x: Tensor, y: Tensor, grid: Grid | None) -> tuple[int, float]:
    """The largest difference of a tensor: in LSB if it is integers or has a quantization grid, else in float."""
    if x.is_floating_point() != y.is_floating_point():
        return _difference_of_ids(*((x, y) if x.is_floating_point() else (y, x)), grid)
    if grid is not None and x.is_floating_point():
        x, y = grid(x), grid(y)
    x, y = x.cpu(), y.cpu()
    if x.is_floating_point():
        return 0, _share((x - y).abs(), x)
    return int((x.long() - y.long()).abs().max()), 0.0


def _difference_of_ids(scores: Tensor, ids: Tensor, grid: Grid | None) -> tuple[int, float]:
    """How far scores (B, C, ...) must move at least to make the class of each of `ids` (B, 1, ...) the largest.

    Half of what it is behind, as the largest one moves too; another one of equal scores counts as 1.
    """
    scores, ids = (scores if grid is None else grid(scores)).cpu(), ids.cpu().long()
    behind = scores.max(1, keepdim=True).values - scores.gather(1, ids)
    if scores.is_floating_point():
        return 0, _share(behind / 2, scores)
    steps = ((behind + 1) // 2).clamp(min=1)
    return int(torch.where(ids == scores.argmax(1, keepdim=True), 0, steps).max()), 0.0


def _share(difference: Tensor, of: Tensor) -> float:
    """The largest one as a share of the largest value; infinite where one is no number."""
    share = difference.max() / of.abs().max().clamp(min=TINY)
    return float(share.nan_to_num(nan=math.inf))


def _share_of_equal_answers(wanted: Pass, found: Pass) -> float:
    """The smallest share over outputs: of equal classes, or of equal values where an output has one channel."""
    shares = []
    for _, x, y in _outputs(wanted, found):
        if (x.ndim > 1 and x.shape[1] > 1) or x.is_floating_point() != y.is_floating_point():
            x, y = _ids(x), _ids(y)
        shares.append(float((x.cpu() == y.cpu()).double().mean()))
    return min(shares)


def _ids(scores: Tensor) -> Tensor:
    """Class ids (B, 1, ...) as they are, or of scores (B, C, ...)."""
    return scores.argmax(1, keepdim=True) if scores.is_floating_point() else scores
