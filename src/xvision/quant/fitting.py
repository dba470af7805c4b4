"""What the rungs of a quantization work on: a network in integers, the float one beside it, and images."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from torch import Tensor, fx

from xvision.quant.calibration import Batches, held_back
from xvision.quant.context import Context
from xvision.quant.correct import Correction, Pairs, correct
from xvision.quant.fake import Quantizer, QuantLayer
from xvision.quant.layerwise import batches_that_fit, layerwise
from xvision.quant.numbers import TensorQuant
from xvision.quant.observer import HistogramObserver, observe
from xvision.quant.quality import LayerQuality


class NoRangesError(Exception):
    """A rung that works on ranges came before any were found."""


@dataclass(frozen=True)
class Ranges:
    """A way to find ranges: scale and zero point of what was seen of a tensor, and the scale of a layer's weights."""

    of_tensor: Callable[[HistogramObserver, TensorQuant], tuple[float, int]]
    set_weight_scale: Callable[[QuantLayer], None]


@dataclass
class Fitting:
    """One network on its way to integers; rungs change it in place.

    `reference` is the float network in the same form: its modules have the same names and its ranges stay open. A
    rung that changes what both compute, such as the size of channels, changes both.
    """

    context: Context
    quantized: fx.GraphModule
    """Read it as `graph`."""
    reference: fx.GraphModule
    images: Batches
    """All calibration images: ranges are those of all of them."""
    ranges: Ranges | None = None
    """How ranges were found last, so that they can be found again."""
    seen: Mapping[str, HistogramObserver] = field(default_factory=dict)
    """What was seen then of each quantizer whose range was open, by its name."""
    layers: dict[str, LayerQuality] = field(default_factory=dict)
    """What was fitted of each layer."""
    rewritten: bool = False
    """Whether the float network has other weights than it was given, though it computes the same."""

    @property
    def graph(self) -> fx.GraphModule:
        """The network in integers.

        Raises: NoRangesError before its ranges are found.
        """
        if self.ranges is None:
            raise NoRangesError
        return self.quantized

    @property
    def fitted(self) -> Batches:
        """The images to fit to."""
        return held_back(self.images)[0]

    @property
    def judged(self) -> Batches:
        """The images to judge on: where there are few, those that are fitted to."""
        return held_back(self.images)[1]

    def copied(self) -> Fitting:
        """The same, to be changed without changing this one."""
        return replace(
            self,
            quantized=copy.deepcopy(self.quantized),
            reference=copy.deepcopy(self.reference),
            layers=dict(self.layers),
        )

    def quant_layers(self) -> dict[str, QuantLayer]:
        """The layers with integer weights, by name, in the order of the graph."""
        found = {
            str(node.target): self.quantized.get_submodule(str(node.target))
            for node in self.quantized.graph.nodes
            if node.op == "call_module"
        }
        return {name: layer for name, layer in found.items() if isinstance(layer, QuantLayer)}

    def find_ranges(self, ranges: Ranges) -> None:
        """Find all ranges that are not known without images, and the scales of all weights."""
        names = {module: name for name, module in self.reference.named_modules()}
        found = observe(self.reference, self.images, self.judged)
        self.seen = {names[quantizer]: observer for quantizer, observer in found.items()}
        for name, observer in self.seen.items():
            quantizer = self.quantized.get_submodule(name)
            assert isinstance(quantizer, Quantizer)
            quantizer.set_range(*ranges.of_tensor(observer, quantizer.numbers))
        for layer in self.quant_layers().values():
            ranges.set_weight_scale(layer)
        self.ranges = ranges

    def find_ranges_again(self) -> None:
        """As they were found last: after the weights of both networks have been changed."""
        assert self.ranges is not None
        self.rewritten = True
        self.find_ranges(self.ranges)

    def correct_layers(self, ways: Callable[[str], Mapping[str, Correction]]) -> None:
        """Correct layer by layer, each where the layers before it are as they will be; `ways` of a layer by its name.

        In each layer the way of least error on images that are held back is kept, or none.
        """
        names = {layer: name for name, layer in self.quant_layers().items()}
        fitted, judged = held_back(batches_that_fit(self.graph, self.images))
        apart = judged is not fitted

        def visit(layer: QuantLayer, inputs: list[Tensor], targets: list[Tensor]) -> None:
            at, name = len(fitted), names[layer]
            all_of_them = Pairs(inputs[:at], targets[:at])
            unseen = Pairs(inputs[at:], targets[at:]) if apart else all_of_them
            before = self.layers[name].correction if name in self.layers else "nothing"
            self.layers[name] = correct(layer, all_of_them, unseen, ways(name), before)

        layerwise(self.graph, self.reference, [*fitted, *judged] if apart else fitted, visit)
