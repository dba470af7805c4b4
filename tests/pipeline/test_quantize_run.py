"""A scheme and a method that the package does not know run from the recipe to the record."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import xvision as xv
from tests.quant.free_scales import free_scales
from xvision.console import Console
from xvision.quant.fake import Quantizer
from xvision.quant.insert import scheme_of
from xvision.quant.schemes import scheme

SMALL = (
    "data=scenes", "data.num_train=16", "data.num_val=8", "data.size=32x32", "net.backbone=timm:mobilenetv2_035",
    "train.batch_size=8", "train.threads=1", "train.workers=0", "train.max_steps=2", "quant.scheme=free_scales",
    "quant.method=qat", "quant.max_steps=4", "train.log_every=1",
)  # fmt: skip


def test_a_scheme_with_free_scales_and_a_method_that_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scheme, "_own", {})
    scheme(free_scales)
    run = xv.run(xv.recipe("classification", *SMALL), tmp_path / "run", console=Console())
    printed = capsys.readouterr().out
    steps = [line.split("  ")[1] for line in printed.splitlines() if line.startswith("epoch ")]
    assert steps == ["step 2", "step 2", "step 4"], "of training in float, and of that with integers"
    *_, parity = run.record.parity
    assert parity.tolerance_lsb == scheme_of(run.quantized).tolerance_lsb == 1
    assert parity.judged_lsb <= 1
    networks = {row.network for row in run.record.metrics}
    assert networks == {"float", "int8"}
    scales = [m.scale for m in run.quantized.modules() if isinstance(m, Quantizer)]
    assert any(torch.frexp(one).mantissa != 0.5 for one in scales)
    xv.run(run.recipe, tmp_path / "run", console=Console())
    assert "loss" not in capsys.readouterr().out, "up to date"
