"""Sensitivity: which layers and tensors of a quantized network cost its outputs most, and which need more bits.

Two questions for each place that rounds: what it costs alone, and what is won when it alone computes in float. Where
noise is small both say the same, since noise of independent places adds up; where one place destroys the outputs only
the first tells the others apart, and where several do only the second tells which one to change first.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, fx, nn

from xvision.console import Console
from xvision.graph.operators import operator
from xvision.graph.planes import Batch, peeked, plane_names, planes_of
from xvision.models.inputs import Inputs
from xvision.models.wrap import fitting
from xvision.quant.calibration import Batches, count, take
from xvision.quant.fake import Quantizer, QuantLayer
from xvision.quant.findings import (
    OutlierChannel,
    RangeConflict,
    Sensitivity,
    SiteSensitivity,
    noise_ratio,
)
from xvision.quant.insert import prepare, scheme_of
from xvision.quant.ops import decibels, squared_error
from xvision.quant.switched import Outputs, Site, Switched
from xvision.train.evaluation import metric_over

if TYPE_CHECKING:
    from xvision.tasks.contract import Task

Mode = Literal["alone", "without"]
MODES: tuple[Mode, ...] = ("alone", "without")

OUTLIER = 8.0
"""Times the range of the median channel: it costs that one three bits."""
MOST_OUTLIERS = 3
"""Channels named of one tensor."""
CONFLICT = 4.0
"""Times the range of another input on the same grid: it costs that one two bits."""
DESTROYED, WELL = 0.5, 0.05
"""Noise over signal of a layer, and of the outputs with the weights of all layers, which cannot both be."""


@dataclass(frozen=True)
class Labelled:
    """Labelled images, to see what rounding costs in the primary metric of a task: batches of samples."""

    task: Task
    batches: Sequence[Mapping[str, Any]]
    inputs: Inputs


def sensitivity(
    quantized: nn.Module,
    model: nn.Module,
    batches: Batch | Iterable[Batch],
    *,
    num_images: int = 32,
    labelled: Labelled | None = None,
) -> Sensitivity:
    """Where a quantized network loses its signal: what each layer's weights and each tensor cost, alone and among all.

    `model` is the float network that `quantized` was made from, `batches` are images as `quantize` takes them, of which
    `num_images` are used. With `labelled` images the task's primary metric is measured too. The result is kept in
    `quantized.meta["sensitivity"]`.

    Cost: a pass over the images for each place, of which a network has about two a layer.
    Raises: ValueError if the two are not forms of one network.
    """
    scheme = scheme_of(quantized)
    assert isinstance(quantized, fx.GraphModule)
    first, batches = peeked(batches)
    network = fitting(model, first)
    images = take(planes_of(type(model).__name__, plane_names(network), batches), num_images)
    original = quantized.meta.get("original") or prepare(network, images[0], scheme)
    return measure_sensitivity(quantized, original, images, labelled)


def measure_sensitivity(
    quantized: fx.GraphModule,
    original: fx.GraphModule,
    images: Batches,
    labelled: Labelled | None = None,
    console: Console | None = None,
) -> Sensitivity:
    """`sensitivity` of a network whose float `original` is in the form that `prepare` gives."""
    switched = Switched(quantized.eval(), original.eval())
    check_one_network(switched, images[0])
    passes = len(MODES) * len(switched.sites) * (len(images) + (len(labelled.batches) if labelled else 0))
    with (console or Console(quiet=True)).progress("sensitivity", passes) as bar:
        db = {mode: _each_db(switched, images, mode, bar.advance) for mode in MODES}
        metrics = {mode: _each_metric(switched, labelled, mode, bar.advance) for mode in MODES}
    ranges = _ranges(switched, images)
    found = Sensitivity(
        num_images=count(images),
        heads_db=db["without"][None],
        sites=tuple(
            SiteSensitivity(
                site.kind,
                site.name,
                site.layers,
                site.readers,
                site.bits,
                alone_db=db["alone"][site],
                without_db=db["without"][site],
                alone_metric=metrics["alone"].get(site),
                without_metric=metrics["without"].get(site),
            )
            for site in switched.sites
        ),
        macs=switched.macs,
        outliers=tuple(sorted(_outliers(switched, ranges), key=lambda one: -one.ratio)),
        conflicts=tuple(sorted(_conflicts(quantized, ranges), key=lambda one: -one.bits_lost)),
        float_metric=metrics["alone"].get(None),
        int8_metric=metrics["without"].get(None),
        **_about(labelled),
    )
    quantized.meta["sensitivity"] = found
    return found


def _about(labelled: Labelled | None) -> dict[str, Any]:
    if labelled is None:
        return {}
    task = labelled.task
    return {
        "metric": task.primary,
        "larger_is_better": task.spec(task.primary).larger_is_better,
        "num_labelled": sum(len(batch["image"]) for batch in labelled.batches),
    }


# ------------------------------------------------------------------------------------------- what rounding costs


class _Noise:
    """Sums of squares of each output and of its error."""

    def __init__(self) -> None:
        self.signal: dict[str, float] = {}
        self.noise: dict[str, float] = {}

    def add(self, outputs: Outputs, wanted: Outputs) -> None:
        for name, y in wanted.items():
            if y.is_floating_point():
                self.signal[name] = self.signal.get(name, 0.0) + float(y.double().square().sum())
                self.noise[name] = self.noise.get(name, 0.0) + squared_error(outputs[name], y)

    def db(self) -> dict[str, float]:
        return {name: decibels(self.signal[name], self.noise[name]) for name in self.signal}


def _each_db(
    switched: Switched, images: Batches, mode: Mode, advance: Any
) -> dict[Site | None, dict[str, float]]:
    """Signal over noise of the outputs for each place, and (None) with no place switched."""
    found: dict[Site | None, _Noise] = {}
    for planes in images:
        with switched.in_float(switched.sites):
            wanted = switched(*planes)
        for site, outputs in switched.each(planes, mode):
            found.setdefault(site, _Noise()).add(outputs, wanted)
            if site:
                advance()
    return {site: noise.db() for site, noise in found.items()}


def _each_metric(
    switched: Switched, labelled: Labelled | None, mode: Mode, advance: Any
) -> dict[Site | None, float]:
    """The primary metric for each place, and (None) with no place switched; nothing without labels."""
    if labelled is None:
        return {}
    metrics: dict[Site | None, Any] = {site: metric_over(labelled.task) for site in (*switched.sites, None)}
    for batch in labelled.batches:
        for site, outputs in switched.each(labelled.inputs.encode(batch), mode):
            metrics[site].update(_in_32_bits(outputs), batch)
            if site:
                advance()
    found = {site: metric.compute()[labelled.task.primary] for site, metric in metrics.items()}
    return {site: value for site, value in found.items() if not math.isnan(value)}  # nothing is labelled


def metric_with(switched: Switched, labelled: Labelled) -> float:
    """The primary metric of a network as its places are switched now."""
    metric = metric_over(labelled.task)
    for batch in labelled.batches:
        metric.update(_in_32_bits(switched(*labelled.inputs.encode(batch))), batch)
    return metric.compute()[labelled.task.primary]


def db_with(switched: Switched, images: Batches, sites: Iterable[Site]) -> dict[str, float]:
    """Signal over noise of the outputs with these places in float and all others in integers."""
    noise = _Noise()
    sites = tuple(sites)
    for planes in images:
        with switched.in_float(switched.sites):
            wanted = switched(*planes)
        with switched.in_float(sites):
            noise.add(switched(*planes), wanted)
    return noise.db()


def _in_32_bits(outputs: Outputs) -> Outputs:
    return {name: out.float() if out.is_floating_point() else out for name, out in outputs.items()}


def check_one_network(switched: Switched, planes: Sequence[Tensor]) -> None:
    """Refuse a network whose method has moved scales between layers: no layer of it is one of the original.

    Each layer is given what it has in float: its integer weights then give nearly what the float ones do.

    Raises: ValueError that names a layer.
    """
    activations = [site for site in switched.sites if site.kind == "activations"]
    looking = _Looking(switched)
    with torch.no_grad():
        wanted = looking.run(*planes)
        together = _Noise()
        with switched.in_float(activations):
            together.add(switched(*planes), wanted)
    if noise_ratio(together.db()) < WELL and looking.destroyed:
        raise ValueError(
            f"sensitivity: expected the weights of {looking.destroyed[0]} to be those of the float network but for "
            "rounding, they fit only together with those of other layers: the method has moved scales between them; "
            "quantize with quant.method=ptq first"
        )


# ------------------------------------------------------------------------------------------- ranges


class _Looking(fx.Interpreter):
    """Runs the float network; keeps the largest magnitude of each channel of the tensors on a grid, and what is wrong.

    That is the layers whose integer weights give something else than the float ones.
    """

    def __init__(self, switched: Switched) -> None:
        super().__init__(switched.quantized)
        self._switched = switched
        self._nodes = {node for site in switched.sites for node in site.nodes}
        self.found: dict[fx.Node, Tensor] = {}
        self.destroyed: list[str] = []

    def run_node(self, n: fx.Node) -> Any:
        if n not in self._nodes:
            return super().run_node(n)
        args, _ = self.fetch_args_kwargs_from_env(n)
        module = self._switched.float_module(n)
        if not isinstance(module, Quantizer):
            wanted: Tensor = module(*args)
            noise, signal = squared_error(super().run_node(n), wanted), float(wanted.double().square().sum())
            if noise > DESTROYED * signal:
                self.destroyed.append(str(n.target))
            return wanted
        x: Tensor = args[0]
        channel = 2 if x.ndim == 3 else min(1, x.ndim - 1)  # of tokens the last axis
        largest = x.abs().transpose(0, channel).reshape(x.shape[channel], -1).amax(1)
        before = self.found.get(n)
        self.found[n] = largest if before is None else torch.maximum(before, largest)
        return x.float()


def _ranges(switched: Switched, images: Batches) -> dict[fx.Node, Tensor]:
    looking = _Looking(switched)
    with torch.no_grad():
        for planes in images:
            looking.run(*planes)
    return looking.found


def _outliers(switched: Switched, ranges: Mapping[fx.Node, Tensor]) -> Iterator[OutlierChannel]:
    """Of tensors, and of weights with one scale for all channels."""
    for site in switched.sites:
        if site.kind == "activations":
            largest = [ranges[node] for node in site.nodes]
        else:
            layer = switched.float_module(site.nodes[0])
            assert isinstance(layer, QuantLayer)
            largest = [_channel_ranges(layer)] if layer.weight_scale.ndim == 0 else []
        for one in largest:
            for channel, ratio in outlier_channels(one):
                yield OutlierChannel(site.kind, site.name, channel, ratio)


def outlier_channels(largest: Tensor) -> list[tuple[int, float]]:
    """Channels whose range is far above that of the median channel, and how far; of channels that are not all zero.

    >>> outlier_channels(torch.tensor([1.0, 1.0, 0.0, 100.0, 2.0]))
    [(3, 66.66666666666667)]
    """
    alive = largest[largest > 0].double()
    if len(alive) < 3:
        return []
    ratios = largest.double() / alive.quantile(0.5)
    order = ratios.argsort(descending=True)[:MOST_OUTLIERS]
    return [(int(i), float(ratios[i])) for i in order if ratios[i] > OUTLIER]


def _channel_ranges(layer: QuantLayer) -> Tensor:
    """Largest weight of each output channel; of grouped transposed layers, whose channels are on no axis, of inputs."""
    weight = layer.weight.detach().abs()
    if layer.kind == "conv_transpose" and layer.options["groups"] == 1:
        weight = weight.transpose(0, 1)
    return weight.flatten(1).amax(1)


def _conflicts(graph: fx.GraphModule, ranges: Mapping[fx.Node, Tensor]) -> Iterator[RangeConflict]:
    """Operators of which several inputs are on one grid and one range is far below another."""
    modules = dict(graph.named_modules())
    for node in graph.graph.nodes:
        by_grid: dict[str, list[fx.Node]] = {}
        for source in node.all_input_nodes:
            if source in ranges:
                by_grid.setdefault(str(source.target), []).append(source)
        for sources in by_grid.values():
            found = {source.all_input_nodes[0].name: float(ranges[source].max()) for source in sources}
            least, most = min(found.values()), max(found.values())
            if len(found) > 1 and least > 0 and most > CONFLICT * least:
                yield RangeConflict(operator(node, modules), node.name, found, math.log2(most / least))
