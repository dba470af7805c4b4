"""Stage, on demand: where a quantization of a run loses its signal; and plans of mixed precision from it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from xvision.pipeline.quantize import context_of
from xvision.pipeline.stage import Left, Stage
from xvision.quant.findings import Sensitivity, SiteSensitivity, noise_ratio, signal_db
from xvision.quant.plan import Limit, Plan, plan
from xvision.runs.contents import Analysed
from xvision.runs.files import sensitivity_of
from xvision.runs.names import stage_name

if TYPE_CHECKING:
    from torch import fx

    from xvision.console import Console
    from xvision.quant.calibration import Batches
    from xvision.quant.sensitivity import Labelled
    from xvision.quant.switched import Site, Switched
    from xvision.runs.run import Run

By = Literal["macs", "layers"]
MOST_SHOWN = 15  # places in a table on the console
NUM_CALIBRATION = 256  # images that a method has used that does not say how many
NUM_LABELLED = 256  # for a plan by the drop of a metric, where nothing else is said


def stage(name: str) -> Stage:
    """That of the quantization of this name; it applies where somebody has asked for it."""
    return Stage(
        "sensitivity",
        lambda run: _execute(run, name),
        keys=(),
        exit_code=5,
        network=name,
        after=(stage_name("quantize", name),),
        applies=lambda run: name in run.analysed,
        asks=lambda run: _asked(run, name),
    )


def _asked(run: Run, name: str) -> tuple[int, int] | None:
    """On how many images, and labelled images: what is asked for now, or was before."""
    there = run.files.sensitivity(name)
    before = (there.num_images, there.num_labelled) if there else None
    return run.analysed.get(name, before)


def _execute(run: Run, name: str) -> Left:
    from xvision.quant.sensitivity import measure_sensitivity

    asked = _asked(run, name)
    assert asked is not None
    bench = Bench(run, name, *asked)
    found = measure_sensitivity(*bench.forms, bench.images, bench.labelled, run.console)
    run.files.write(sensitivity_of(name), Analysed(num_images=asked[0], num_labelled=asked[1], found=found))
    run.changed()
    return Left()


class Bench:
    """A quantization of a run beside its float network, and images to measure both on."""

    def __init__(self, run: Run, name: str, num_images: int, num_labelled: int) -> None:
        self._run, self._name = run, name
        self._num_images, self._num_labelled = num_images, num_labelled

    @cached_property
    def images(self) -> Batches:
        """Calibration images that nothing was fitted to."""
        from xvision.quant.calibration import held_back, take

        _, judged = held_back(take(self._run.calibration(), self._num_calibration))
        return take(judged, self._num_images)

    @cached_property
    def labelled(self) -> Labelled | None:
        """Labelled training images that calibration does not use, if any are asked for."""
        if not self._num_labelled:
            return None
        from xvision.quant.sensitivity import Labelled

        loader = self._run.judging(self._num_calibration)
        number = -(-self._num_labelled // loader.batch_size)
        return Labelled(self._run.task, list(islice(loader.epoch(0), number)), self._run.inputs)

    @cached_property
    def forms(self) -> tuple[fx.GraphModule, fx.GraphModule]:
        """The quantized network, and the float one in the same form.

        A method may have changed the float network too, as equalization does, which no file holds: then the network is
        quantized once more. One that was trained is not: it would take as long as the training.
        """
        from xvision.quant.insert import prepare, scheme_of
        from xvision.quant.sensitivity import check_one_network
        from xvision.quant.switched import Switched

        network: Any = self._run.network(self._name)
        original = prepare(self._run.model, self.images[0], scheme_of(network))
        try:
            check_one_network(Switched(network, original), self.images[0])
        except ValueError:
            again = None if "threshold_shifts" in network.meta else self._quantized_again()
            if again is None or "original" not in again.meta:
                raise
            return again, again.meta["original"]
        return network, original

    def _quantized_again(self) -> fx.GraphModule:
        from xvision.quant.quantize import quantize_with

        self._run.console.print("  quantized again, for the method has changed the float network too")
        with warnings.catch_warnings(action="ignore"):
            return quantize_with(
                context_of(self._run, self._name), self._run.quantizations[self._name].method
            )

    @cached_property
    def _num_calibration(self) -> int:
        quality = vars(self._run.network(self._name))["meta"].get("quality")
        return quality.num_fitted + quality.num_judged if quality else NUM_CALIBRATION

    @cached_property
    def _switched(self) -> Switched:
        from xvision.quant.switched import Switched

        return Switched(*self.forms)

    def _sites(self, wanted: Sequence[SiteSensitivity]) -> list[Site]:
        names = {(site.kind, site.name) for site in wanted}
        return [site for site in self._switched.sites if (site.kind, site.name) in names]

    def db(self, in_float: Sequence[SiteSensitivity]) -> float:
        """Signal over noise with some places in float."""
        from xvision.quant.sensitivity import db_with

        return signal_db(noise_ratio(db_with(self._switched, self.images, self._sites(in_float))))

    def metric(self, in_float: Sequence[SiteSensitivity]) -> float:
        """The primary metric on labelled images with some places in float."""
        from xvision.quant.sensitivity import metric_with

        assert self.labelled is not None
        with self._switched.in_float(self._sites(in_float)):
            return metric_with(self._switched, self.labelled)


def make_plan(run: Run, name: str, limit: Limit, by: By = "macs") -> Plan:
    """A plan within a limit, from the sensitivity that the run has; a share is one of the MACs or of the layers.

    What it gives is measured with its places in float, for more bits are nearly that.
    """
    analysed = run.files.sensitivity(name)
    assert analysed is not None
    found, bench = analysed.found, Bench(run, name, analysed.num_images, analysed.num_labelled)
    costs = found.macs if by == "macs" else dict.fromkeys(found.macs, 1)
    made = plan(found, costs, limit, bench.metric if limit.kind == "drop" else bench.db)
    measured = f"Measured with these in float: {bench.db(made.sites):.1f} dB"
    if found.float_metric is not None and found.int8_metric is not None:
        measured += (
            f", {found.metric} {found.int8_metric:.2f} -> {bench.metric(made.sites):.2f} (float "
            f"{found.float_metric:.2f}, on {found.num_labelled} labelled images)"
        )
    use = f"xvision quantize {run.folder} quant.layers=THIS_FILE --as mixed"
    return replace(made, note="\n".join([made.note, f"{measured}.", f"To use it: {use}"]))


@dataclass(frozen=True)
class Asked:
    """What a command asks of the sensitivity of a quantization: how it is measured, and perhaps a plan."""

    name: str
    analysis: tuple[int, int]
    """On how many images, and on how many labelled ones."""
    file: Path | None = None
    limit: Limit | None = None
    by: By = "macs"

    def answer(self, run: Run, console: Console) -> dict[str, Any]:
        """Say it, write the plan, and name the files."""
        analysed = run.files.sensitivity(self.name)
        assert analysed is not None
        tell(analysed.found, console)
        found = {"sensitivity": str(run.folder / sensitivity_of(self.name))}
        if self.file is not None and self.limit is not None:
            made = make_plan(run, self.name, self.limit, self.by)
            made.write(self.file)
            console.print(f"plan  {self.file}: {len(made.layers)} layers\n{made.note}")
            found["plan"] = str(self.file)
        return found


def asked_for(
    name: str, analysis: tuple[int, int], file: Path | None, limits: Mapping[str, float | None], by: str
) -> Asked:
    """What the options of a command ask for.

    Raises: ValueError for a plan without exactly one limit, a limit without a plan, or another `by`.
    """
    given = {kind: value for kind, value in limits.items() if value is not None}
    if len(given) != (file is not None):
        got = " and ".join(f"--{kind.removesuffix('_db')}" for kind in given) or "none"
        raise ValueError(
            f"quantize: expected --plan FILE with one of --share, --drop and --gain, got {got}"
            f"{'' if file else ' without --plan'}; give both, or --sensitivity alone"
        )
    if file is not None and file.suffix not in (".yaml", ".yml"):
        raise ValueError(f"--plan: expected a file name that ends in .yaml, got '{file}'; call it so")
    if by not in get_args(By):
        raise ValueError(f"--by: expected {' or '.join(get_args(By))}, got '{by}'; choose one")
    limit = None
    for kind, value in given.items():
        limit = Limit(kind, value)  # type: ignore[arg-type]  # the keys of `limits` are its kinds
        analysis = (analysis[0], analysis[1] or NUM_LABELLED) if kind == "drop" else analysis
    return Asked(name, analysis, file, limit, "layers" if by == "layers" else "macs")


def tell(found: Sensitivity, console: Console) -> None:
    """The places of most noise as a table, then channels and ranges that stand out."""
    header = ["place", "", "bits", "of the noise", "dB alone in integers", "dB alone in float"]
    rows = [
        [
            site.name,
            site.kind,
            str(site.bits),
            f"{found.share(site):.1%}",
            f"{signal_db(site.noise):.1f}",
            f"{signal_db(noise_ratio(site.without_db)):.1f}",
            *([_text(site.without_metric)] if found.metric else []),
        ]
        for site in found.worst[:MOST_SHOWN]
    ]
    if found.metric:
        header.append(f"{found.metric} then")
    together = f"{signal_db(found.noise):.1f} dB of signal over quantization noise"
    if found.float_metric is not None and found.int8_metric is not None:
        together += f", {found.metric} {found.float_metric:.2f} -> {found.int8_metric:.2f}"
    console.print(f"{together} ({len(found.sites)} places round)")
    console.table(rows, header)
    for outlier in found.outliers[:3]:
        console.print(
            f"outlier  channel {outlier.channel} of the {outlier.kind} of {outlier.name} is {outlier.ratio:.0f} times "
            "as large as the median channel"
        )
    for conflict in found.conflicts[:3]:
        console.print(
            f"ranges   {conflict.operator} {conflict.name} has inputs of different ranges on one grid: the smallest "
            f"loses {conflict.bits_lost:.1f} bits"
        )


def _text(metric: float | None) -> str:
    return "–" if metric is None else f"{metric:.2f}"
