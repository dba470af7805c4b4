"""Capture: same outputs, same parameter names, both modes."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from xvision.graph.trace import trace
from xvision.models.pixels import Pixels


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2_100", "tf_efficientnet_lite0", "regnetx_004"])
@pytest.mark.parametrize("train", [False, True])
def test_trace_computes_the_same_under_the_same_names(name: str, train: bool) -> None:
    net = timm.create_model(name, num_classes=10).train(train)
    traced = trace(net)
    assert set(traced.state_dict()) == set(net.state_dict())
    assert traced.training == train
    for size in (64, 96):
        x = torch.randn(2, 3, size, size)
        for module in (net, traced):
            module.eval()
        assert torch.equal(traced(x), net(x))


def test_unused_modules_are_left_out() -> None:
    net = timm.create_model("resnet18", num_classes=10)
    traced = trace(
        net, forward=lambda net, x: net.forward_intermediates(x, indices=[1], intermediates_only=True)
    )
    assert "layer4.0.conv1.weight" not in traced.state_dict()
    assert set(traced.state_dict()) < set(net.state_dict())
    assert traced(torch.zeros(1, 3, 64, 64))[0].shape == (1, 64, 16, 16)


def test_functional_dropout_follows_the_mode() -> None:
    traced = trace(timm.create_model("mobilenetv2_100", num_classes=10, drop_rate=0.5).eval())
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(traced(x), traced(x))
    traced.train()
    assert not torch.equal(traced(x), traced(x))


def test_named_planes_replace_star_arguments() -> None:
    class Star(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pixels = Pixels("nv12")

        def forward(self, *planes: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"sum": self.pixels(*planes)}

    traced = trace(Star())
    assert [n.target for n in traced.graph.nodes if n.op == "placeholder"] == ["y", "uv"]
    y, uv = Pixels("nv12").example((4, 4))
    assert (traced(y, uv)["sum"] == 0).all()


def test_a_branch_on_data_is_one_clear_error() -> None:
    class Branch(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(ValueError, match="Branch: expected a network whose layers do not depend on the data"):
        trace(Branch())
