"""Pixels and channels in another order."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch.nn.functional as F

from tests.quant.operators.compared import IN_RUNTIME, SCHEMES, Compared, InRuntime
from tests.quant.operators.network import Case

CASES: dict[str, Case] = {
    "pixel shuffle": lambda s, u: F.pixel_shuffle(s, 2),
    "pixel unshuffle": lambda s, u: F.pixel_unshuffle(u, 2),
    "channel shuffle": lambda s, u: F.channel_shuffle(s, 4),
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_shuffle(scheme: str, compared: Callable[[str], Compared]) -> None:
    compared(scheme).check("shuffle")


@pytest.mark.parametrize("scheme", IN_RUNTIME)
def test_shuffle_in_onnxruntime(scheme: str, in_runtime: Callable[[str], InRuntime]) -> None:
    in_runtime(scheme).check("shuffle")
