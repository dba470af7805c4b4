"""Backbone: a whole classification network as one graph, with levels that decoders can ask for.

The network is captured once, whole: every level (the output of each resolution stage) and the class scores
are outputs of one fx graph. What a model does not use is then left out. Parameters keep the names that the
network's authors gave them, so published weights load as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn

from xvision.graph.shapes import run_on_meta
from xvision.graph.trace import trace
from xvision.models.blocks import separable
from xvision.models.streams import find_cut, fuse_streams
from xvision.models.strides import AS_PUBLISHED, PROBE_PX, add_fast_down, set_output_stride, set_strides

Feature = int | Literal["logits"]
"""What a decoder reads of a backbone: a level by its index, or the class scores."""


@dataclass(frozen=True)
class Published:
    """Where a network's published weights are, and what images they were trained on."""

    origin: str
    licence: str
    mean: tuple[float, ...]  # of R, G, B between 0 and 1
    std: tuple[float, ...]
    load: Callable[[], dict[str, Tensor]]  # downloads


@dataclass(frozen=True)
class Level:
    """One output of a backbone: its channels, and by how much it is smaller than the image."""

    channels: int
    stride: int


def network_graph(network: nn.Module, name: str) -> fx.GraphModule:
    """Capture a network that follows timm's contract, with all levels and, last, the class scores as outputs.

    Contract: `forward_intermediates(x) -> (features, levels)` and `forward_head(features) -> logits`.
    """

    def everything(network: Any, image: Tensor) -> tuple[Tensor, ...]:
        features, levels = network.forward_intermediates(image)
        return (*levels, network.forward_head(features))

    if not hasattr(network, "forward_intermediates"):
        raise ValueError(
            f"{name}: expected a network with intermediate levels, this one has none; choose another"
        )
    try:
        return trace(network, forward=everything)
    except (ValueError, RuntimeError, AssertionError) as error:
        raise ValueError(
            f"{name}: cannot be captured as a graph; choose another network ({error})"
        ) from error


def assemble(
    name: str,
    network: nn.Module,
    channels: int,
    *,
    strides: Sequence[int] = (),
    output_stride: int = AS_PUBLISHED,
    fast_down: bool = False,
    size: tuple[int, int] | None = None,
    published: Published | None = None,
) -> Backbone:
    """What every builder of backbones ends with: capture `network`, set its strides, find its levels.

    `size` is given only if the network works at no other.
    """
    graph = network_graph(network, name)
    if strides:
        set_strides(graph, name, channels, strides)
    if output_stride != AS_PUBLISHED:
        set_output_stride(graph, name, channels, output_stride)
    if fast_down:
        add_fast_down(graph, name)
    return Backbone(name, graph, channels, size, published)


