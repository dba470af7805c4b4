"""What simulation, integer reference and ONNX Runtime compute of the cases under one scheme, and what must hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor, fx

import xvision as xv
from tests.quant.operators.network import SIDE, Case, Cases
from xvision.export.executors import executor
from xvision.graph.exported import exported
from xvision.quant.context import Context
from xvision.quant.insert import scheme_of
from xvision.quant.methods import method
from xvision.quant.numbers import QuantScheme
from xvision.quant.schemes import scheme
from xvision.quant.settings import Quant

if TYPE_CHECKING:
    from torch.export import ExportedProgram

Named = Mapping[str, Mapping[str, Case]]
"""Cases by operator and name."""
Codes = Mapping[str, Tensor]

SCHEMES: dict[str, Callable[[], QuantScheme]] = {
    "pow2": lambda: scheme.pow2(head_bits=8).build(),
    "pow2 channel": lambda: scheme.pow2(weights="channel").build(),
    "pow2 half_up": lambda: Quant(rounding="half_up").numbers(),
    "pow2 double": lambda: Quant(rounding="double").numbers(),
    "pow2 aligned": lambda: Quant(add="join", concat="own", pool="same", resize="own").numbers(),
    "int8": lambda: scheme.int8().build(),
    "int8_per_tensor": lambda: scheme.int8_per_tensor().build(),
    "int8_symmetric": lambda: scheme.int8_symmetric(head_bits=8).build(),
    "w4a8": lambda: scheme.w4a8().build(),
    "a16": lambda: scheme.a16().build(),
}
NUM_CASES = {
    "pow2": 2, "pow2 channel": 1, "pow2 half_up": 1, "pow2 aligned": 1, "int8": 1, "w4a8": 1, "a16": 1, "pow2, all": 99,
}  # fmt: skip
"""How many cases of each operator are exported under a scheme: an export of all takes half a minute."""
IN_RUNTIME = ["pow2", *(pytest.param(name, marks=pytest.mark.sweep) for name in NUM_CASES if name != "pow2")]


def images(seed: int) -> Tensor:
    return torch.randn(4, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


class Quantized:
    """Cases quantized under a scheme, on images of noise."""

    def __init__(self, cases: Named, chosen: QuantScheme, program: ExportedProgram | None = None) -> None:
        context = Context(Cases(cases).eval(), chosen, lambda: [(images(0),)], program=program)
        # not by `quantize`, which warns of products of two tensors of 16 bits
        self.network: fx.GraphModule = method.ptq(rungs="mse").build(context).eval()
        self.scheme = scheme_of(self.network)
        self.simulation = executor.simulation().build(self.network)
        self.integers = executor.integer().build(self.network)
        self.others = (images(1),)
        floats = (*self.simulation.float_operators, *self.integers.computed_in_float())
        self.floats = [one.name for one in floats]

    @classmethod
    def program(cls, cases: Named) -> ExportedProgram:
        """What is the same for all schemes."""
        return exported(Cases(cases).eval(), (images(0),))


def of(operator: str, names: Codes | list[str]) -> list[str]:
    """The names that belong to an operator's cases."""
    return [name for name in names if name.startswith(f"{operator}__")]


@dataclass
class Compared:
    """Codes of the simulation and of the integer reference."""

    scheme: QuantScheme
    simulation: Codes
    integers: Codes
    alone: Codes
    """What each operator of the reference gives of the simulation's codes."""
    outputs: Codes
    floats: list[str]

    @classmethod
    def run(cls, q: Quantized) -> Compared:
        codes = q.simulation.codes(q.others)
        outputs, own = q.integers.run(q.others)
        return cls(q.scheme, codes, own, q.integers.each_operator(q.others, codes)[1], outputs, q.floats)

    def check(self, operator: str) -> None:
        """All tensors of the operator's cases are equal, or each operator is as near as the scheme says."""
        assert not of(operator, self.floats)
        names = of(operator, self.integers)
        assert names
        assert all(self.outputs[name].unique().numel() > 3 for name in of(operator, self.outputs))
        for name in names:
            if self.scheme.tolerance_lsb == 0:
                assert torch.equal(self.integers[name], self.simulation[name]), name
            else:
                off = (self.alone[name] - self.simulation[name]).abs().max()
                assert off <= self.scheme.tolerance_lsb, (name, int(off))


@dataclass
class InRuntime:
    """Codes of ONNX Runtime without optimisations, and of the outputs at every level."""

    scheme: QuantScheme
    codes: Codes
    alone: Mapping[str, Codes]
    """What each operator of the simulation and of the reference gives of these."""
    outputs: Mapping[str, Codes]
    wanted: Codes

    @classmethod
    def run(cls, q: Quantized, folder: Path) -> InRuntime:
        levels = executor.onnxruntime().build(xv.export(q.network, folder / "model.onnx")).levels()
        codes = levels["off"].codes(q.others)
        alone = {one.name: one.each_operator(q.others, codes)[1] for one in (q.simulation, q.integers)}
        grids = q.simulation.grids()
        wanted, *found = (
            {name: grids[name](x) for name, x in one.outputs(q.others).items()}
            for one in (q.simulation, *levels.values())
        )
        return cls(q.scheme, codes, alone, dict(zip(levels, found, strict=True)), wanted)

    def check(self, operator: str) -> None:
        """Each operator is as near as the scheme says, and outputs are equal at every level where that is exactly."""
        names = of(operator, self.codes)
        assert names
        for who, alone in self.alone.items():
            for name in names:
                off = (alone[name].long() - self.codes[name].long()).abs().max()
                assert off <= self.allowed, (who, name, int(off))
        if self.allowed == 0:
            for level, found in self.outputs.items():
                for name in of(operator, found):
                    assert torch.equal(found[name], self.wanted[name]), (level, name)

    @property
    def allowed(self) -> int:
        return max(self.scheme.tolerance_lsb, int(self.scheme.rounding != "half_even"))


def first(cases: Named, number: int) -> Named:
    """The first cases of each operator."""
    return {operator: dict(islice(named.items(), number)) for operator, named in cases.items()}
