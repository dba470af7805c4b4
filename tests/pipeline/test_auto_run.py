"""One command from images to a verified file, with a training through the rounding where integers cost too much."""

from __future__ import annotations

from pathlib import Path

import pytest

import xvision as xv
from xvision.console import Console

SMALL = (
    "data=scenes", "data.num_train=48", "data.num_val=16", "data.size=32x32", "net.backbone=timm:mobilenetv2_035",
    "train.batch_size=8", "train.threads=1", "train.workers=0", "train.max_steps=2",
    "quant.method=auto", "quant.rungs=minmax,bias", "quant.num_images=32", "quant.qat=true",
    "quant.max_drop=-100",  # no network can win so much: all is done that can be
)  # fmt: skip


def test_rungs_then_training_then_a_verified_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = xv.run(xv.recipe("classification", *SMALL), tmp_path / "run", console=Console())
    said = capsys.readouterr()
    made = run.record.quantization["int8"]
    assert [one.name for one in made.rungs] == ["minmax", "bias", "qat"]
    assert made.rungs[-1].drop is not None
    assert all(one.seconds > 0 for one in made.rungs)
    assert all(f"  {one.name}: class " in said.out for one in made.rungs)
    assert "quant.max_drop: expected to lose at most -100 points" in said.err
    assert {row.network for row in run.record.metrics} == {"float", "int8"}
    assert all(parity.ok for parity in run.record.parity)
    assert (run.folder / "report.html").is_file()

    calibration = run.files.calibration("int8")
    assert calibration is not None
    assert made.calibration is not None
    assert (made.calibration.num_images, made.calibration.digest) == (24, calibration.digest)  # half of all
    judged = [name for batch in run.judging(24).epoch(0) for name in batch["name"]]
    assert sorted([*judged, *calibration.names]) == sorted(run.split("train").names)
    xv.run(run.recipe, tmp_path / "run", console=Console())
    assert "quantize int8: up to date" in capsys.readouterr().out
