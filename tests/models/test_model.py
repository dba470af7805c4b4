from __future__ import annotations

import copy

import pytest
import torch

from tests.models.outputs import outputs_by_task
from xvision.graph.trace import trace
from xvision.models.build import build_model
from xvision.models.pixels import encode
from xvision.models.settings import Net


def net(pixels: str = "rgb", model: str = "mobilenetv3_small_100") -> Net:
    return Net.model_validate(
        {"backbone": f"timm:{model}", "decoder": {"classifier": {"dropout": 0.2}}, "pixels": pixels}
    )


@pytest.mark.parametrize("pixels", ["rgb", "bgr", "gray", "yuv444", "nv12"])
def test_planes_in_scores_out(pixels: str) -> None:
    model = build_model(net(pixels), outputs_by_task({"class": 4}), (64, 64)).eval()
    assert model.outputs == ("class",)
    planes = encode(torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8), pixels)
    wanted = model.inputs.example((64, 64), batch=2)
    assert [plane.shape for plane in wanted] == [plane.shape for plane in planes]
    traced = trace(model)
    assert [n.target for n in traced.graph.nodes if n.op == "placeholder"] == [
        p.name for p in model.inputs.planes
    ]
    with torch.no_grad():
        out = model(*planes)
        assert {name: x.shape for name, x in out.items()} == {"class": (2, 4)}
        assert torch.equal(traced(*planes)["class"], out["class"])
        assert torch.equal(copy.deepcopy(model)(*planes)["class"], out["class"])


def test_the_same_seed_gives_the_same_weights() -> None:
    def state(seed: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(seed)
        return build_model(net(), outputs_by_task({"class": 4}), (64, 64)).state_dict()

    first, again, other = state(0), state(0), state(1)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["backbone.conv_stem.weight"], other["backbone.conv_stem.weight"])


def test_outputs_are_raw_in_train_mode_too() -> None:
    model = build_model(net(), outputs_by_task({"class": 4}), (64, 64)).train()
    out = model(torch.zeros(2, 3, 64, 64, dtype=torch.uint8))["class"]
    assert out.shape == (2, 4)
    assert out.requires_grad


def test_two_decoders_share_the_backbone() -> None:
    """A decoder may ask for a level that another task's decoder does not know of."""
    from torch import Tensor, nn

    from xvision.models.backbone import Backbone
    from xvision.models.inputs import Inputs
    from xvision.models.model import Model

    class Coarse(nn.Module):
        size_divisor = 16

        def __init__(self, backbone: Backbone, channels: int) -> None:
            super().__init__()
            level = backbone.last(16)
            self.in_features = (level,)
            self.predict = nn.Conv2d(backbone.levels[level].channels, channels, 1)

        def forward(self, level: Tensor) -> dict[str, Tensor]:
            return {"segmentation": self.predict(level)}

    settings = net()
    backbone = settings.backbone.build(3, (64, 64))
    outputs = outputs_by_task({"class": 4, "segmentation": 9})
    decoders = {
        "classification": settings.decoder.build(backbone, outputs["classification"]),
        "segmentation": Coarse(backbone, 9),
    }
    model = Model(Inputs("rgb"), backbone, decoders, outputs, (64, 64)).eval()
    planes = model.pixels.example((64, 64), batch=2)
    out = model(*planes)
    assert (out["class"].shape, out["segmentation"].shape) == ((2, 4), (2, 9, 4, 4))
    again = trace(model)(*planes)
    assert all(torch.equal(out[name], again[name]) for name in out)
