"""Backbone: a whole classification network as one graph, with levels that decoders can ask for.

The network is captured once, whole: every level (the output of each resolution stage) and the class scores
are outputs of one fx graph. What a model does not use is then left out. Parameters keep the names that the
network's authors gave them, so published weights load as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn

from xvision.models.graph import trace

Tap = int | Literal["logits"]
"""What a decoder asks of a backbone: a level by its index, or the class scores."""

PROBE_PX = 256  # divisible by every usual stride; the probe runs on the meta device and costs no arithmetic


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


def shapes(module: nn.Module, *inputs: Tensor) -> Any:
    """What `module` returns, as tensors without memory: nothing is computed or changed."""
    state = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    on_meta = {key: value.detach().to("meta") for key, value in state.items()}
    training = [m for m in module.modules() if m.training]
    try:
        module.eval()  # batch norm refuses 1x1 maps of a single image in train mode
        return torch.func.functional_call(module, on_meta, tuple(x.to("meta") for x in inputs))
    finally:
        for m in training:
            m.training = True


class Backbone:
    """A network that is still whole: what levels it has, and its class scores.

    `levels` have non-decreasing strides, some perhaps repeated. A decoder asks for "the last level of
    stride s" with `last`, and for class scores with `classify`; `graph` then gives the module that computes
    just that.
    """

    def __init__(
        self, name: str, graph: fx.GraphModule, channels: int, size: tuple[int, int] | None = None
    ) -> None:
        self.name = name
        self._whole = graph
        height, width = size or (PROBE_PX, PROBE_PX)
        *levels, logits = shapes(graph, torch.empty(1, channels, height, width, device="meta"))
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

    def classify(self, num_classes: int, dropout: float = 0.0) -> Tap:
        """Give the network's own head `num_classes` outputs, with dropout before its last layer.

        A new last layer is drawn from N(0, 0.01), as the original system does; one of the right size is kept.
        """
        head = self._classifier()
        layer = self._whole.get_submodule(str(head.target))
        if isinstance(layer, nn.Linear) and layer.out_features != num_classes:
            fresh: nn.Module = nn.Linear(layer.in_features, num_classes, bias=layer.bias is not None)
        elif isinstance(layer, nn.Conv2d) and layer.out_channels != num_classes:
            fresh = nn.Conv2d(layer.in_channels, num_classes, 1, bias=layer.bias is not None)
        else:
            fresh = layer
        if fresh is not layer:
            for key, value in fresh.named_parameters():
                nn.init.zeros_(value) if key == "bias" else nn.init.normal_(value, 0, 0.01)
            self._whole.set_submodule(str(head.target), fresh)
        self.num_classes = num_classes
        self._set_dropout(head, dropout)
        return "logits"

    def _classifier(self) -> fx.Node:
        """The node of the last layer, which gives one score per class."""
        node = self._outputs()[-1]
        while node.all_input_nodes:
            layer = self._whole.get_submodule(str(node.target)) if node.op == "call_module" else None
            if getattr(layer, "out_features", getattr(layer, "out_channels", 0)) == self.num_classes:
                return node
            node = node.all_input_nodes[0]
        raise ValueError(
            f"{self.name}: expected a linear classifier at its end, found none; choose another backbone"
        )

    def _set_dropout(self, head: fx.Node, ratio: float) -> None:
        source = head.all_input_nodes[0]
        before = self._whole.get_submodule(str(source.target)) if source.op == "call_module" else None
        if isinstance(before, nn.Dropout):
            before.p = ratio
        elif ratio:
            self._whole.add_submodule("head_dropout", nn.Dropout(ratio))
            with self._whole.graph.inserting_before(head):
                dropped = self._whole.graph.call_module("head_dropout", (source,))
            head.replace_input_with(source, dropped)

    def _outputs(self) -> tuple[fx.Node, ...]:
        (outputs,) = self._whole.graph.output_node().args
        assert isinstance(outputs, tuple)
        return outputs  # type: ignore[return-value]

    def graph(self, taps: Sequence[Tap]) -> fx.GraphModule:
        """The module that computes `taps`, a tuple in that order, without the layers they do not need.

        Shapes: (B, C, H, W) to a tuple of (B, level.channels, H / stride, W / stride) or (B, num_classes).
        """
        graph = fx.Graph()
        copies: dict[fx.Node, fx.Node] = {}
        graph.graph_copy(self._whole.graph, copies)
        outputs = self._outputs()
        graph.output(tuple(copies[outputs[-1 if tap == "logits" else tap]] for tap in taps))
        module = fx.GraphModule(self._whole, graph, "Backbone")
        module.graph.eliminate_dead_code()
        module.delete_all_unused_submodules()
        module.recompile()
        return module
