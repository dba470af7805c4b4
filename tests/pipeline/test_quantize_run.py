"""A scheme and a method that the package does not know run from the recipe to the record."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import xvision as xv
from tests.quant.free_scales import free_scales
from tests.quant.qat import qat
from xvision.console import Console
from xvision.quant.fake import Quantizer
from xvision.quant.insert import scheme_of
from xvision.quant.methods import method
from xvision.quant.schemes import scheme

SMALL = (
    "data=scenes", "data.num_train=16", "data.num_val=8", "data.size=32x32", "net.backbone=timm:mobilenetv2_035",
    "train.batch_size=8", "train.threads=1", "train.workers=0", "train.max_steps=2", "quant.scheme=free_scales",
    "quant.method=qat", "quant.steps=4",
)  # fmt: skip


def test_a_scheme_with_free_scales_and_a_method_that_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for registry, part in ((scheme, free_scales), (method, qat)):
        monkeypatch.setattr(registry, "_own", {})
        registry(part)
    run = xv.run(xv.recipe("classification", *SMALL), tmp_path / "run", console=Console())
    assert capsys.readouterr().out.count("of 4: loss") == 4
    (parity,) = run.record.parity
    assert parity.tolerance_lsb == scheme_of(run.quantized).tolerance_lsb == 1
    assert parity.max_lsb <= 1
    networks = {row.network for row in run.record.metrics}
    assert networks == {"float", "int8"}
    scales = [m.scale for m in run.quantized.modules() if isinstance(m, Quantizer)]
    assert any(torch.frexp(one).mantissa != 0.5 for one in scales)
    xv.run(run.recipe, tmp_path / "run", console=Console())
    assert "loss" not in capsys.readouterr().out, "up to date"
