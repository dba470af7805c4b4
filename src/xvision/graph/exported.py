"""A network as a graph of torch's operators, by `torch.export`.

It runs the network's own Python once, with tensors that have shapes and no values. So whatever is written around the
operators is done as it would be: hooks, keyword and optional arguments, loops and branches on sizes, subclasses and
parametrizations of layers, values kept on the side. Only what depends on the values of an image cannot be captured.
"""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._ops import HigherOrderOperator
from torch.export import Dim, ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind
from torch.fx.experimental.symbolic_shapes import free_unbacked_symbols
from torch.utils import _pytree as pytree

from xvision.graph.outputs import named
from xvision.graph.planes import as_float32, plane_names

ROOT = "network"
CONSTANTS = "constants"


def keep(root: nn.Module, name: str, value: Tensor) -> str:
    """Store a tensor in a graph, under a name like this one; the path at which it is then."""
    if not hasattr(root, CONSTANTS):
        root.add_module(CONSTANTS, nn.Module())
    constants = root.get_submodule(CONSTANTS)
    while hasattr(constants, name):
        name += "_"
    constants.register_buffer(name, value.detach())
    return f"{CONSTANTS}.{name}"


class _Root(nn.Module):
    """The network with nothing but planes as arguments; what it keeps on the side while it runs is forgotten."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.add_module(ROOT, network)

    def forward(self, *planes: Tensor) -> Any:
        network = self.get_submodule(ROOT)
        before = [(module, dict(module.__dict__)) for module in network.modules()]
        result = network(*planes)
        for module, attributes in before:
            module.__dict__.clear()
            module.__dict__.update(attributes)
        return result


def exported(network: nn.Module, example: Sequence[Tensor]) -> ExportedProgram:
    """What `torch.export` makes of a network in eval mode and float32, the batch size free; it is left as it was.

    Raises: ValueError that names the layer if the network does not take such inputs or branches on their values.
    """
    # a batch of one would be taken for a constant
    planes = as_float32(x.detach() if len(x) > 1 else x.repeat(2, *[1] * (x.ndim - 1)) for x in example)
    batch = {0: Dim("batch")}
    root = _Root(network)
    with evaluated(network), warnings.catch_warnings(), redirect_stderr(StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")
        try:  # torch writes whole graphs to the console when it gives up
            shapes = {"planes": tuple(batch for _ in planes)}
            program = torch.export.export(root, planes, dynamic_shapes=shapes, strict=False)
        except Exception as error:  # whatever the network raises, or torch about it
            raise ValueError(_refusal(network, planes, error)) from error
    _check_sizes(program, type(network).__name__)
    return program


def _check_sizes(program: ExportedProgram, who: str) -> None:
    for node in program.graph.nodes:
        value = node.meta.get("val")
        if isinstance(value, Tensor) and free_unbacked_symbols(value):
            layer = next(iter(reversed((node.meta.get("nn_module_stack") or {"": ("", "")}).values())))[0]
            name = str(layer).removeprefix(ROOT).removeprefix(".")
            raise ValueError(
                f"{who}{f', layer {name}' if name else ''}: expected sizes that follow from that of the images, got "
                f"one that follows from their values ({str(node.target).partition('.')[2]}); leave that part out of "
                "the network"
            )


@contextmanager
def evaluated(network: nn.Module) -> Iterator[None]:
    """Eval mode and float32 for a while; then modes, precisions, buffers and what is kept on the side are as before."""
    kept = [(x, x.data) for x in (*network.parameters(), *network.buffers()) if _is_other_float(x)]
    buffers = [(x, x.detach().clone()) for x in network.buffers()]
    on_the_side = [(m, dict(m.__dict__), dict(m._buffers)) for m in network.modules()]
    network.eval()
    for x, data in kept:
        x.data = data.float()
    try:
        yield
    finally:
        for module, attributes, own in on_the_side:
            module.__dict__.clear()
            module.__dict__.update(attributes)
            module._buffers.update(own)
        for x, data in kept:
            x.data = data
        for x, before in buffers:
            x.data.copy_(before)


def _is_other_float(x: Tensor) -> bool:
    return x.is_floating_point() and x.dtype != torch.float32


def _refusal(network: nn.Module, planes: Sequence[Tensor], error: Exception) -> str:
    shapes = ", ".join("x".join(map(str, plane.shape[1:])) for plane in planes)
    reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__).strip()
    layer = layer_of(network, error)
    where = f"{type(network).__name__}{f', layer {layer}' if layer else ''}"
    kind = type(error).__name__
    if "DataDependent" in kind or "data-dependent" in reason.lower():
        return (
            f"{where}: expected layers that do not depend on the values of an image, got a branch on a tensor or a "
            f"shape that follows from one ({_line_of(error)}); write it without, or leave that part out of the network"
        )
    if "specialized" in str(error) or "Constraint" in kind:
        return (
            f"{where}: expected a network for any number of images, it works for {len(planes[0])} only "
            f"({reason[:200]}); write it with sizes of its input"
        )
    return (
        f"{where}: expected a network that torch.export can capture with planes of {shapes}, got {kind}: "
        f"{reason[:200]}; write that part in another way, or leave it out of the network"
    )


def layer_of(network: nn.Module, error: BaseException) -> str:
    """The innermost module that was running when an error was raised."""
    names = {id(module): name for name, module in network.named_modules()}
    found = ""
    trace = error.__traceback__
    while trace is not None:
        running = trace.tb_frame.f_locals.get("self")
        found = names.get(id(running), found) or found
        trace = trace.tb_next
    return found


def _line_of(error: BaseException) -> str:
    """The innermost line of Python that is neither torch's nor ours."""
    others = (str(Path(torch.__file__).parent), str(Path(__file__).parent))
    lines = [one for one in traceback.extract_tb(error.__traceback__) if not one.filename.startswith(others)]
    return (
        f"{Path(lines[-1].filename).name}, line {lines[-1].lineno}: {lines[-1].line}" if lines else "unknown"
    )


