"""What is captured is the network that was given, however its Python is written; anything else is refused by name."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from timm.layers import ConvNormAct, DropPath, LayerScale2d, StdConv2d
from torch import Tensor, fx, nn

from tests.graph.written import Written
from tests.quant.patterns import trained
from xvision.graph import capture as capturing
from xvision.graph.capture import REWRITINGS, capture
from xvision.graph.exported import exported
from xvision.graph.operators import operator
from xvision.graph.outputs import named
from xvision.graph.plain import from_plain
from xvision.graph.same import difference
from xvision.models.pixels import Pixels


class Pair(NamedTuple):
    first: Tensor
    second: Tensor | None


def relu_before_skip(net: Any, x: Tensor) -> Tensor:
    x = net.conv(x)
    return net.second(F.relu(x, True)) + x


def statement(net: Any, x: Tensor) -> Tensor:
    y = net.conv(x)
    y.relu_()
    y.mul_(net.gain[1])
    return y


def alias(net: Any, x: Tensor) -> Tensor:
    y = net.conv(x)
    kept = [y]
    y += 3 * net.side(x)
    return torch.cat([kept[0], y], 1)


def part_written(net: Any, x: Tensor) -> Tensor:
    y = net.conv(x)
    y[:, :2] *= 4
    y[:, 5] = net.side(x)[:, 0]
    return y


def view_read_after(net: Any, x: Tensor) -> Tensor:
    y = net.conv(x)
    flat = y.flatten(1)
    y.relu_()
    return flat


def learned_fusion(net: Any, x: Tensor) -> Tensor:
    w = F.relu(net.gain)
    return (net.conv(x) * w[0] + net.side(x) * w[1]) / (w.sum() + 1e-4)


def sizes(net: Any, x: Tensor) -> Tensor:
    if x.shape[2] % 4 or len(x.shape) != 4:
        raise ValueError("sides must be multiples of 4")
    batch, _, height, width = x.shape
    return torch.cat([net.conv(x), torch.zeros(batch, 1, height, width) + x.mean()], 1)


def chunks(net: Any, x: Tensor) -> Tensor:
    a, b = net.conv(x).chunk(2, 1)
    return a[:, 1:] * b[:, :-1].sigmoid()


def keywords(net: Any, x: Tensor) -> Tensor:
    return F.conv2d(net.conv(input=x), weight=net.second.weight, bias=net.second.bias, padding=1)


def optional(net: Any, x: Tensor, mask: Tensor | None = None) -> Tensor:
    return net.conv(x) if mask is None else net.conv(x) * mask


def cached(net: Any, x: Tensor) -> Tensor:
    net.features = net.conv(x)
    return F.relu(net.features)


def blurred(net: Any, x: Tensor) -> Tensor:
    taps = torch.tensor([1.0, 2.0, 1.0])
    kernel = (taps[:, None] * taps / 16).expand(8, 1, 3, 3)
    return F.conv2d(F.pad(net.conv(x), (1, 1, 1, 1), mode="reflect"), kernel, stride=2, groups=8)


def attention(net: Any, x: Tensor) -> Tensor:
    tokens = net.conv(x).flatten(2).transpose(1, 2).unflatten(2, (2, 4)).transpose(1, 2)
    mask = torch.linspace(0, 1, 256).expand(256, 256) * net.gain[1]
    masked = F.scaled_dot_product_attention(tokens, tokens * 2, tokens, attn_mask=mask)
    return masked + F.scaled_dot_product_attention(tokens, tokens, tokens, scale=0.3)


def standardised(net: Any, x: Tensor) -> Tensor:
    return net.standard(x)


def used_twice(net: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    y = net.conv(x)
    return net.head(y), net.head(F.max_pool2d(y, 2))


def upward(net: Any, x: Tensor) -> Tensor:
    return net.up(F.max_pool2d(net.conv(x), 2), output_size=x.shape) + x


def pools(net: Any, x: Tensor) -> tuple[Tensor, ...]:
    y = net.conv(x)[:, :, :15, :13]
    return (
        F.avg_pool2d(y, 3, 2, ceil_mode=True),
        F.avg_pool2d(y, 3, 2, padding=1, count_include_pad=False),
        F.avg_pool2d(y, 2, 2, divisor_override=3),
        F.avg_pool2d(y, 3),
        F.avg_pool2d(y[:, :, :12, :12], 2, ceil_mode=True),
        F.max_pool2d(y, 3, 2, ceil_mode=True),
        F.max_pool2d(y, 2, 3, 1, ceil_mode=True),
        F.adaptive_avg_pool2d(y[:, :, :12, :12], 3),
    )


def lines(net: Any, x: Tensor) -> tuple[Tensor, ...]:
    y = F.relu(net.norm(net.first(x.flatten(2))))
    y = y + torch.sigmoid(net.gate(y)) * y
    pooled = F.adaptive_avg_pool1d(F.avg_pool1d(F.max_pool1d(y, 2), 2, 1), 7)
    return net.up(y), pooled, y.mean(2)


def resized(net: Any, x: Tensor) -> tuple[Tensor, ...]:
    y = net.conv(x)
    return (
        F.interpolate(y, size=(37, 41), mode="bilinear"),
        F.interpolate(y, scale_factor=2, mode="bilinear", align_corners=True),
        F.interpolate(y, scale_factor=(4, 2), mode="bilinear"),
        F.interpolate(y[:, :, :4, :4], scale_factor=16, mode="bilinear"),
        F.interpolate(y, scale_factor=1.7, mode="bilinear"),
        F.interpolate(y, scale_factor=0.5, mode="bilinear"),
        F.interpolate(y, scale_factor=3),
    )


WRITTEN: dict[str, Callable[[], nn.Module]] = {
    "relu before a skip": lambda: Written(relu_before_skip),
    "statement in place": lambda: Written(statement),
    "sum in place under two names": lambda: Written(alias),
    "parts written in place": lambda: Written(part_written),
    "a view read after a change": lambda: Written(view_read_after),
    "learned weights of a sum": lambda: Written(learned_fusion),
    "sizes": lambda: Written(sizes),
    "slices of chunks": lambda: Written(chunks),
    "keywords": lambda: Written(keywords),
    "optional argument": lambda: Written(optional),
    "value kept on the side": lambda: Written(cached),
    "blur": lambda: Written(blurred),
    "standardised weights": lambda: Written(standardised, standard=StdConv2d(3, 8, 3)),
    "attention": lambda: Written(attention),
    "layers used twice": lambda: Written(used_twice, head=ConvNormAct(8, 8, 3)),
    "output size": lambda: Written(upward, up=nn.ConvTranspose2d(8, 3, 3, 2, 1)),
    "pools": lambda: Written(pools),
    "resizes": lambda: Written(resized),
    "drop path": lambda: Written(lambda net, x: net.drop(net.conv(x)) + net.side(x), drop=DropPath(0.5)),
    "dropout": lambda: Written(
        lambda net, x: net.second(net.drop(net.conv(x))),
        drop=nn.Sequential(nn.Dropout2d(0.5, True), nn.Dropout(0.5)),
    ),
    "numbers": lambda: Written(
        lambda net, x: 1 - net.conv(x).relu() / 3 + (-net.side(x)).relu() / net.gain[1]
    ),
    "layer scale": lambda: Written(lambda net, x: net.scale(net.conv(x)), scale=LayerScale2d(8, 0.5)),
    "a line": lambda: Written(lambda net, x: net.line(x.flatten(2)), line=nn.Conv1d(3, 5, 9, padding=4)),
    "a network of lines": lambda: Written(
        lines,
        first=nn.Conv1d(3, 4, 5, padding="same"),
        norm=nn.BatchNorm1d(4),
        gate=nn.Conv1d(4, 4, 3, padding=1, groups=4),
        up=nn.ConvTranspose1d(4, 2, 3, 2, output_padding=1),
    ),
    "class ids": lambda: Written(lambda net, x: net.conv(x).argmax(1)),
    "a named tuple with None": lambda: Written(lambda net, x: Pair(net.conv(x), None)),
    "a dict in a dict": lambda: Written(lambda net, x: {"out": net.conv(x), "more": {"side": [net.side(x)]}}),
    "parametrized": lambda: Written(
        lambda net, x: net.normed(x), normed=nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 8, 3))
    ),
    "norm over tokens": lambda: Written(
        lambda net, x: net.norm(net.linear(x.flatten(2))),
        linear=nn.Linear(256, 3),
        norm=nn.BatchNorm1d(3),
    ),
    "names that are taken": lambda: Written(
        lambda net, x: net.code(x) + net.graph(F.relu(net.side(x))),
        code=nn.Conv2d(3, 8, 1),
        graph=nn.BatchNorm2d(8),
    ),
    "a module called meta": lambda: Written(lambda net, x: net.meta(net.conv(x)), meta=nn.Conv2d(8, 3, 1)),
}


def uneven(network: nn.Module) -> nn.Module:
    """In eval mode, with batch norms whose channels differ."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            for tensor in (module.running_mean, module.running_var, module.weight, module.bias):
                tensor.data.uniform_(0.5, 3)
    return network.eval()


