"""The cases of the operators that are tested, quantized and exported once for each scheme."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.quant.operators.compared import NUM_CASES, SCHEMES, Compared, InRuntime, Named, Quantized, first


@pytest.fixture(scope="session")
def cases(request: pytest.FixtureRequest) -> Named:
    """Of the operators whose tests run in this session."""
    here = Path(__file__).parent
    modules = {item.path.stem: item.module for item in request.session.items if item.path.parent == here}  # type: ignore[attr-defined]
    return {name.removeprefix("test_"): module.CASES for name, module in modules.items()}


@pytest.fixture(scope="session")
def compared(cases: Named) -> Callable[[str], Compared]:
    """What simulation and reference compute under a scheme, by its name."""
    program = cache(lambda: Quantized.program(cases))
    return cache(lambda scheme: Compared.run(Quantized(cases, SCHEMES[scheme](), program())))


@pytest.fixture(scope="session")
def in_runtime(cases: Named, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], InRuntime]:
    """What ONNX Runtime computes of the file of a scheme."""

    @cache
    def of(scheme: str) -> InRuntime:
        q = Quantized(first(cases, NUM_CASES[scheme]), SCHEMES[scheme.partition(",")[0]]())
        return InRuntime.run(q, tmp_path_factory.mktemp("operators"))

    return of


@pytest.fixture(scope="module", autouse=True)
def _no_garbage_collection(no_garbage_collection: None) -> None:
    """It takes a third of the time of an export."""