class Backbone:
    """A network that is still whole: what levels it has, and its class scores.

    `levels` have non-decreasing strides, some perhaps repeated. A decoder asks for "the last level of
    stride s" with `last`, and for class scores with `classify`; `graph` then gives the module that computes
    just that.
    """

    def __init__(
        self,
        name: str,
        graph: fx.GraphModule,
        channels: int,
        size: tuple[int, int] | None = None,
        published: Published | None = None,
    ) -> None:
        self.name = name
        self.published = published
        self._whole = graph
        self._is_classifying = False
        height, width = size or (PROBE_PX, PROBE_PX)
        self._example = torch.empty(1, channels, height, width, device="meta")
        try:
            *levels, logits = run_on_meta(graph, self._example)
        except (RuntimeError, AssertionError) as error:
            raise ValueError(
                f"net.backbone: {name} does not work at {height}x{width} with these settings; leave out strides, "
                f"fast_down, width or output_stride, or choose another network ({error})"
            ) from error
        self.levels = tuple(Level(x.shape[1], round(height / x.shape[2])) for x in levels)
        self.num_classes: int = logits.shape[1]

    def last(self, stride: int) -> int:
        """Index of the last level of `stride`.

        Raises: ValueError if there is none.
        """
        found = [i for i, level in enumerate(self.levels) if level.stride == stride]
        if not found:
            have = ", ".join(str(s) for s in dict.fromkeys(level.stride for level in self.levels))
            raise ValueError(
                f"{self.name}: expected a level of stride {stride}, it has {have}; choose another backbone"
            )
        return found[-1]

    def between(self, low: int, high: int) -> tuple[int, ...]:
        """Indices of the last level of each stride from `low` to `high`, doubling.

        Raises: ValueError if one is missing.
        """
        count = (high // low).bit_length()
        return tuple(self.last(low << i) for i in range(count))

    @property
    def group_width(self) -> int:
        """Channels in a group of the grouped 3x3 convolutions (RegNet, ResNeXt), else 1: depthwise ones."""
        convs = [m for m in self._whole.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
        return min((m.in_channels // m.groups for m in convs), default=1)

    def classify(self, num_classes: int, dropout: float = 0.0) -> tuple[nn.Module, ...]:
        """Give the network's own classifier `num_classes` outputs, with dropout before its last layer, and return it.

        A new last layer is drawn from N(0, 0.01), as the original system does; one of the right size is kept.

        Raises: ValueError if it serves another decoder already.
        """
        if self._is_classifying:
            raise ValueError(
                f"net.decoder: {self.name} has one classifier, which two decoders ask for; set "
                "net.shared_decoder=true, or leave a task out"
            )
        self._is_classifying = True
        layers = []
        for node in self._classifiers():
            layer: Any = self._whole.get_submodule(str(node.target))
            if num_classes != self.num_classes:
                layer = _fresh_classifier(layer, num_classes)
                self._whole.set_submodule(str(node.target), layer)
            self._set_dropout(node, dropout)
            layers.append(layer)
        self.num_classes = num_classes
        return tuple(layers)

    def add_inputs(self, others: Mapping[str, Backbone]) -> None:
        """Give the network further inputs, by name: each of `others` is the same network, built for that input.

        Its layers up to the place where the resolution is a quarter become the input's own stem (see
        `xvision.models.streams`); decoders ask for levels as before.

        Raises: ValueError that names the network if it has no such place.
        """
        group_width, cut = self.group_width, self._cut()
        channels = run_on_meta(_computing(self._whole, (cut,)), self._example)[0].shape[1]
        fuse = separable((1 + len(others)) * channels, channels, group_width, act=False)
        fuse_streams(
            self._whole, cut, {name: (other._whole, other._cut()) for name, other in others.items()}, fuse
        )

    def _cut(self) -> fx.Node:
        return find_cut(self._whole, self.name, [level.stride for level in self.levels], self._example)

    def _classifiers(self) -> list[fx.Node]:
        """The layers that give one score per class: one, or more whose mean is taken (distilled networks)."""
        found: list[fx.Node] = []
        seen: set[fx.Node] = set()
        ahead = [self._outputs()[-1]]
        while ahead:
            node = ahead.pop()
            layer = self._whole.get_submodule(str(node.target)) if node.op == "call_module" else None
            if isinstance(layer, nn.Linear | nn.Conv2d):
                if layer.weight.shape[0] == self.num_classes:
                    found.append(node)
            elif node not in seen:
                seen.add(node)
                ahead += node.all_input_nodes
        if not found:
            raise ValueError(
                f"{self.name}: expected a linear classifier at its end, found none; choose another backbone"
            )
        return found

    def _set_dropout(self, classifier: fx.Node, ratio: float) -> None:
        source = classifier.all_input_nodes[0]
        before = self._whole.get_submodule(str(source.target)) if source.op == "call_module" else None
        if isinstance(before, nn.Dropout):
            before.p = ratio
        elif ratio:
            name = f"{classifier.name}_dropout"
            self._whole.add_submodule(name, nn.Dropout(ratio))
            with self._whole.graph.inserting_before(classifier):
                dropped = self._whole.graph.call_module(name, (source,))
            classifier.replace_input_with(source, dropped)

    def _outputs(self) -> tuple[fx.Node, ...]:
        (outputs,) = self._whole.graph.output_node().args
        assert isinstance(outputs, tuple)
        return outputs  # type: ignore[return-value]

    def graph(self, features: Sequence[Feature]) -> fx.GraphModule:
        """The module that computes `features`, a tuple in that order, without the layers they do not need.

        Shapes: (B, C, H, W) of each input to a tuple of (B, level.channels, H / stride, W / stride) or
        (B, num_classes).
        """
        outputs = self._outputs()
        module = _computing(self._whole, tuple(outputs[-1 if x == "logits" else x] for x in features))
        module.graph.eliminate_dead_code()
        module.delete_all_unused_submodules()
        module.recompile()
        return module


def _computing(whole: fx.GraphModule, nodes: tuple[fx.Node, ...]) -> fx.GraphModule:
    """The module that computes some nodes of a whole network, all its layers still there."""
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    graph.graph_copy(whole.graph, copies)
    graph.output(tuple(copies[node] for node in nodes))
    return fx.GraphModule(whole, graph, "Backbone")


def _fresh_classifier(layer: nn.Linear | nn.Conv2d, num_classes: int) -> nn.Module:
    """The same layer with another number of outputs."""
    bias = layer.bias is not None
    fresh = (
        nn.Linear(layer.in_features, num_classes, bias)
        if isinstance(layer, nn.Linear)
        else nn.Conv2d(layer.in_channels, num_classes, 1, bias=bias)
    )
    nn.init.normal_(fresh.weight, 0, 0.01)
    if fresh.bias is not None:
        nn.init.zeros_(fresh.bias)
    return fresh
