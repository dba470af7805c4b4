"""One quantizer for each tensor: after the activation, shared where the grid must be the same, given where known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, fx, nn

from tests.quant.patterns import PATTERNS, Pattern, trained
from xvision.graph.operators import operator
from xvision.quant.fake import Quantizer, QuantLayer
from xvision.quant.insert import prepare, scheme_of
from xvision.quant.schemes import scheme


def inserted(model: nn.Module, *planes: Tensor, head_bits: int = 16) -> fx.GraphModule:
    return prepare(model, planes, scheme.pow2(head_bits=head_bits).build())


def quantizer_of(graph: fx.GraphModule, node: fx.Node) -> Quantizer | None:
    """The quantizer that reads a node's output."""
    found = [user for user in node.users if is_quantizer(graph, user)]
    assert len(found) <= 1, f"{node} has {len(found)} quantizers"
    return graph.get_submodule(str(found[0].target)) if found else None  # type: ignore[return-value]


def is_quantizer(graph: fx.GraphModule, node: fx.Node) -> bool:
    return node.op == "call_module" and isinstance(graph.get_submodule(str(node.target)), Quantizer)


def nodes(graph: fx.GraphModule, name: str) -> list[fx.Node]:
    modules = dict(graph.named_modules(remove_duplicate=False))
    return [node for node in graph.graph.nodes if operator(node, modules) == name]


def tensors(graph: fx.GraphModule) -> list[fx.Node]:
    """Nodes that compute a float tensor, quantizers apart."""
    computing = ("call_module", "call_function", "call_method")
    return [
        n for n in graph.graph.nodes if n.op in computing and "shape" in n.meta and not is_quantizer(graph, n)
    ]


def rule_of(graph: fx.GraphModule, node: fx.Node) -> str:
    module = graph.get_submodule(str(node.target)) if node.op == "call_module" else None
    if isinstance(module, QuantLayer):
        return "layer"
    return scheme_of(graph).rule(operator(node, dict(graph.named_modules(remove_duplicate=False))))


@pytest.mark.parametrize("name", PATTERNS)
def test_every_tensor_has_one_quantizer_and_no_two_are_in_a_row(name: str) -> None:
    model, planes = trained(name)
    graph = inserted(model, *planes)
    assert graph.meta["float_operators"] == []
    for node in tensors(graph):
        users = list(node.users)
        if quantizer_of(graph, node) is not None:
            assert len(users) == 1, f"{node}: somebody reads what is not quantized"
        else:
            assert [rule_of(graph, user) for user in users] == ["clip"], f"{node}: no quantizer"
    for node in graph.graph.nodes:
        if is_quantizer(graph, node):
            (source,) = node.all_input_nodes
            assert not is_quantizer(graph, source), f"{node}: two in a row"


@pytest.mark.parametrize("name", PATTERNS)
def test_none_is_between_an_operator_and_its_clip(name: str) -> None:
    model, planes = trained(name)
    graph = inserted(model, *planes)
    for node in tensors(graph):
        if rule_of(graph, node) != "clip":
            continue
        source = node.all_input_nodes[0]
        if is_quantizer(graph, source):  # the operator before has been read or clipped already: one grid
            assert quantizer_of(graph, node) is graph.get_submodule(str(source.target))
            before = source.all_input_nodes[0]
            assert rule_of(graph, before) not in ("layer", "own") or len(source.users) > 1


