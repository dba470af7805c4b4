"""A quantized graph in blocks of a few layers, cut where as few tensors as possible go on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import fx

from xvision.quant.fake import Quantizer, QuantLayer


@dataclass(frozen=True)
class Block:
    """Consecutive nodes; `outputs` are the float tensors among them that later nodes read."""

    nodes: tuple[fx.Node, ...]
    outputs: tuple[fx.Node, ...]

    def modules(self, graph: fx.GraphModule) -> list[Quantizer | QuantLayer]:
        """The layers of the block and the quantizers of its tensors, each once."""
        called = [graph.get_submodule(str(node.target)) for node in self.nodes if node.op == "call_module"]
        return [one for one in dict.fromkeys(called) if isinstance(one, Quantizer | QuantLayer)]


def blocks(graph: fx.GraphModule, most_layers: int) -> list[Block]:
    """All nodes but inputs and outputs, in blocks of at most `most_layers` layers.

    Cuts are behind quantizers. Places that only one tensor crosses, such as behind a residual block, are the first
    choice; what has more layers than that between two such cuts is cut by their number.
    """
    nodes = [node for node in graph.graph.nodes if node.op not in ("placeholder", "output", "get_attr")]
    pieces: list[list[fx.Node]] = []
    for piece in _split(nodes, _waists(graph, nodes)):
        if _layers(graph, piece) > most_layers:
            pieces += _split(piece, _every(graph, piece, most_layers))
        elif pieces and _layers(graph, pieces[-1]) + _layers(graph, piece) <= most_layers:
            pieces[-1] += piece
        else:
            pieces.append(piece)
    return [_block(piece) for piece in pieces]


def _block(nodes: Sequence[fx.Node]) -> Block:
    inside = set(nodes)
    read_later = [n for n in nodes if "shape" in n.meta and any(user not in inside for user in n.users)]
    return Block(tuple(nodes), tuple(read_later))


def _split(nodes: Sequence[fx.Node], cuts: set[fx.Node]) -> Iterator[list[fx.Node]]:
    """The nodes in pieces that end with the cuts."""
    piece: list[fx.Node] = []
    for node in nodes:
        piece.append(node)
        if node in cuts:
            yield piece
            piece = []
    if piece:
        yield piece


def _waists(graph: fx.GraphModule, nodes: Sequence[fx.Node]) -> set[fx.Node]:
    """Quantizers whose tensor is all that later nodes read."""
    last_read: dict[fx.Node, int] = {}
    for at, node in enumerate(nodes):
        last_read |= dict.fromkeys(node.all_input_nodes, at)
        if any(user.op == "output" for user in node.users):
            last_read[node] = len(nodes)
    alive: set[fx.Node] = set()
    found = set()
    for at, node in enumerate(nodes):
        alive = {one for one in alive | {node} if last_read.get(one, -1) > at}
        if alive == {node} and _is(graph, node, Quantizer):
            found.add(node)
    return found


def _every(graph: fx.GraphModule, nodes: Sequence[fx.Node], most_layers: int) -> set[fx.Node]:
    """The last quantizers before there would be more layers than that."""
    found: set[fx.Node] = set()
    count, last = 0, None
    for node in nodes:
        if _is(graph, node, QuantLayer):
            if count == most_layers and last is not None:
                found.add(last)
                count = 0
            count += 1
        elif _is(graph, node, Quantizer):
            last = node
    return found


def _layers(graph: fx.GraphModule, nodes: Sequence[fx.Node]) -> int:
    return sum(_is(graph, node, QuantLayer) for node in nodes)


def _is(graph: fx.GraphModule, node: fx.Node, kind: type) -> bool:
    return node.op == "call_module" and isinstance(graph.get_submodule(str(node.target)), kind)
