"""Operator by operator: small differences of each are allowed, and a wrong one is found where it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import xvision as xv
from tests.export.test_verify import Export, tampered
from tests.graph.written import Written
from tests.quant.free_scales import free_scales
from tests.quant.patterns import trained
from xvision.export.contract import Computed
from xvision.export.executors import executor
from xvision.export.executors.simulation import Simulation
from xvision.quant.insert import scheme_of
from xvision.runs.record import ParityRow


@pytest.fixture(scope="module")
def free(tmp_path_factory: pytest.TempPathFactory) -> Export:
    """A network with free scales, and its file."""
    model, planes = trained("add_relu")
    q = xv.quantize(model, [planes], scheme=free_scales())
    return q, planes, xv.export(q, tmp_path_factory.mktemp("parity") / "model.onnx")


@pytest.mark.parametrize("name", ["simulation", "integer"])
def test_each_operator_is_within_its_tolerance(name: str, free: Export) -> None:
    q, planes, file = free
    parity = xv.verify(executor.part(name).build(q), file, [planes])
    assert parity.ok
    assert parity.reasons == ["operators may be off by 1 LSB"]
    if parity.first_difference is not None:
        assert parity.operators is not None
        assert parity.operators.max_lsb <= 1
        assert parity.operators.level == "off"
        assert parity.operators.differing < 0.001 * parity.operators.codes


@pytest.mark.parametrize("name", ["simulation", "integer"])
@pytest.mark.parametrize(
    ("weight", "first"), [("stem.0.weight", "relu"), ("body.1.branch.0.weight", "body_1_branch_0")]
)
def test_a_wrong_operator_is_named_and_those_after_it_are_not(
    weight: str, first: str, name: str, free: Export, tmp_path: Path
) -> None:
    q, planes, file = free
    changed = tampered(file, weight, tmp_path / "changed.onnx")
    parity = xv.verify(executor.part(name).build(q), changed, [planes])
    assert not parity.ok
    assert parity.operators is not None
    assert parity.operators.first_beyond == first
    shown = executor.onnxruntime(level="off").build(changed)
    assert xv.verify(shown, executor.part(name).build(q), [planes]).operators == replace(
        parity.operators, level="onnxruntime"
    )


class Alone(Simulation):
    """A simulation of which one operator is off by a code, as those after it see; it says how it rounds."""

    def __init__(self, network: nn.Module, tensor: str, rounding: str) -> None:
        super().__init__(network)
        self.tensor, self.rounding = tensor, rounding

    def each_operator(self, inputs: tuple[Tensor, ...], codes: Mapping[str, Tensor]) -> Computed:
        right = super().each_operator(inputs, codes)[1][self.tensor]
        wrong = {self.tensor: torch.where(right > 0, right - 1, right + 1)}
        outputs, own = super().each_operator(inputs, {**wrong, **codes})
        return outputs, {**own, **wrong}


def test_two_roundings_may_be_one_apart_in_each_operator() -> None:
    model, planes = trained("add_relu")
    q = xv.quantize(model, [planes])
    other = "half_up" if scheme_of(q).rounding == "half_even" else "half_even"
    strict = xv.verify(q, Alone(q, "relu", scheme_of(q).rounding), [planes])
    assert (strict.ok, strict.reasons, strict.operators) == (False, [], None)
    loose = xv.verify(q, Alone(q, "relu", other), [planes])
    assert loose.ok
    assert loose.reasons == [f"simulation rounds half_even, simulation {other}"]
    assert loose.operators is not None
    assert (loose.operators.max_lsb, loose.operators.tolerance_lsb) == (1, 1)


def island(net: Written, x: Tensor) -> Tensor:
    return net.head(F.softmax(net.conv(x), 1))


def test_floats_between_integers_have_the_tolerance_of_floats(tmp_path: Path) -> None:
    x = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with pytest.warns(UserWarning, match="softmax"):
        q = xv.quantize(Written(island), [x])
    (name,) = (one for one in Simulation(q).given_by_floats)
    moved = xv.verify(q, Alone(q, name, "half_even"), [x])
    assert moved.ok
    assert moved.reasons == ["operators compute in float between integers"]
    assert moved.operators is not None
    assert (moved.operators.max_lsb, moved.operators.float_lsb) == (0, 1)
    wrong = xv.verify(q, Alone(q, "conv", "half_even"), [x])
    assert not wrong.ok
    assert wrong.operators is not None
    assert wrong.operators.first_beyond == "conv"
    assert xv.verify(q, xv.export(q, tmp_path / "model.onnx"), [x[:2]]).ok


def test_what_was_found_goes_to_a_record_and_back(free: Export, tmp_path: Path) -> None:
    q, planes, file = free
    changed = tampered(file, "stem.0.weight", tmp_path / "changed.onnx")
    plain = xv.verify(q, changed, [planes]).to_dict()
    row = ParityRow.model_validate(json.loads(json.dumps(plain)) | {"network": "int8", "file": "f"})
    assert row.operators is not None
    assert row.operators.first_beyond == "relu"
    assert row.ok is False


def test_sums_beyond_float32_are_listed(tmp_path: Path) -> None:
    class Wide(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 4096, 1)
            self.head = nn.Linear(4096, 3)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.head(self.second(self.first(x)).relu().mean((2, 3)))
            return y

    torch.manual_seed(0)
    x = torch.randn(4, 3, 8, 8)
    q = xv.quantize(Wide(), [x])
    parity = xv.verify(q, executor.integer().build(q), [x])
    assert (parity.ok, parity.max_lsb, parity.wide_layers) == (True, 0, ["head"])
    q.meta["scheme"] = replace(scheme_of(q), accumulator_bits=24)  # type: ignore[operator, union-attr]
    with pytest.raises(ValueError, match=r"expected sums below 2\^23, got up to .* in layer 'head'"):
        executor.integer().build(q)