@pytest.mark.parametrize("name", PATTERNS)
def test_without_ranges_the_graph_computes_in_float(name: str) -> None:
    model, planes = trained(name)
    graph = inserted(model, *planes)
    for module in graph.modules():
        if isinstance(module, Quantizer):
            module.load_state_dict(Quantizer(module.numbers).state_dict())  # open, those of known range too
    with torch.no_grad():
        torch.testing.assert_close(graph(*planes), model(*planes), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", PATTERNS)
def test_tensors_of_same_and_joined_operators_share_a_grid(name: str) -> None:
    model, planes = trained(name)
    graph = inserted(model, *planes)
    for node in tensors(graph):
        if rule_of(graph, node) in ("same", "join"):
            sources = list(node.all_input_nodes)
            while any("shape" not in s.meta for s in sources):  # through tuples of tensors
                sources = [s for source in sources for s in source.all_input_nodes]
            own = quantizer_of(graph, node)
            assert own is not None
            assert all(graph.get_submodule(str(s.target)) is own for s in sources)


@pytest.mark.parametrize(
    ("name", "tied"), [("concat", "concat"), ("max_pool", "max_pool"), ("shuffle", "transpose")]
)
def test_the_tied_patterns_do_have_ties(name: str, tied: str) -> None:
    model, planes = trained(name)
    graph = inserted(model, *planes)
    (node, *_) = nodes(graph, tied)
    assert all(graph.get_submodule(str(s.target)) is quantizer_of(graph, node) for s in node.all_input_nodes)


def test_addition_and_relu_are_one_operator() -> None:
    model, planes = trained("add_relu")
    graph = inserted(model, *planes)
    additions = nodes(graph, "add")
    assert len(additions) == 2
    for addition in additions:
        (user,) = addition.users
        assert rule_of(graph, user) == "clip"
        assert quantizer_of(graph, user) is not None
        assert all(is_quantizer(graph, source) for source in addition.all_input_nodes)


@pytest.mark.parametrize("name", PATTERNS)
def test_the_scale_of_pixels_is_given(name: str) -> None:
    model, planes = trained(name)
    graph = inserted(model, *planes)
    (pixels,) = nodes(graph, "Pixels")
    quantizer = quantizer_of(graph, pixels)
    assert quantizer is not None
    assert (quantizer.ready, float(quantizer.scale), quantizer.zero_point) == (True, 1 / 64, 128)


@pytest.mark.parametrize(
    ("activation", "name", "scale", "zero_point"),
    [
        (nn.Sigmoid(), "sigmoid", 1 / 256, 0),
        (nn.Hardsigmoid(), "hardsigmoid", 1 / 256, 0),
        (nn.Tanh(), "tanh", 1 / 128, 128),
    ],
)
def test_known_ranges_are_not_measured(
    activation: nn.Module, name: str, scale: float, zero_point: int
) -> None:
    model = Pattern(activation).eval()
    graph = inserted(model, torch.zeros(2, 3, 8, 8, dtype=torch.uint8))
    (node,) = nodes(graph, name)
    quantizer = quantizer_of(graph, node)
    assert quantizer is not None
    assert (quantizer.ready, float(quantizer.scale), quantizer.zero_point) == (True, scale, zero_point)


def test_a_known_range_that_is_joined_with_another_is_measured() -> None:
    class Joined(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cat((torch.sigmoid(x), x), dim=1)

    graph = inserted(Pattern(Joined(), 32).eval(), torch.zeros(2, 3, 8, 8, dtype=torch.uint8))
    (node,) = nodes(graph, "sigmoid")
    quantizer = quantizer_of(graph, node)
    assert quantizer is not None
    assert not quantizer.ready


@pytest.mark.parametrize("head_bits", [8, 16])
@pytest.mark.parametrize("name", ["conv_relu", "map_head", "resized_head", "two_heads"])
def test_heads_alone_have_the_bits_of_heads(name: str, head_bits: int) -> None:
    model, planes = trained(name)
    graph = inserted(model, *planes, head_bits=head_bits)
    (outputs,) = graph.graph.output_node().args
    assert isinstance(outputs, dict)
    heads = {graph.get_submodule(str(node.target)) for node in outputs.values()}
    for module in graph.modules():
        if isinstance(module, Quantizer):
            assert module.numbers.bits == (head_bits if module in heads else 8)


def test_operators_without_a_rule_compute_between_two_quantizers() -> None:
    model = Pattern(nn.Softmax(dim=1)).eval()
    graph = inserted(model, torch.zeros(2, 3, 8, 8, dtype=torch.uint8))
    assert [str(one) for one in graph.meta["float_operators"]] == ["softmax (body)"]
    (node,) = nodes(graph, "softmax")
    assert is_quantizer(graph, node.all_input_nodes[0])
    assert quantizer_of(graph, node) is not None
