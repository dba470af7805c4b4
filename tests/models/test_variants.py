from __future__ import annotations

from typing import Any

import timm
import torch
from torch import nn

from xvision.models.variants import remove_squeeze_excite, scale_width, set_activation, set_norm_eps


def kinds(network: nn.Module) -> set[str]:
    return {type(m).__name__ for m in network.modules()}


def test_activations_are_replaced_and_gates_stay() -> None:
    network = timm.create_model("mobilenetv3_small_100")
    set_activation(network, "mobilenetv3_small_100", "relu")
    assert "Hardswish" not in kinds(network)
    assert {"ReLU", "Hardsigmoid"} <= kinds(network)


def test_without_squeeze_excite_the_gates_are_gone() -> None:
    network = timm.create_model("mobilenetv3_small_100").eval()
    remove_squeeze_excite(network, "mobilenetv3_small_100")
    assert not {"SqueezeExcite", "Hardsigmoid"} & kinds(network)
    assert network(torch.rand(1, 3, 32, 32)).shape == (1, 1000)


def test_norm_eps() -> None:
    network = timm.create_model("resnet18")
    set_norm_eps(network, 1e-3)
    assert {m.eps for m in network.modules() if isinstance(m, nn.BatchNorm2d)} == {1e-3}


def test_width_scales_everything_but_the_image_and_the_scores() -> None:
    network: Any = timm.create_model("resnet18").eval()
    gammas = network.layer1[0].bn2.weight.unique()
    scale_width(network, "resnet18", 0.5)
    assert network.conv1.weight.shape == (32, 3, 7, 7)
    assert network.fc.weight.shape == (1000, 256)
    assert torch.equal(network.layer1[0].bn2.weight, gammas.expand(32))  # zero-initialised in ResNets
    assert network(torch.rand(1, 3, 64, 64)).shape == (1, 1000)
