from __future__ import annotations

import pytest
import timm
import torch
from torch import Tensor, nn

from tests.models.outputs import outputs_by_task
from xvision.graph.cost import count
from xvision.models.build import build_model
from xvision.models.settings import Net


class ByHand(nn.Module):
    """Every operator that counts, with costs that are easy to check."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 8, 3, padding=1, stride=2)
        self.bn = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
        self.up = nn.ConvTranspose2d(8, 2, 2, stride=2)
        self.fc = nn.Linear(2, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.up(self.depthwise(self.bn(self.conv(x))))
        gram = torch.matmul(x.flatten(2), x.flatten(2).transpose(1, 2))
        scores: Tensor = self.fc(gram.mean(1))
        return scores


def test_costs_by_hand() -> None:
    cost = count(ByHand(), (8, 8))
    macs = {layer.name: layer.macs for layer in cost.layers}
    assert macs == {
        "": 2 * 2 * 64,  # the matrix product
        "conv": 4 * 4 * 8 * 4 * 9,
        "bn": 0,
        "depthwise": 4 * 4 * 8 * 9,
        "up": 4 * 4 * 8 * 2 * 4,
        "fc": 2 * 5,
    }
    assert cost.macs == sum(macs.values())
    params = {layer.name: layer.params for layer in cost.layers}
    assert params == {"": 0, "conv": 8 * 4 * 9 + 8, "bn": 16, "depthwise": 72, "up": 8 * 2 * 4 + 2, "fc": 15}
    assert cost.params == sum(params.values())
    rows = {layer.name: (layer.type, layer.output) for layer in cost.layers}
    assert rows["conv"] == ("Conv2d", (8, 4, 4))
    assert rows["up"] == ("ConvTranspose2d", (2, 8, 8))


def test_a_module_that_runs_twice_counts_twice_in_one_row() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.conv(self.conv(x))
            return out

    cost = count(Twice(), (2, 2))
    assert (cost.macs, cost.params, len(cost.layers)) == (2 * 4 * 9, 12, 1)


@pytest.mark.parametrize("pixels", ["rgb", "nv12"])
def test_a_model_of_ours_is_counted_and_left_as_it_was(pixels: str) -> None:
    settings = Net.model_validate(
        {"backbone": "timm:mobilenetv2_100", "decoder": "classifier", "pixels": pixels}
    )
    model = build_model(settings, outputs_by_task({"class": 1000}), (224, 224))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    cost = count(model, (224, 224))
    assert cost.macs == 300_774_272  # 0.3008 GMACs, as torch's own counter on the published network
    assert cost.params == sum(layer.params for layer in cost.layers) == 3_504_872
    assert model.training
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_products_with_vectors_count_too() -> None:
    class Pool(nn.Module):
        """Attention pooling with a learned query."""

        def __init__(self) -> None:
            super().__init__()
            self.conv, self.query = nn.Conv2d(3, 8, 1), nn.Parameter(torch.randn(8))

        def forward(self, x: Tensor) -> Tensor:
            tokens = self.conv(x).flatten(2).transpose(1, 2)
            scores: Tensor = tokens @ self.query + torch.addmv(tokens[0] @ self.query, tokens[0], self.query)
            return scores + torch.dot(self.query, self.query)

    cost = count(Pool(), (4, 4))
    assert {layer.name: layer.macs for layer in cost.layers} == {"conv": 16 * 3 * 8, "": 3 * 16 * 8 + 8}
    assert {layer.name: layer.params for layer in cost.layers} == {"conv": 32, "": 8}


def test_a_layer_of_several_is_one_row_with_all_that_they_cost() -> None:
    cost = count(timm.create_model("vgg11", num_classes=10), (64, 64))
    (row,) = (layer for layer in cost.layers if layer.name == "pre_logits")
    assert (row.type, row.macs) == ("ConvMlp", 512 * 49 * 4096 + 4096 * 4096)
    assert sum(layer.params for layer in cost.layers) == cost.params


def test_a_network_that_branches_on_its_data_is_refused() -> None:
    class Branch(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(ValueError, match="Branch: expected a network whose layers do not depend on the data"):
        count(Branch(), (4, 4))


def test_attention_counts_too() -> None:
    """DeiT (Touvron et al., 2021) tiny has 1.3 GFLOPs in its convention of one per multiply-add (table 5)."""
    cost = count(timm.create_model("vit_tiny_patch16_224"), (224, 224))
    assert cost.macs / 1e9 == pytest.approx(1.26, abs=0.02)


def test_modes_of_single_modules_are_kept() -> None:
    model = ByHand().train()
    model.bn.eval()
    count(model, (8, 8))
    assert (model.training, model.bn.training, model.conv.training) == (True, False, True)
