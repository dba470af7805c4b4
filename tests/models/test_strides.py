"""Strides and fast-down on layers that each do it in another way."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from xvision.models.strides import add_fast_down, set_strides


class Net(nn.Module):
    """Halves in a strided convolution, in two branches, in a 2x2 pool, and at last without a layer."""

    def __init__(self, odd: int = 3) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.bn = nn.BatchNorm2d(4)
        self.act = nn.ReLU()
        self.left = nn.Conv2d(4, 4, odd, stride=2, padding=(odd - 1) // 2)
        self.right = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(4, 4, 1))
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.bn(self.stem(x)))
        x = self.pool(self.left(x) + self.right(x))
        return F.max_pool2d(x, 2)


IMAGE = torch.rand(1, 3, 32, 32)


@pytest.mark.parametrize(
    ("strides", "side"), [((2, 2, 2), 2), ((1, 2, 2), 4), ((2, 1, 2), 4), ((1, 1, 2), 8), ((1, 1, 1), 16)]
)
def test_each_stage_keeps_the_resolution_by_itself(strides: tuple[int, ...], side: int) -> None:
    graph = fx.symbolic_trace(Net())
    names = set(graph.state_dict())
    set_strides(graph, "net", 3, strides)
    assert graph(IMAGE).shape[-1] == side
    assert set(graph.state_dict()) == names


def test_stages_that_cannot_are_named() -> None:
    with pytest.raises(
        ValueError, match=r"net cannot keep the resolution at stage 1: 'left' is a Conv2d of size 2; set"
    ):
        set_strides(fx.symbolic_trace(Net(odd=2)), "net", 3, (1, 1, 2))
    later = nn.Sequential(Net(), nn.Conv2d(4, 4, 3, stride=2, padding=1))
    with pytest.raises(
        ValueError, match="net cannot keep the resolution at stage 3: no layer of its own halves it"
    ):
        set_strides(fx.symbolic_trace(later), "net", 3, (2, 2, 2, 1, 2))


def test_fast_down_comes_after_the_stems_activation() -> None:
    graph = fx.symbolic_trace(Net())
    add_fast_down(graph, "net")
    nodes = [str(n.target) for n in graph.graph.nodes]
    assert nodes[nodes.index("act") + 1] == "fast_down"
    assert graph(IMAGE).shape[-1] == 1
