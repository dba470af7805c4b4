"""Where numbers become integers: one quantizer for each tensor, shared by tensors that must be on the same grid.

A quantizer stands after an activation that clips (after addition and ReLU too), never between an operator and its
clip. Two quantizers in a row would make ONNX Runtime invent a third scale, so scales are shared at the producer.
Which operators share, keep or know theirs is what the scheme says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import getitem
from typing import Literal, cast

from torch import Tensor, fx, nn
from torch.export import ExportedProgram

from xvision.graph.capture import capture
from xvision.graph.layers import make_operators
from xvision.graph.operators import Layer, clip_bounds, operator
from xvision.graph.simplify import free_name
from xvision.graph.surgery import insert_module
from xvision.models.model import Model
from xvision.models.pixels import STEPS, ZERO_POINT, Pixels
from xvision.quant.fake import Quantizer, QuantLayer
from xvision.quant.islands import check_all_named, float_operators
from xvision.quant.numbers import QuantScheme, TensorQuant
from xvision.quant.rules import Rule


@dataclass
class Group:
    """Tensors on one quantization grid, and the names of the layers that give them."""

    members: list[fx.Node] = field(default_factory=list)
    layers: list[str] = field(default_factory=list)
    head: bool = False


def prepare(
    model: nn.Module, example: Sequence[Tensor], scheme: QuantScheme, program: ExportedProgram | None = None
) -> fx.GraphModule:
    """A copy of a network in plain form with a quantizer at each tensor, whose ranges are still to be set.

    `program` saves time: see `capture`.

    Raises: ValueError if the network cannot be captured or does not take inputs like `example`.
    """
    graph = capture(model, example, program)
    if isinstance(model, Model):
        graph.meta["outputs_by_task"] = model.outputs_by_task
    insert_quantizers(graph, scheme)
    return graph.to(example[0].device)


def scheme_of(q: nn.Module) -> QuantScheme:
    """The scheme of a quantized network.

    Raises: ValueError for a network that is not quantized.
    """
    scheme = q.meta.get("scheme") if isinstance(q, fx.GraphModule) else None
    if not isinstance(scheme, QuantScheme):
        raise ValueError(
            f"{type(q).__name__}: expected a quantized network, got a float one; quantize it first"
        )
    return scheme


def insert_quantizers(graph: fx.GraphModule, scheme: QuantScheme) -> None:
    """Give every float tensor of a captured graph a quantizer and every layer integer weights, in place.

    Ranges are still to be set: until then the graph computes what it computed before. In `graph.meta` are then
    the `scheme`, the `float_operators`, those without a rule and those of layers that are to stay in float (see
    `quant.islands`), and the quantizers of `known_ranges`, which need no image.

    Raises: ValueError for a layer of the scheme that the network does not have.
    """
    scheme.check_layers({_layer(node) for node in graph.graph.nodes if "shape" in node.meta} - {""})
    make_operators(graph, [node for node in graph.graph.nodes if scheme.bits(_layer(node)).in_float])
    modules = dict(graph.named_modules(remove_duplicate=False))
    groups = _groups(graph, modules, scheme)
    graph.meta["scheme"] = scheme
    in_float = [
        node
        for node in graph.graph.nodes
        if node.target is not getitem and _gives_floats(node) and _rule(node, modules, scheme) == "float"
    ]
    graph.meta["float_operators"] = float_operators(graph, in_float)
    if scheme.float_operators == "refuse":
        check_all_named(graph.meta["float_operators"], lambda layer: scheme.bits(layer).in_float)
    graph.meta["known_ranges"] = known = set[str]()
    for group in groups:
        quantizer = _quantizer(group, modules, scheme)
        path = f"quantizers.{free_name(group.members[0].name)}"
        if quantizer.ready:
            known.add(path)
        for node in group.members:
            insert_module(graph, node, path, quantizer)
    for node in list(graph.graph.nodes):
        layer = modules.get(str(node.target)) if node.op == "call_module" else None
        if layer is not None and scheme.rule(operator(node, modules)) == "layer":
            (source,) = node.all_input_nodes
            before = graph.get_submodule(str(source.target))
            assert isinstance(before, Quantizer)
            made = QuantLayer.of(cast(Layer, layer), scheme, before, _layer(node))
            if scheme.rounding == "double":
                made.round_twice(_quantizer_after(node, graph))
            graph.set_submodule(str(node.target), made)
    graph.recompile()


def _layer(node: fx.Node) -> str:
    """The name of the layer that a node is of."""
    return str(node.target) if node.op == "call_module" else node.meta.get("layer") or ""


def _quantizer_after(node: fx.Node, graph: fx.GraphModule) -> Quantizer:
    """The quantizer of a layer's output, a clip between them or not."""
    (user,) = node.users
    while user.op != "call_module":
        (user,) = user.users
    found = graph.get_submodule(str(user.target))
    assert isinstance(found, Quantizer)
    return found