def as_graph(program: ExportedProgram, network: nn.Module) -> fx.GraphModule:
    """An exported program as a graph whose inputs are the planes, whose constants are attributes, and whose result is
    a dict of named outputs. Parameters and buffers are the network's, which may be another one of the same structure.

    Nodes have in their `meta` the `val` of `torch.export` and the `layer` in which they are.

    Raises: ValueError if an output is no tensor.
    """
    builder = _Builder(program, network)
    for node in program.graph.nodes:
        builder.add(node)
    return builder.finished()


class _Builder:
    """Copies nodes of an exported program into a new graph."""

    def __init__(self, program: ExportedProgram, network: nn.Module) -> None:
        self.program, self.network = program, network
        root = _Root(network)
        named_tensors = (
            *root.named_parameters(remove_duplicate=False),
            *root.named_buffers(remove_duplicate=False),
        )
        self.root, self.graph = nn.Module(), fx.Graph()
        self.values: dict[fx.Node, Any] = {}
        specs = program.graph_signature.input_specs
        self.specs = {spec.arg.name: spec for spec in specs}
        planes = [spec.arg.name for spec in specs if spec.kind is InputKind.USER_INPUT]
        outputs = self._outputs(list(range(len(program.graph_signature.user_outputs))))
        known = plane_names(network)
        more = (f"input{i}" for i in range(len(known), len(planes)))  # of a forward that takes *planes
        self.planes = {
            plane: f"{name}_in" if name in outputs else name
            for plane, name in zip(planes, (*known, *more), strict=False)
        }
        self.tensors: dict[str, Any] = {**program.state_dict, **program.constants, **dict(named_tensors)}

    def add(self, node: fx.Node) -> None:
        if node.op == "placeholder":
            self.values[node] = self._plane_or_constant(node)
        elif node.op == "get_attr":
            self.values[node] = getattr(self.program.graph_module, str(node.target))
        elif node.op == "call_function" and isinstance(node.target, HigherOrderOperator):
            self.values[node] = self._inlined(node)
        elif node.op == "call_function":
            (*sources,) = node.all_input_nodes
            if len(sources) == 1 and isinstance(self.values[sources[0]], tuple | list):
                self.values[node] = self.values[sources[0]][node.args[1]]  # of an inlined graph
            else:
                self.values[node] = self._copied(node)

    def _plane_or_constant(self, node: fx.Node) -> fx.Node:
        if node.name in self.planes:
            made = self.graph.placeholder(self.planes[node.name])
        else:
            target = str(self.specs[node.name].target)
            made = self.graph.get_attr(self._store(target, self.tensors[target]))
        made.meta["val"] = node.meta["val"]
        return made

    def _store(self, path: str, value: Tensor) -> str:
        name = path.removeprefix(f"{ROOT}.").replace(".", "_")
        own = value.detach().clone()  # the network may be trained on
        return keep(self.root, name, own.float() if own.is_floating_point() else own)

    def _copied(self, node: fx.Node) -> fx.Node:
        copied = self.graph.node_copy(node, lambda source: self.values[source])
        stack = node.meta.get("nn_module_stack") or {}
        calls = {key: str(path).removeprefix(ROOT).removeprefix(".") for key, (path, _) in stack.items()}
        layer = next(reversed(calls.values()), "")
        copied.meta = {"val": node.meta.get("val"), "calls": calls, "layer": layer}
        return copied

    def _inlined(self, node: fx.Node) -> Any:
        """A part that runs under autocast, or with gradients switched: its operators, as they are in float32."""
        graphs = [a for a in node.args if isinstance(a, fx.Node) and a.op == "get_attr"]
        if len(graphs) != 1:
            raise ValueError(
                f"{type(self.network).__name__}: expected operators, got {node.target}, which holds graphs of its own; "
                "write the network without it"
            )
        inner = self.values[graphs[0]]
        given = iter(node.args[list(node.args).index(graphs[0]) + 1 :])
        result: Any = None
        for part in inner.graph.nodes:
            if part.op == "placeholder":
                self.values[part] = self.values[next(given)]  # type: ignore[index]
            elif part.op == "output":
                result = fx.map_arg(part.args[0], lambda n: self.values[n])
            else:
                self.add(part)
        return result

    def _outputs(self, leaves: list[Any]) -> dict[str, Any]:
        spec = self.program.call_spec.out_spec
        assert spec is not None
        return named(pytree.tree_unflatten(leaves, spec))

    def finished(self) -> fx.GraphModule:
        output = self.program.graph.output_node()
        specs = self.program.graph_signature.output_specs
        leaves = [
            self.values[value] if isinstance(value, fx.Node) else value
            for value, spec in zip(output.args[0], specs, strict=True)
            if spec.kind is OutputKind.USER_OUTPUT
        ]
        outputs = self._outputs(leaves)
        who = type(self.network).__name__
        for name, value in outputs.items():
            if not isinstance(value, fx.Node) or not isinstance(value.meta.get("val"), Tensor):
                raise ValueError(
                    f"{who}: expected tensors as outputs, got {value} as '{name}'; leave it out, or wrap the network"
                )
        if not outputs:
            raise ValueError(
                f"{who}: expected a tensor, or a tuple, list or dict of tensors as output, got none"
            )
        self.graph.output(outputs)
        return fx.GraphModule(self.root, self.graph, who)
