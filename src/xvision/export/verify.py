"""Proof that a file computes what was trained: integer codes of two executors, tensor by tensor."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from xvision.export.contract import Executor, Grid, groups
from xvision.export.export import as_executor
from xvision.export.parity import FLOAT_TOLERANCE, LevelParity, OperatorParity, Parity
from xvision.graph.planes import Batch, peeked, planes_of
from xvision.models.wrap import fitting
from xvision.quant.islands import listed

TINY = 1e-30
SUMS = "sums go beyond 2^24, where a float32 is not exact"


def verify(
    reference: Executor | nn.Module | str | Path,
    candidate: Executor | nn.Module | str | Path,
    batches: Batch | Iterable[Batch],
    tolerance_lsb: int | None = None,
) -> Parity:
    """Compare what two executors compute, the candidate at each of its optimisation levels.

    A quantized network stands for its simulation, another network for PyTorch, a file for the executor of its format.
    Every integer tensor that both show is compared, and all outputs: as integer codes if either of the two knows their
    quantization grid. `tolerance_lsb` is by default what the scheme of the quantized network allows. Where the two may
    round in another way, differences end to end say little: then each operator is judged alone (see `Parity`).

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
    parity.reasons = _reasons(a, b, tolerance_lsb)
    num_compared = 0  # with those that fill a group
    parity.sqnr_db = {**b.sqnr_db, **a.sqnr_db}
    parity.wide_layers = list(a.wide or b.wide)
    parity.float_operators = [str(one) for one in a.float_operators or b.float_operators]
    parity.float_in_runtime = listed(
        [replace(one, macs_ratio=a.macs_ratio.get(one.name, 0.0)) for one in b.computed_in_float()]
    )
    for batch in planes_of(f"{b}", a.input_names or b.input_names, batches):
        for inputs in groups(batch, a.batch or b.batch):
            wanted = Pass(*a.run(inputs))
            passes = {level: Pass(*runtime.run(inputs)) for level, runtime in levels.items()}
            equal = True
            for level, found in passes.items():
                if problem := _of_another_network(wanted, found):
                    raise ValueError(f"{who}, {problem}; export again")
                equal &= _compare(wanted, found, grids, parity, level)
                parity.levels[level].agreement += _share_of_equal_answers(wanted, found) * len(inputs[0])
            if not equal:
                _compare_operators(a, b, inputs, wanted, passes, parity)
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


def _reasons(a: Executor, b: Executor, tolerance_lsb: int) -> list[str]:
    """Why codes may differ end to end though nothing is wrong."""
    reasons = []
    if tolerance_lsb:
        reasons.append(f"operators may be off by {tolerance_lsb} LSB")
    if a.rounding and b.rounding and a.rounding != b.rounding:
        reasons.append(f"{a.name} rounds {a.rounding}, {b.name} {b.rounding}")
    if a.given_by_floats or b.given_by_floats:
        reasons.append("operators compute in float between integers")
    return reasons


def _compare_operators(
    a: Executor,
    b: Executor,
    inputs: tuple[Tensor, ...],
    wanted: Pass,
    passes: Mapping[str, Pass],
    parity: Parity,
) -> None:
    """Note what each operator of one of the two gives of the codes that the other one shows, if there are reasons."""
    inexact = {*a.beyond_float32(inputs), *b.beyond_float32(inputs)}
    if inexact and SUMS not in parity.reasons:
        parity.reasons.append(SUMS)
    asked = [(a, level, one) for level, one in passes.items()] + [(b, a.name, wanted)]
    for executor, level, theirs in asked if parity.reasons else ():
        alone = executor.each_operator(inputs, theirs.codes) if theirs.codes else None
        if alone is not None:
            _note_operators(a, b, level, Pass(*alone), theirs, parity, inexact)
            return


def _note_operators(
    a: Executor, b: Executor, level: str, alone: Pass, theirs: Pass, parity: Parity, inexact: Collection[str]
) -> None:
    off = max(parity.tolerance_lsb, int(a.rounding != b.rounding))
    here = parity.operators = parity.operators or OperatorParity(level, off)
    floats = {*a.given_by_floats, *b.given_by_floats}
    for name, x, y in _inside(alone, theirs):
        difference = (x.cpu().long() - y.cpu().long()).abs()
        lsb, allowed = int(difference.max()), max(off, int(name in inexact))
        if name in floats:
            here.float_lsb, allowed = max(here.float_lsb, lsb), max(1, allowed, _share_of_range(y))
        else:
            here.max_lsb = max(here.max_lsb, lsb)
        here.codes, here.differing = here.codes + x.numel(), here.differing + int((difference > 0).sum())
        if lsb > allowed:
            here.first_beyond = here.first_beyond or name
    with_codes = {*a.grids(), *b.grids()}
    for name, x, y in _outputs(alone, theirs):
        if name not in with_codes and _difference(x, y, None)[1] > FLOAT_TOLERANCE:
            here.first_beyond = here.first_beyond or name


def _share_of_range(codes: Tensor) -> int:
    """FLOAT_TOLERANCE of the codes of a tensor, whole."""
    return int(FLOAT_TOLERANCE * int(codes.max() - codes.min()))


def _compare(wanted: Pass, found: Pass, grids: Mapping[str, Grid], parity: Parity, level: str) -> bool:
    """Note the largest differences, of the integer tensors that both show, then of outputs; whether there is none."""
    inside, outputs = _inside(wanted, found), _outputs(wanted, found)
    differences = [(name, *_difference(x, y, None)) for name, x, y in inside]
    differences += [(name, *_difference(x, y, grids.get(name))) for name, x, y in outputs]
    here = parity.levels[level]
    here.tensors = len(inside or outputs)
    for name, lsb, error in differences:
        here.max_lsb, here.max_error = max(here.max_lsb, lsb), max(here.max_error, error)
        if parity.first_difference is None and (lsb or error > FLOAT_TOLERANCE):
            parity.first_difference = name
    return not any(lsb or error > FLOAT_TOLERANCE for _, lsb, error in differences)


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