@pytest.mark.parametrize("name", WRITTEN)
def test_the_graph_is_the_network_at_any_batch_size(name: str) -> None:
    torch.manual_seed(0)
    network = uneven(WRITTEN[name]())
    x = torch.randn(4, 3, 16, 16)
    graph = capture(network, [x])
    for images in (x, x[:1], torch.randn(7, 3, 16, 16)):
        with torch.no_grad():
            wanted, got = named(network(images.clone())), graph(images.clone())
        assert list(got) == list(wanted)
        for key, value in wanted.items():
            torch.testing.assert_close(got[key], value, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", WRITTEN)
def test_the_network_is_left_as_it_was(name: str) -> None:
    network = WRITTEN[name]().train()
    before = copy.deepcopy(network.state_dict())
    attributes = {key: id(value) for key, value in vars(network).items()}
    capture(network, [torch.randn(2, 3, 16, 16)])
    assert network.training
    assert {key: id(value) for key, value in vars(network).items() if key in attributes} == attributes
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def operators(graph: fx.GraphModule) -> list[str]:
    modules = dict(graph.named_modules())
    return [operator(node, modules) for node in graph.graph.nodes]


@pytest.mark.parametrize("name", ["keywords", "blur", "standardised weights", "parametrized", "a line"])
def test_convolutions_with_stored_weights_are_layers(name: str) -> None:
    network = uneven(WRITTEN[name]())
    found = operators(capture(network, [torch.randn(2, 3, 16, 16)]))
    assert "conv" in found
    assert not {"conv2d", "conv1d"} & set(found)


def test_of_attention_only_softmax_has_no_integers() -> None:
    found = operators(capture(WRITTEN["attention"](), [torch.randn(2, 3, 16, 16)]))
    assert found.count("matmul") == 4
    assert found.count("softmax") == 2
    assert not any("attention" in name for name in found)


def test_dropout_leaves_no_operator() -> None:
    graph = capture(WRITTEN["dropout"](), [torch.randn(2, 3, 16, 16)])
    assert operators(graph) == ["placeholder", "conv", "conv", "output"]


def test_lines_are_maps_of_one_row() -> None:
    graph = capture(uneven(WRITTEN["a network of lines"]()), [torch.randn(2, 3, 16, 16)])
    found = operators(graph)
    assert found.count("conv") == 2  # with their norm and padding in them
    assert found.count("reshape") == 5  # flattened, given a row once, and freed of it for each output
    assert not [name for name in found if name.endswith("1d") or name == "batch_norm"]


def test_a_hook_counts() -> None:
    conv = nn.Conv2d(3, 4, 1)
    conv.register_forward_hook(lambda _, __, output: output * 2)
    network, x = nn.Sequential(conv, nn.ReLU()).eval(), torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(capture(network, [x])(x)["out0"], network(x))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_captured_in_float32(kind: torch.dtype) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).to(kind).eval()
    x = torch.randn(2, 3, 8, 8, dtype=kind)
    graph = capture(network, [x])
    assert {p.dtype for p in graph.parameters()} == {torch.float32}
    assert {p.dtype for p in network.parameters()} == {kind}
    with torch.no_grad():
        torch.testing.assert_close(graph(x.float())["out0"], network(x).float(), rtol=0.02, atol=0.02)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            Written(lambda net, x: net.conv(x) if x.sum() > 0 else x),
            "expected layers that do not depend on the values of an image, got a branch",
        ),
        (Written(lambda net, x: net.conv(x).view(4, -1)), "expected a network for any number of images"),
        (
            nn.Sequential(nn.Conv2d(3, 8, 3), nn.Sequential(nn.Conv2d(4, 4, 1))),
            r"Sequential, layer 1.0: expected a network that takes planes of Nx3x16x16.* got RuntimeError",
        ),
        (Written(lambda net, x: {"y": net.conv(x), "w": net.gain}), "'w' is a stored tensor; leave it out"),
        (Written(lambda net, x: (net.conv(x), 3)), "expected tensors as outputs, got 3 as 'out1'"),
        (Written(lambda net, x: None), "expected a tensor, or a tuple, list or dict of tensors as output"),
        (
            Written(lambda net, x: net.norm(net.conv(x)), norm=nn.BatchNorm2d(8, track_running_stats=False)),
            "layer norm: expected a batch norm with running statistics",
        ),
    ],
)
def test_what_cannot_be_captured_is_refused(network: nn.Module, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        capture(network, [torch.randn(4, 3, 16, 16)])


def test_a_refusal_is_one_sentence_and_all_there_is(capfd: pytest.CaptureFixture[str]) -> None:
    def values_as_shape(net: Any, x: Tensor) -> Tensor:
        positive = (y := net.conv(x))[y > 0]
        return y * 2 if positive.shape[0] > 7 else y

    with pytest.raises(
        ValueError,
        match=r"^Written: expected .* got a branch .* \(test_capture.py, line \d+: return y \* 2 if .*\); write it",
    ) as refusal:
        capture(Written(values_as_shape), [torch.randn(4, 3, 16, 16)])
    assert "\n" not in str(refusal.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            Written(lambda net, x: net.conv(x) * (2 if x.shape[0] == 1 else 1)),
            r"expected an image's outputs not to depend on the number of images, 'out0' is another one for one",
        ),
        (
            Written(lambda net, x: F.dropout(net.conv(x), 0.5)),
            r"expected the same outputs of the same images, 'out0' is another one each time; leave out what is random",
        ),
        (
            Written(lambda net, x: net.conv(x)[net.conv(x) > 0]),
            r"expected sizes that follow from that of the images, got one that follows from their values",
        ),
        (
            Written(lambda net, x: net.conv(x[:, :2])),
            r"layer conv: expected a network that takes planes of Nx3x16x16, got RuntimeError: Given groups",
        ),
    ],
)
def test_what_is_another_network_at_times_is_refused(network: nn.Module, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        capture(network, [torch.randn(2, 3, 16, 16)])


@pytest.mark.parametrize("where", ["conv.weight", "norm.running_mean"])
def test_weights_that_are_no_numbers_are_refused(where: str) -> None:
    network = Written(lambda net, x: net.norm(net.conv(x)), norm=nn.BatchNorm2d(8))
    network.state_dict()[where][0] = torch.nan
    with pytest.raises(
        ValueError, match=f"expected weights and statistics that are finite .* in '{where}'; take a"
    ):
        capture(network, [torch.randn(2, 3, 16, 16)])


@functools.cache
def ramp(size: int) -> Tensor:
    return torch.linspace(0, 1, size)


def test_a_cache_of_functions_holds_numbers_after_capture() -> None:
    ramp.cache_clear()
    network = Written(lambda net, x: net.conv(x) * ramp(16))
    capture(network, [torch.randn(2, 3, 16, 16)])
    assert type(ramp(16)) is Tensor
    assert network(torch.randn(1, 3, 16, 16)).shape == (1, 8, 16, 16)


def test_buffers_that_count_are_as_before() -> None:
    def counted(net: Any, x: Tensor) -> Tensor:
        net.calls += 1
        return net.conv(x)  # type: ignore[no-any-return]

    network = Written(counted)
    network.register_buffer("calls", torch.zeros(()))
    capture(network, [torch.randn(2, 3, 16, 16)])
    assert network.calls == 0


def test_one_image_may_lose_its_batch_dimension() -> None:
    network = Written(lambda net, x: net.conv(x).mean((2, 3), keepdim=True).squeeze())
    assert capture(network, [torch.randn(2, 3, 16, 16)])(torch.randn(1, 3, 16, 16))["out0"].shape == (1, 8)


@pytest.mark.parametrize("kind", [torch.float16, torch.float64])
def test_casts_between_precisions_do_nothing(kind: torch.dtype) -> None:
    graph = capture(
        Written(lambda net, x: net.conv(x).to(kind).mul(2).to(x.dtype).to(kind)), [torch.randn(2, 3, 16, 16)]
    )
    x = torch.randn(2, 3, 16, 16)
    assert not [name for name in operators(graph) if "to" in name]
    assert graph(x.to(kind))["out0"].dtype == torch.float32


def test_names_of_inputs_and_outputs_are_theirs_alone() -> None:
    network = Written(lambda net, x: {"x": net.conv(x), "conv": F.relu(net.side(x))})
    graph = capture(network, [torch.randn(2, 3, 8, 8)])
    names = [node.name for node in graph.graph.nodes]
    assert not {"x", "conv"} & set(names)


def _broken(graph: fx.GraphModule, network: nn.Module) -> bool:
    """Negate what the last layer or function computes."""
    for node in reversed(list(graph.graph.nodes)):
        if node.op in ("call_module", "call_function") and "val" in node.meta:
            with graph.graph.inserting_after(node):
                wrong = graph.graph.call_function(torch.ops.aten.neg.default, (node,))
            wrong.meta = dict(node.meta)
            node.replace_all_uses_with(wrong, lambda user, wrong=wrong: user is not wrong)  # type: ignore[misc]
            return True
    return False


@pytest.mark.parametrize("number", range(len(REWRITINGS)))
def test_a_rewriting_that_changes_the_function_is_caught(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, planes = trained("add_relu")
    steps = list(REWRITINGS)
    right = steps[number]

    def wrong(graph: fx.GraphModule) -> None:
        right(graph)
        assert _broken(graph, model)

    steps[number] = wrong
    monkeypatch.setattr(capturing, "REWRITINGS", tuple(steps))
    with pytest.raises(ValueError, match=r"computes, output 'class' differs by .* first at"):
        capture(model, planes)


def test_the_first_layer_that_differs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    model, planes = trained("add_relu")

    def wrong(graph: fx.GraphModule) -> None:
        layer: Any = graph.get_submodule("body.0.branch.0")
        layer.weight.data.mul_(2)

    monkeypatch.setattr(capturing, "REWRITINGS", (*REWRITINGS, wrong))
    with pytest.raises(ValueError, match=r"first at layer body\.0\.branch\.1"):
        capture(model, planes)


def test_pixels_stay_whole() -> None:
    network = nn.Sequential(Pixels(), nn.Conv2d(3, 4, 1)).eval()
    graph = capture(network, [torch.zeros(2, 3, 8, 8, dtype=torch.uint8)])
    assert operators(graph) == ["placeholder", "Pixels", "conv", "output"]


def test_outputs_have_names() -> None:
    nested: Mapping[str, Any] = {"a": [1, None, (2,)], "b": Pair(torch.zeros(1), None)}
    assert list(named(nested)) == ["a.0", "a.2.0", "b.first"]


def test_leaves_may_be_called_twice() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pixels, self.conv = Pixels(), nn.Conv2d(3, 4, 1)

        def forward(self, left: Tensor, right: Tensor) -> Tensor:
            return self.conv(self.pixels(left)) - self.conv(self.pixels(right))

    network = Twice().eval()
    planes = [torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8) for _ in range(2)]
    graph = capture(network, planes)
    assert operators(graph).count("Pixels") == 2
    with torch.no_grad():
        torch.testing.assert_close(graph(*planes)["out0"], network(*planes))


def test_training_on_leaves_the_graph_alone() -> None:
    network = Written(lambda net, x: net.norm(net.conv(x)) * net.gain[0], norm=nn.GroupNorm(2, 8)).eval()
    x = torch.randn(2, 3, 8, 8)
    graph = capture(network, [x])
    with torch.no_grad():
        before = graph(x)["out0"]
        for parameter in network.parameters():
            parameter.add_(1)
        assert torch.equal(graph(x)["out0"], before)


def test_numbers_that_are_none_differ() -> None:
    numbers, broken = torch.ones(4), torch.tensor([1.0, torch.nan, 1.0, 1.0])
    assert difference(numbers, broken) == difference(broken, numbers) == float("inf")
    assert difference(broken, broken) == difference(numbers, numbers) == 0


@pytest.mark.parametrize("name", ["aten.from_file.default", "aten.save.default", "os.system", "python.exec"])
def test_a_file_calls_nothing_but_operators_on_tensors(name: str) -> None:
    nodes = [
        {"op": "call_function", "name": "x", "target": name, "args": {"tuple": []}, "kwargs": {"dict": {}}}
    ]
    with pytest.raises(ValueError, match="graph: expected a list of nodes, it is damaged"):
        from_plain(nodes, nn.Module(), "net")


@pytest.mark.parametrize("name", WRITTEN)
def test_a_program_serves_a_network_that_was_trained_since(name: str) -> None:
    torch.manual_seed(0)
    network, x = WRITTEN[name](), torch.randn(4, 3, 16, 16)
    program = exported(copy.deepcopy(network), [x])
    with torch.no_grad():
        for parameter in uneven(network).parameters():
            parameter.mul_(1.5)
        wanted = named(network(x.clone()))
        found = capture(network, [x], program)(x)
    assert all(difference(value, found[key]) < 1e-5 for key, value in wanted.items())


def test_a_program_of_another_network_is_refused() -> None:
    x = torch.randn(4, 3, 16, 16)
    program = exported(WRITTEN["sizes"](), [x])
    with pytest.raises(ValueError, match="expected the captured graph to compute what the network computes"):
        capture(WRITTEN["relu before a skip"](), [x], program)
