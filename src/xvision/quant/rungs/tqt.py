"""Blocks of layers that learn the output of the float block: scales, weights and biases together, without labels.

Layer by layer each layer makes up for those before it alone; in a block they learn to fit each other. A scale is
learned by its logarithm, as `quant.learned` says: thresholds that are powers of two (TQT), or free step sizes (LSQ).
Sources: Jain et al., Trained Quantization Thresholds, MLSys 2020, section 3, for the gradients; Li et al., BRECQ, ICLR
2021, section 3, for blocks. Each block sees inputs as the integer network has them, and keeps what it learned only if
its outputs are nearer to the float ones on images that are held back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, fx, nn

from xvision.quant.blocks import Block, blocks
from xvision.quant.calibration import Batches, held_back
from xvision.quant.fake import QuantLayer
from xvision.quant.fitting import Fitting
from xvision.quant.layerwise import Stepper, batches_that_fit
from xvision.quant.learned import find_ranges, keep_ranges
from xvision.quant.rungs import rung


@rung
def tqt(
    fitting: Fitting,
    *,
    layers: Annotated[int, Field(ge=1)] = 4,
    steps: Annotated[int, Field(ge=1)] = 500,
    batch_size: Annotated[int, Field(ge=1)] = 16,
    lr: Annotated[float, Field(gt=0)] = 3e-5,
    scale_lr: Annotated[float, Field(gt=0)] = 1e-2,
) -> None:
    """Blocks of up to `layers` layers trained to give what the float block gives; labels are not needed.

    `steps` of Adam for each block, on `batch_size` images each. `lr` of weights is a share of the largest weight of
    their layer, so that one rate fits all; `scale_lr` is that of the binary logarithms of scales.
    """
    graph = fitting.graph
    find_ranges(graph, "learned")
    fitted, judged = held_back(batches_that_fit(graph, fitting.images))
    walk = _Walk(fitting, [_in_parts(some, batch_size) for some in (fitted, judged)])
    context = fitting.context
    console = context.console if context.processes.is_first else type(context.console)(quiet=True)
    cut = blocks(graph, layers)
    random = torch.Generator().manual_seed(context.seed)
    with console.progress("tqt", len(cut)) as bar:
        for block in cut:
            walk.learn(block, steps, lr, scale_lr, random)
            bar.advance(1)
    keep_ranges(graph)


def _in_parts(batches: Batches, size: int) -> Batches:
    """The same images, `size` at a time."""
    planes = [torch.cat(some) for some in zip(*batches, strict=True)]
    return list(zip(*(torch.split(plane, size) for plane in planes), strict=True))


class _Walk:
    """The two networks side by side, block by block, over the images to fit to and those to judge on."""

    def __init__(self, fitting: Fitting, images: Sequence[Batches]) -> None:
        self.graph = fitting.graph
        self.steppers = [[Stepper(fitting.graph, planes) for planes in some] for some in images]
        self.originals = [[Stepper(fitting.reference, planes) for planes in some] for some in images]
        self.counterparts = dict(zip(fitting.graph.graph.nodes, fitting.reference.graph.nodes, strict=True))
        for first in self.counterparts:
            if first.op in ("placeholder", "get_attr"):
                self._go_on([first])

    def learn(self, block: Block, steps: int, lr: float, scale_lr: float, random: torch.Generator) -> None:
        """Train a block where that helps, and walk to its end."""
        fitted, judged = ([self._targets(block, one) for one in some] for some in self.originals)
        parameters = list(_parameters(block, self.graph, lr, scale_lr))
        if parameters and block.outputs:
            powers = [_power(one) for one in zip(*fitted, strict=True)]
            before, states = self._error(block, judged, powers), _states(block, self.graph)
            optimizer = torch.optim.Adam(parameters)
            for at in _drawn(len(fitted), steps, random):
                found = self.steppers[0][at].ahead(block.nodes, block.outputs)
                optimizer.zero_grad()
                _loss(found, fitted[at], powers).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            optimizer.zero_grad()
            if not self._error(block, judged, powers) < before:
                for module, state in zip(block.modules(self.graph), states, strict=True):
                    module.load_state_dict(state)
        self._go_on(block.nodes)

    def _targets(self, block: Block, original: Stepper) -> list[Tensor]:
        """What the float block gives."""
        nodes = [self.counterparts[node] for node in block.nodes]
        with torch.no_grad():
            return original.ahead(nodes, [self.counterparts[node] for node in block.outputs])

    def _error(self, block: Block, targets: Sequence[Sequence[Tensor]], powers: Sequence[float]) -> float:
        with torch.no_grad():
            errors = [
                float(_loss(stepper.ahead(block.nodes, block.outputs), wanted, powers)) * len(wanted[0])
                for stepper, wanted in zip(self.steppers[1], targets, strict=True)
            ]
        return sum(errors)

    def _go_on(self, nodes: Sequence[fx.Node]) -> None:
        with torch.no_grad():
            for node in nodes:
                for stepper in (one for some in self.steppers for one in some):
                    stepper.step(node)
                for original in (one for some in self.originals for one in some):
                    original.step(self.counterparts[node])


def _loss(found: Sequence[Tensor], wanted: Sequence[Tensor], powers: Sequence[float]) -> Tensor:
    """The error of all outputs of a block, each as a share of its power."""
    errors = [(y - t).square().mean() / power for y, t, power in zip(found, wanted, powers, strict=True)]
    return torch.stack(errors).sum()


def _power(batches: Sequence[Tensor]) -> float:
    """The mean square of a tensor over all batches."""
    total = sum(float(y.double().square().sum()) for y in batches)
    return max(total / sum(y.numel() for y in batches), 1e-12)


def _parameters(
    block: Block, graph: fx.GraphModule, lr: float, scale_lr: float
) -> Iterator[dict[str, object]]:
    """What a block learns, with the learning rates that go with it."""
    inside = set(block.nodes)
    for module in block.modules(graph):
        if isinstance(module, QuantLayer):
            yield {
                "params": [module.weight, module.bias],
                "lr": lr * float(module.weight.detach().abs().max()),
            }
        learned = [one for name, one in module.named_parameters() if name.startswith("parametrizations.")]
        calls = [
            node for node in graph.graph.nodes if node.op == "call_module" and _called(graph, node) is module
        ]
        if learned and inside.issuperset(calls):  # a scale that other blocks have used already stays
            yield {"params": learned, "lr": scale_lr}


def _called(graph: fx.GraphModule, node: fx.Node) -> nn.Module:
    return graph.get_submodule(str(node.target))


def _states(block: Block, graph: fx.GraphModule) -> list[dict[str, Tensor]]:
    return [
        {key: value.clone() for key, value in module.state_dict().items()} for module in block.modules(graph)
    ]


def _drawn(count: int, steps: int, random: torch.Generator) -> Iterator[int]:
    """Numbers below `count`, as many as there are steps: each once, in another order each time."""
    left: list[int] = []
    for _ in range(steps):
        left = left or torch.randperm(count, generator=random).tolist()
        yield left.pop()
