"""Networks with several tasks as int8 files: slices of a shared decoder and heads of three kinds lose nothing."""

from __future__ import annotations

from pathlib import Path

import torch

import xvision as xv
from tests.models.outputs import outputs_by_task
from tests.models.test_heads import net
from tests.quant.patterns import planes_for, with_statistics
from xvision.models.build import build_model


def test_several_tasks_are_exact(tmp_path: Path) -> None:
    torch.manual_seed(0)
    heads = {"classification": "classifier", "depth": {"lraspp_lite": {"width": 0.25}}}
    outputs = {"segmentation": 3, "motion": 2, "depth": 1, "class": 2}
    settings = net(backbone="timm:regnetx_002", shared_decoder=True, heads=heads)
    model = build_model(settings, outputs_by_task(outputs), (64, 64))
    assert model.tasks_of("segmentation") == ("segmentation", "motion")
    planes = planes_for(model, size=64, batch=2)
    q = xv.quantize(with_statistics(model, planes), [planes], method="ptq")
    assert q(*planes).keys() == outputs.keys()
    parity = xv.verify(q, xv.export(q, tmp_path / "model.onnx"), [planes])
    assert parity.ok, (parity.max_lsb, parity.first_difference)