def _rule(
    node: fx.Node, modules: dict[str, nn.Module], scheme: QuantScheme
) -> Rule | Literal["input", "constant"]:
    if node.op == "placeholder" or _is_pixels(node, modules):
        return "input"
    if node.op == "get_attr":
        return "constant"
    made_by = node
    while made_by.target is getitem:  # one of several tensors is what their operator is
        made_by = made_by.all_input_nodes[0]
    if scheme.bits(_layer(made_by)).in_float:
        return "float"
    rule = scheme.rule(operator(made_by, modules))
    if made_by is not node and rule != "same":
        return "float"
    if rule == "layer" and node.op == "call_function":
        return "float"  # a functional convolution: its weights are computed, not stored
    if rule == "clip" and clip_bounds(node, modules) is None:
        return "float"
    if rule == "own" and _masks_scores(node, modules):
        return "float"
    return rule


def _masks_scores(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """Whether a stored mask is added before a softmax: its large negative numbers leave no codes for the scores."""
    stored = any(source.op == "get_attr" for source in node.all_input_nodes)
    return stored and bool(node.users) and all(operator(user, modules) == "softmax" for user in node.users)


def _gives_floats(node: fx.Node) -> bool:
    return "shape" in node.meta or any(u.target is getitem and _gives_floats(u) for u in node.users)


def _is_pixels(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    return node.op == "call_module" and isinstance(modules[str(node.target)], Pixels)


def _source(node: fx.Node) -> fx.Node:
    """The float tensor that a node takes its values from."""
    return _float_of(node.all_input_nodes[0])


def _float_of(node: fx.Node) -> fx.Node:
    """The node itself, or of a tuple of tensors the one that they are parts of."""
    while "shape" not in node.meta:
        node = node.all_input_nodes[0]
    return node


def _groups(graph: fx.GraphModule, modules: dict[str, nn.Module], scheme: QuantScheme) -> list[Group]:
    """Which tensors get a quantizer, and which share one."""
    rules = {node: _rule(node, modules, scheme) for node in graph.graph.nodes if "shape" in node.meta}
    plain = {node for node in rules if _stays_float(node, rules) or _feeds_pixels(node, modules)}
    fused = {
        node
        for node, kind in rules.items()
        if kind in ("layer", "own", "join") and _has_own_clip(node, rules)
    }
    group_of: dict[fx.Node, Group] = {}
    for node, kind in rules.items():
        if node in fused or node in plain:
            continue
        made_by = _source(node) if kind == "clip" and _source(node) in fused else node
        ties: Iterable[fx.Node] = ()
        if rules[made_by] in ("same", "clip"):
            ties = [_source(node)]
        elif rules[made_by] == "join":  # the pixels' scale is given: they keep theirs
            sources = map(_float_of, made_by.all_input_nodes)
            ties = [s for s in sources if s in group_of and not _has_pixels(group_of[s], modules)]
        group = Group([node], [_layer(made_by), _layer(node)])
        for other in {id(group_of[t]): group_of[t] for t in ties}.values():
            group.members, group.layers = other.members + group.members, other.layers + group.layers
        for member in group.members:
            group_of[member] = group
    groups = list({id(g): g for g in group_of.values()}.values())
    for group in groups:
        group.head = all(_only_feeds_floats(node, group, rules) for node in group.members)
    return groups


def _has_pixels(group: Group, modules: dict[str, nn.Module]) -> bool:
    return any(_is_pixels(node, modules) for node in group.members)


def _stays_float(node: fx.Node, rules: Mapping[fx.Node, str]) -> bool:
    """A tensor inside an island: stored, or made by an operator without a rule, and read by such operators alone."""
    inside = all(user.op != "output" and _computes_in_float(user, rules) for user in node.users)
    return rules[node] in ("constant", "float") and bool(node.users) and inside


def _feeds_pixels(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    return node.op == "placeholder" and any(_is_pixels(user, modules) for user in node.users)


def _has_own_clip(node: fx.Node, rules: Mapping[fx.Node, str]) -> bool:
    users = list(node.users)
    return len(users) == 1 and rules.get(users[0]) == "clip"


def _only_feeds_floats(node: fx.Node, group: Group, rules: Mapping[fx.Node, str]) -> bool:
    """Whether only outputs and operators without a rule read a tensor: both take more bits at no cost."""
    return all(
        user.op == "output" or user in group.members or _computes_in_float(user, rules) for user in node.users
    )


def _computes_in_float(node: fx.Node, rules: Mapping[fx.Node, str]) -> bool:
    if node in rules:
        return rules[node] == "float"
    return any(rules.get(part) == "float" for part in node.users)  # gives several tensors


def _quantizer(group: Group, modules: dict[str, nn.Module], scheme: QuantScheme) -> Quantizer:
    """The quantizer of a group; its range is set already where it is known."""
    first, *others = group.members
    if _is_pixels(first, modules):
        quantizer = Quantizer(TensorQuant(8, signed=False))  # the image itself, whatever the scheme
        quantizer.set_range(1 / STEPS, ZERO_POINT)
        return quantizer
    known = [scheme.known_ranges.get(operator(node, modules)) for node in group.members]
    numbers = scheme.tensor_of(group.layers, head=group.head and not any(known))
    quantizer = Quantizer(numbers)
    if known[0] is not None and all(_rule(node, modules, scheme) == "same" for node in others):
        smallest, largest = known[0]
        zero_point = numbers.zero_point(smallest, largest)
        quantizer.set_range(max(-smallest, largest) / (numbers.high - zero_point + 1), zero_point)
    return quantizer
