"""Batch norms disappear and outputs stay."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, fx, nn

from tests.quant.patterns import PATTERNS, trained
from xvision.graph.capture import capture
from xvision.graph.operators import operator


def folded(model: nn.Module, *inputs: Tensor) -> fx.GraphModule:
    return capture(model, inputs)


def operators(graph: fx.GraphModule) -> list[str]:
    modules = dict(graph.named_modules())
    return [operator(node, modules) for node in graph.graph.nodes]


def uneven(*layers: nn.Module) -> nn.Sequential:
    """Layers whose batch norms have other gain, offset, mean and variance in each channel; eval mode."""
    torch.manual_seed(0)
    for layer in layers:
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            for tensor in (layer.running_mean, layer.running_var, layer.weight, layer.bias):
                if tensor is not None:
                    tensor.data.uniform_(0.5, 3)
    return nn.Sequential(*layers).eval()


@pytest.mark.parametrize("name", PATTERNS)
def test_outputs_stay(name: str) -> None:
    model, planes = trained(name)
    graph = folded(model, *planes)
    assert "batch_norm" not in operators(graph)
    with torch.no_grad():
        torch.testing.assert_close(graph(*planes), model(*planes), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "layers",
    [
        lambda: (nn.Conv2d(4, 6, 3, groups=2), nn.BatchNorm2d(6)),
        lambda: (nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), nn.BatchNorm2d(6)),
        lambda: (nn.ConvTranspose2d(4, 6, 2, bias=False), nn.BatchNorm2d(6, eps=0.1)),
        lambda: (nn.Conv2d(4, 6, 1), nn.BatchNorm2d(6, affine=False)),
        lambda: (nn.Flatten(), nn.Linear(4 * 25, 6), nn.BatchNorm1d(6)),
        lambda: (nn.BatchNorm2d(4),),
        lambda: (nn.BatchNorm2d(4), nn.Conv2d(4, 6, 1), nn.BatchNorm2d(6), nn.BatchNorm2d(6)),
    ],
)
def test_each_channel_has_its_own_gain(layers: object) -> None:
    assert callable(layers)
    model, x = uneven(*layers()), torch.randn(3, 4, 5, 5)
    graph = folded(model, x)
    assert "batch_norm" not in operators(graph)
    with torch.no_grad():
        torch.testing.assert_close(graph(x)["out0"], model(x), rtol=1e-5, atol=1e-5)


def test_a_norm_without_a_layer_becomes_a_depthwise_convolution() -> None:
    graph = folded(uneven(nn.ReLU(), nn.BatchNorm2d(4)), torch.randn(1, 4, 5, 5))
    conv = graph.get_submodule("1")
    assert isinstance(conv, nn.Conv2d)
    assert (conv.groups, conv.kernel_size, conv.weight.shape) == (4, (1, 1), (4, 1, 1, 1))


def test_a_layer_that_others_read_too_is_left_alone() -> None:
    class ReadTwice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = uneven(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))

        def forward(self, x: Tensor) -> Tensor:
            y = self.layers[0](x)
            z: Tensor = self.layers[1](y) - y
            return z

    model, x = ReadTwice().eval(), torch.randn(2, 4, 5, 5)
    graph = folded(model, x)
    assert operators(graph).count("conv") == 2
    with torch.no_grad():
        torch.testing.assert_close(graph(x)["out0"], model(x), rtol=1e-5, atol=1e-5)


def test_the_model_itself_keeps_its_norms() -> None:
    model = uneven(nn.Conv2d(4, 6, 1), nn.BatchNorm2d(6))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    folded(model, torch.randn(1, 4, 5, 5))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_divisions_by_what_is_known_are_products() -> None:
    class Divided(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.std = nn.Parameter(torch.tensor([0.5, 2.0, 4.0, 3.0]))

        def forward(self, x: Tensor) -> Tensor:
            tokens = x.flatten(2).permute(2, 0, 1).relu()
            return (1 - tokens / 3) / self.std

    model, x = Divided().eval(), torch.randn(3, 4, 5, 5)
    graph = folded(model, x)
    assert set(operators(graph)) == {
        "placeholder",
        "reshape",
        "transpose",
        "relu",
        "mul",
        "add",
        "get_attr",
        "output",
    }
    with torch.no_grad():
        torch.testing.assert_close(graph(x)["out0"], model(x))
