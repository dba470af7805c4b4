"""A network that could not be quantized is refused before it is trained; else its trace serves once more."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import xvision as xv
from xvision.models.backbone import Backbone
from xvision.models.decoders import decoder
from xvision.models.decoders.classifier import classifier
from xvision.models.outputs import OutputSpec
from xvision.runs.build import SettingError

SMALL = (
    "data.num_train=8", "data.num_val=4", "data.size=32x32", "train.max_steps=1", "train.batch_size=4",
    "train.workers=0", "train.threads=1", "quant.num_images=4", "net.backbone=timm:mobilenetv2_035",
)  # fmt: skip


class of_this_batch(classifier):
    """Scores relative to those of the other images of a batch."""

    def __init__(self, backbone: Backbone, outputs: Sequence[OutputSpec], *, dropout: float = 0.0) -> None:
        super().__init__(backbone, outputs, dropout=dropout)
        self.norm = nn.BatchNorm1d(sum(output.channels for output in outputs), track_running_stats=False)

    def forward(self, logits: Tensor) -> dict[str, Tensor]:
        return super().forward(self.norm(logits))


def test_it_is_refused_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder, "_own", {})
    decoder(of_this_batch)
    recipe = xv.recipe("classification", *SMALL, "net.decoder=of_this_batch")
    with pytest.raises(
        SettingError,
        match=r"net: expected a network that can be quantized: Model, layer decoders.classification.norm: ",
    ):
        xv.run(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_float_network_alone_may_be_any(tmp_path: Path) -> None:
    run = xv.run(xv.recipe("classification", *SMALL), tmp_path / "run", until="train")
    assert run.networks == ("float",)
    assert run.program is None


@pytest.mark.filterwarnings("ignore:.*fewer than 32")
def test_what_was_traced_before_training_is_not_traced_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    traced = []
    real = torch.export.export

    def export(*args: Any, **settings: Any) -> Any:
        traced.append(args)
        return real(*args, **settings)

    monkeypatch.setattr(torch.export, "export", export)
    run = xv.run(xv.recipe("classification", *SMALL), tmp_path / "run", until="quantize")
    assert len(traced) == 1
    again = xv.quantize(run.model, run.calibration(), method=run.recipe.quant.method)
    assert len(traced) == 2
    (planes,) = list(run.planes("val"))[:1]
    with torch.no_grad():
        assert torch.equal(again(*planes)["class"], run.quantized(*planes)["class"])
