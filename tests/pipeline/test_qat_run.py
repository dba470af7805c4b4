"""A run whose integers are trained: several tasks on drawn scenes, where few bits lose much."""

from __future__ import annotations

from pathlib import Path

import pytest

import xvision as xv
from tests.pipeline.results import FLOAT, INT8, figures
from tests.quant.few_bits import few_bits
from xvision.quant.schemes import scheme

SMALL = (
    "data=scenes", "data.num_train=256", "data.num_val=32", "data.size=64x64", "net.backbone=timm:mobilenetv2_035",
    "train.batch_size=16", "train.threads=1", "train.workers=0", "train.epochs=5", "quant.scheme=few_bits",
    "quant.weights=4", "quant.activations=4",
)  # fmt: skip


def test_training_wins_back_what_few_bits_lose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheme, "_own", {})
    scheme(few_bits)
    scores = {}
    for method, settings in {
        "ptq": (),
        "qat": ("quant.method=qat", "quant.epochs=3", "quant.lr=1e-3"),
    }.items():
        recipe = xv.recipe("segmentation+depth", *SMALL, *settings)
        run = xv.run(recipe, tmp_path / "run", until="quantize")
        found = figures(run.record)
        scores[method], exact = found[INT8]["score"], found[FLOAT]["score"]
    lost = {method: exact - score for method, score in scores.items()}
    assert lost["ptq"] > 3
    assert lost["qat"] < 0.5 * lost["ptq"]
