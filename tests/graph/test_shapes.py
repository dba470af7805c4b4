"""The shape pass: what nodes give, wherever the graph runs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, fx, nn

from xvision.graph.shapes import note_shapes, run_on_meta
from xvision.graph.trace import trace


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x))
        best = y.argmax(1)
        scores: Tensor = self.fc(y.mean((2, 3))) + best.sum()
        return scores


@pytest.fixture
def graph() -> fx.GraphModule:
    return trace(Net().train())


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_float_tensors_have_shapes_and_layers_their_macs(graph: fx.GraphModule, device: str) -> None:
    note_shapes(graph, torch.zeros(2, 3, 8, 6, device=device))
    shapes = {node.name: node.meta["shape"] for node in graph.graph.nodes if "shape" in node.meta}
    assert shapes["conv"] == shapes["norm"] == (2, 8, 4, 3)
    assert (shapes["mean"], shapes["fc"]) == ((2, 8), (2, 5))
    assert "argmax" not in shapes, "class ids are no float tensor"
    macs = {node.name: node.meta["macs"] for node in graph.graph.nodes if node.meta["macs"]}
    assert macs == {"conv": 2 * 4 * 3 * 8 * 3 * 9, "fc": 2 * 8 * 5}


def test_a_second_pass_replaces_what_the_first_noted(graph: fx.GraphModule) -> None:
    for size in (8, 16):
        note_shapes(graph, torch.zeros(1, 3, size, size))
    assert {n.name: n.meta.get("shape") for n in graph.graph.nodes}["conv"] == (1, 8, 8, 8)


def test_modes_and_statistics_are_left_as_they_were(graph: fx.GraphModule) -> None:
    before = {key: value.clone() for key, value in graph.state_dict().items()}
    for device in ("cpu", "meta"):
        note_shapes(
            graph, torch.ones(1, 3, 2, 2, device=device)
        )  # 1x1 maps, which batch norm refuses in train mode
    assert graph.training
    assert graph.get_submodule("norm").training
    assert all(torch.equal(value, before[key]) for key, value in graph.state_dict().items())


def test_meta_gives_what_the_network_returns() -> None:
    out = run_on_meta(Net(), torch.zeros(1, 3, 8, 8))
    assert (out.device.type, tuple(out.shape)) == ("meta", (1, 5))
