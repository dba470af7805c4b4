"""The simulation: a quantized network in PyTorch, whose float values are integers times a scale."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn

from xvision.export.contract import Computed, Grid
from xvision.export.executors import executor
from xvision.export.executors.pytorch import PyTorch, contiguous
from xvision.quant.accumulator import beyond_float32, wide
from xvision.quant.fake import Quantizer
from xvision.quant.insert import scheme_of
from xvision.quant.islands import given_by_floats


class Simulation(PyTorch):
    """A quantized network; the codes of a tensor are those of the quantizer after it."""

    name = "simulation"

    def __init__(self, network: nn.Module) -> None:
        scheme = scheme_of(network)
        assert isinstance(network, fx.GraphModule)
        super().__init__(network)
        nodes = network.graph.nodes
        self.input_names = tuple(str(node.target) for node in nodes if node.op == "placeholder")
        self.tolerance_lsb = scheme.tolerance_lsb
        quality = network.meta.get("quality")
        self.sqnr_db = quality.heads_db if quality else {}
        self.rounding = scheme.rounding
        self.float_operators = tuple(network.meta["float_operators"])
        self.given_by_floats = given_by_floats(network)
        self.wide = wide(network)
        (heads,) = network.graph.output_node().args
        assert isinstance(heads, dict)
        total = sum(node.meta.get("macs", 0) for node in nodes) or 1
        layers = [node for node in nodes if node.op == "call_module" and node.meta.get("macs")]
        self.macs_ratio = {str(node.target): node.meta["macs"] / total for node in layers}
        modules = dict(network.named_modules())
        self._heads = {name: modules.get(str(node.target)) for name, node in heads.items()}
        self._graph, self._recorder = network, _Recorder(network)

    def codes(self, inputs: tuple[Tensor, ...]) -> dict[str, Tensor]:
        return self.run(inputs)[1]

    def run(self, inputs: tuple[Tensor, ...]) -> Computed:
        return self.each_operator(inputs, {})

    def each_operator(self, inputs: tuple[Tensor, ...], codes: Mapping[str, Tensor]) -> Computed:
        self._recorder.codes, self._recorder.given = {}, codes
        with torch.no_grad():
            outputs = self._recorder.run(*(plane.to(self.device) for plane in inputs))
        return contiguous(outputs), self._recorder.codes

    def beyond_float32(self, inputs: tuple[Tensor, ...]) -> Collection[str]:
        return beyond_float32(self._graph, [plane.to(self.device) for plane in inputs])

    def grids(self) -> dict[str, Grid]:
        return {name: _grid(one) for name, one in self._heads.items() if isinstance(one, Quantizer)}


def _grid(quantizer: Quantizer) -> Grid:
    return lambda values: quantizer.codes(values.to(quantizer.scale.device))


class _Recorder(fx.Interpreter):
    """Runs a quantized network and keeps the codes of every tensor; those that are given take its place."""

    codes: dict[str, Tensor]
    given: Mapping[str, Tensor]

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        module = self.submodules.get(str(n.target)) if n.op == "call_module" else None
        if isinstance(module, Quantizer):
            name = n.all_input_nodes[0].name
            self.codes[name] = module.codes(result)
            if name in self.given:
                return module.values(self.given[name].to(result.device))
        return result


@executor
def simulation(network: nn.Module) -> Simulation:
    """A quantized network in PyTorch, as the device computes it; it is put into eval mode."""
    return Simulation(network)
