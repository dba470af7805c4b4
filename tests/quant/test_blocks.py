"""Blocks: every node once, in order, cut where only one tensor crosses."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.quant.patterns import PATTERNS, planes_for, trained
from xvision.quant.blocks import blocks
from xvision.quant.fake import QuantLayer
from xvision.quant.insert import prepare
from xvision.quant.schemes import scheme


class Residuals(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3)
        self.body = nn.ModuleList(
            nn.ModuleList(nn.Conv2d(8, 8, 3, padding=1) for _ in range(3)) for _ in range(2)
        )
        self.head = nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        for a, b, c in self.body:  # type: ignore[attr-defined]
            x = F.relu(x + c(F.relu(b(F.relu(a(x))))))
        return self.head(x)


def names_of(model: nn.Module, planes: tuple[Tensor, ...], most_layers: int) -> list[list[str]]:
    graph = prepare(model, planes, scheme.pow2().build())
    found = blocks(graph, most_layers)
    inside = [node for node in graph.graph.nodes if node.op not in ("placeholder", "output", "get_attr")]
    assert [node for block in found for node in block.nodes] == inside
    for block in found:
        later = {n for n in block.nodes if "shape" in n.meta and set(n.users) - set(block.nodes)}
        assert set(block.outputs) == later
    modules = dict(graph.named_modules())
    called = [[str(n.target) for n in block.nodes if n.op == "call_module"] for block in found]
    return [[name for name in names if isinstance(modules[name], QuantLayer)] for names in called]


def test_residual_blocks_stay_whole() -> None:
    found = names_of(Residuals(), (torch.zeros(1, 3, 8, 8),), 4)
    assert found == [
        ["stem", "body.0.0", "body.0.1", "body.0.2"],
        ["body.1.0", "body.1.1", "body.1.2", "head"],
    ]


def test_what_has_more_layers_is_cut_by_their_number() -> None:
    assert names_of(Residuals(), (torch.zeros(1, 3, 8, 8),), 2) == [
        ["stem"],
        ["body.0.0", "body.0.1"],
        ["body.0.2"],
        ["body.1.0", "body.1.1"],
        ["body.1.2", "head"],
    ]


@pytest.mark.parametrize("most_layers", [1, 4])
@pytest.mark.parametrize("name", PATTERNS)
def test_no_block_has_more_layers_than_asked_for(name: str, most_layers: int) -> None:
    model, _ = trained(name)
    found = names_of(model, planes_for(model), most_layers)
    assert all(len(layers) <= most_layers for layers in found)
