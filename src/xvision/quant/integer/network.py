"""A quantized network run in whole numbers, node by node."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from operator import getitem
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._ops import OpOverload

from xvision.graph import resize as spelling_of_resize
from xvision.graph.operators import arguments, clip_bounds, operator
from xvision.models.pixels import STEPS, ZERO_POINT, Pixels
from xvision.quant.accumulator import check_accumulators
from xvision.quant.fake import Quantizer, QuantLayer
from xvision.quant.insert import scheme_of
from xvision.quant.integer.fixed import FixedPoint, mapped
from xvision.quant.integer.layers import layer_sum
from xvision.quant.integer.operators import COMPUTING, moved, pad
from xvision.quant.integer.resize import bilinear, is_exact
from xvision.quant.integer.tables import Lookup, looked_up
from xvision.quant.islands import FloatOperator
from xvision.quant.numbers import Rounding

Codes = dict[str, Tensor]


class IntegerNetwork:
    """The integers of a quantized network as it is now, on the CPU.

    Between its quantizers it has integers alone: products and sums in int64, then one requantization, a shift where
    scales are powers of two. Operators without a rule (`graph.meta["float_operators"]`), and those in `floats`, are
    given floats, and what they return is quantized again.

    Raises: ValueError if sums may go beyond the accumulator of the scheme.
    """

    def __init__(self, network: nn.Module) -> None:
        scheme_of(network)
        assert isinstance(network, fx.GraphModule)
        self.graph = copy.deepcopy(network).cpu().eval()
        for module in self.graph.modules():
            if isinstance(module, QuantLayer):
                module.freeze()
        check_accumulators(self.graph)
        self._walk = _Walk(self.graph)
        self.floats = [
            FloatOperator(operator(node, self._walk.modules), node.name)
            for node in self.graph.graph.nodes
            if _is_inexact_resize(node)
        ]

    def run(
        self, planes: Sequence[Tensor], given: Mapping[str, Tensor] | None = None
    ) -> tuple[dict[str, Tensor], Codes]:
        """Outputs, in float, and the codes of every tensor, int32.

        With `given` codes of tensors, each operator computes from those in place of what the operators before it gave:
        then a difference is of that operator alone.
        """
        self._walk.codes, self._walk.given = {}, given or {}
        with torch.no_grad():
            outputs = self._walk.run(*(plane.cpu() for plane in planes))
        return dict(outputs), self._walk.codes


class _Walk(fx.Interpreter):
    """Runs a graph on `FixedPoint` numbers."""

    codes: Codes
    given: Mapping[str, Tensor]

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.modules = dict(graph.named_modules(remove_duplicate=False))
        self.scheme = scheme_of(graph)
        self.rounding: Rounding = self.scheme.rounding
        self._in_float = {one.name for one in graph.meta["float_operators"]}

    def run_node(self, n: fx.Node) -> Any:
        if n.op == "call_module":
            return self._module(n)
        if n.op == "call_function":
            return self._function(n)
        result = super().run_node(n)
        return mapped(result, _to_float) if n.op == "output" else result

    def _module(self, n: fx.Node) -> Any:
        module = self.modules[str(n.target)]
        values, _ = self.fetch_args_kwargs_from_env(n)
        if isinstance(module, Quantizer):
            return self._quantized(n, module, values[0])
        if isinstance(module, QuantLayer):
            return layer_sum(module, values[0])
        assert isinstance(module, Pixels), n.target
        return FixedPoint(module.concat(*values).long() - ZERO_POINT, torch.tensor(1 / STEPS).double())

    def _quantized(self, n: fx.Node, quantizer: Quantizer, value: Any) -> FixedPoint:
        """The codes of a tensor, which are noted, and what the operators after it see."""
        zero, scale = int(quantizer.zero_point), quantizer.scale.double()
        if isinstance(value, FixedPoint):
            whole = value.steps_of(scale, self.rounding).clamp(quantizer.low, quantizer.high)
        elif isinstance(value, Lookup):
            whole = (quantizer.codes(value.values).long() - zero)[value.places]
        else:
            whole = quantizer.codes(value).long() - zero
        name = n.all_input_nodes[0].name
        self.codes[name] = (whole + zero).to(torch.int32)
        if name in self.given:
            whole = self.given[name].long() - zero
        return FixedPoint(whole, scale)

    def _function(self, n: fx.Node) -> Any:
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        if n.target is getitem:
            return args[0][args[1]]
        kind = operator(n, self.modules)
        rule = self.scheme.rule(kind)
        bounds = clip_bounds(n, self.modules) if rule == "clip" else None
        in_float = n.name in self._in_float or rule in ("float", "layer") or _is_inexact_resize(n)
        if in_float or (rule == "clip" and bounds is None) or not _are_integers((args, kwargs)):
            args, kwargs = mapped((args, kwargs), _to_float)
            return n.target(*args, **kwargs)  # type: ignore[operator]
        if bounds is not None:
            return args[0].clipped(*bounds)
        if rule == "table":
            return self._looked_up(n, *args, **kwargs)
        if kind in COMPUTING:
            return COMPUTING[kind](_by_name(n, args, kwargs))
        if n.target is spelling_of_resize.bilinear:
            return bilinear(*args, **kwargs)
        if kind == "pad" and (given := _by_name(n, args, kwargs)).get("mode", "constant") == "constant":
            return pad(given, self.rounding)
        return moved(n.target, args, kwargs)  # type: ignore[arg-type]

    def _looked_up(self, n: fx.Node, x: FixedPoint, *args: Any, **kwargs: Any) -> Lookup:
        source = self.modules[str(n.all_input_nodes[0].target)]
        assert isinstance(source, Quantizer)
        return looked_up(lambda values: n.target(values, *args, **kwargs), x, source.low, source.high)  # type: ignore[operator]


def _are_integers(arguments_of_node: Any) -> bool:
    """Whether an operator reads integer tensors, and no float ones beside them."""
    kinds: set[bool] = set()

    def note(value: Any) -> None:
        if isinstance(value, FixedPoint | Tensor) and (
            isinstance(value, FixedPoint) or value.is_floating_point()
        ):
            kinds.add(isinstance(value, FixedPoint))

    mapped(arguments_of_node, note)
    return kinds == {True}


def _to_float(value: Any) -> Any:
    return value.to_float() if isinstance(value, FixedPoint) else value


def _by_name(n: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The values of a call's arguments by name."""
    assert isinstance(n.target, OpOverload)
    names = [one.name for one in n.target._schema.arguments]
    return arguments(n) | dict(zip(names, args, strict=False)) | kwargs


def _is_inexact_resize(n: fx.Node) -> bool:
    if n.target is not spelling_of_resize.bilinear:
        return False
    source, size, align_corners, scales = [*n.args, False, None][:4]
    assert isinstance(source, fx.Node)
    return not is_exact(source.meta["shape"][2:], size, bool(align_corners), scales)  # type: ignore[arg-type]
