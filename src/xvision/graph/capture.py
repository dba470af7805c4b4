"""A network in the plain form that quantization works on: simple operators on tensors of one size, batch norm folded.

Layers with weights are modules, all else are functions of torch; what depends on parameters alone is a stored tensor,
nothing is written in place, every use of a layer has its own copy, and outputs are named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from torch import Tensor, fx, nn
from torch.export import ExportedProgram

from xvision.graph.affine import fold_affine
from xvision.graph.attention import plain_attention
from xvision.graph.batch_constants import fold_batch_constants
from xvision.graph.exported import as_graph, exported
from xvision.graph.functional import make_out_of_place, whole_batch_norms
from xvision.graph.layers import make_layers, parents
from xvision.graph.lines import lines_as_maps
from xvision.graph.operators import packet
from xvision.graph.plain import Captured
from xvision.graph.planes import as_float32
from xvision.graph.pools import plain_pools
from xvision.graph.resize import plain_resizes
from xvision.graph.same import check_same, tried
from xvision.graph.shapes import note_shapes
from xvision.graph.simplify import (
    drop_aliases,
    drop_checks,
    drop_identities,
    fold_constants,
    keep_leaves,
    plain_reshapes,
    tidy,
)
from xvision.graph.spelling import plain_names

REWRITINGS: tuple[Callable[[fx.GraphModule], None], ...] = (
    drop_identities,
    fold_constants,
    fold_batch_constants,
    plain_names,
    plain_attention,
    lines_as_maps,
    plain_pools,
    plain_resizes,
    plain_reshapes,
    make_layers,
    fold_affine,
)
"""In this order, each of which leaves what the graph computes as it was."""


def capture(
    network: nn.Module, example: Sequence[Tensor], program: ExportedProgram | None = None
) -> fx.GraphModule:
    """A copy of a network in plain form, in eval mode and float32, for inputs of the shapes of `example`.

    `program` is what `exported` made of a network of the same structure, say before it was trained, and of inputs of
    the same shapes: most of the work is then done. The batch size stays free. Nodes have in their `meta` the `shape`
    and `macs` (see `note_shapes`) and the `layer` that they are of; the graph's `meta["inputs"]` are shape and type of
    each input. The result returns a dict, named as `graph.outputs.named` says.

    Raises: ValueError that names the layer if the network cannot be captured, does not take such inputs, or if what
    was captured computes something else.
    """
    _check_weights(network)
    trials = tried(network, example)
    program = program or exported(network, example)
    graph = as_graph(program, network)
    drop_aliases(graph)
    if not make_out_of_place(graph):
        graph = as_graph(program.run_decompositions({}), network)
        whole_batch_norms(graph)
    drop_checks(graph)
    keep_leaves(graph, network)
    for rewrite in REWRITINGS:
        rewrite(graph)
        tidy(graph)
    _check_outputs(graph)
    graph = _with_names(graph)
    planes = as_float32(example)
    note_shapes(graph, *planes)
    check_same(graph, network, trials)
    graph.meta["inputs"] = [(list(x.shape), str(x.dtype).removeprefix("torch.")) for x in planes]
    return graph


def _check_weights(network: nn.Module) -> None:
    broken = [name for name, x in network.named_parameters() if not bool(x.isfinite().all())]
    broken += [name for name, x in network.named_buffers() if bool(x.isnan().any())]  # masks hold infinities
    if broken:
        raise ValueError(
            f"{type(network).__name__}: expected weights and statistics that are finite numbers, got others in "
            f"'{broken[0]}'; take a checkpoint of an earlier step"
        )


def _check_outputs(graph: fx.GraphModule) -> None:
    (outputs,) = graph.graph.output_node().args
    assert isinstance(outputs, dict)
    for name, node in outputs.items():
        if node.op == "get_attr":
            raise ValueError(
                f"{type(graph).__name__}: expected outputs that depend on the images, '{name}' is a stored tensor; "
                "leave it out of what the network returns"
            )


def _with_names(graph: fx.GraphModule) -> Captured:
    """The graph with each node called after its layer, and after its operator where a layer is more than that.

    Names of inputs and outputs are theirs alone.
    """
    (outputs,) = graph.graph.output_node().args
    assert isinstance(outputs, dict)
    layers = [node.meta.get("layer") or "" for node in graph.graph.nodes]
    shared = {layer for layer, number in Counter(layers).items() if number > 1}
    shared |= {parent for layer in layers for parent in parents(layer)}
    fresh, copies = fx.Graph(), dict[fx.Node, fx.Node]()
    for node in graph.graph.nodes:
        name, layer = node.name, node.meta.get("layer")
        if node.op == "call_module":
            name = str(node.target).replace(".", "_")
        elif node.op == "call_function" and layer:
            kind = str(packet(node) or node.target.__name__).removeprefix("aten.")
            name = layer.replace(".", "_") + (f"_{kind}" if layer in shared else "")
        if node.op != "placeholder" and name in outputs:
            name += "_inside"
        args, kwargs = fx.map_arg((node.args, node.kwargs), lambda n: copies[n])
        copies[node] = fresh.create_node(node.op, node.target, args, kwargs, name)
        copies[node].meta = node.meta
    return Captured(graph, fresh, type(graph).__name__)
