"""Stage: the record of what the run has achieved so far, with what it costs; it closes every command that computes."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from xvision.pipeline.stage import Left, Stage
from xvision.recipes.schema import digest
from xvision.runs.files import COST, DRAWING, EVALUATION, RECORD
from xvision.runs.int8_losses import int8_losses
from xvision.runs.record import CalibrationData, LayerRow, Quantization, Record

if TYPE_CHECKING:
    from xvision.graph.cost import Cost
    from xvision.quant.quality import Quality
    from xvision.runs.run import Run


def _execute(run: Run) -> Left:
    from xvision.graph.cost import count
    from xvision.report.architecture import describe, draw, title

    cost = count(run.model, run.recipe.data.size)
    run.files.write(COST, [asdict(layer) for layer in cost.layers])
    run.files.write(DRAWING, draw(describe(run.model, title(run.recipe.to_dict()))))
    run.files.write(RECORD, _record(run, cost))
    return Left()


def _record(run: Run, cost: Cost) -> Record:
    """What the run has achieved so far, with everything needed to repeat it."""
    from xvision.analysis.heads import head_costs
    from xvision.runs.environment import environment
    from xvision.runs.record import Artefact, Complexity, HeadCost, SplitData, StageTime

    recipe, status = run.recipe, run.files.status
    made = [name for name in run.networks if name in status.quantizations]
    quantization = {name: _quantization(run, name) for name in made}
    for line in (line for one in quantization.values() for line in one.losses):
        run.console.warn(line)
    heads = head_costs(run.model, cost) if len(run.task.parts) > 1 else {}
    stages = {name: done for name, done in status.stages.items() if name not in (STAGE.name, "report")}
    files = {name: sha for done in stages.values() for name, sha in done.outputs.items()}
    return Record(
        name=recipe.name,
        recipe=recipe.to_dict(),
        recipe_id=recipe.id,
        source=recipe.source,
        expect=recipe.expect,
        seed=recipe.seed,
        num_steps=best.num_steps if (best := run.files.best) else 0,
        started=stages["train"].started,
        stages={
            name: StageTime(**{key: getattr(done, key) for key in StageTime.model_fields})
            for name, done in stages.items()
        },
        data={
            name: SplitData(num_samples=len(split), sha256=run.digests[name])
            for name, split in run.dataset.splits.items()
        },
        classes=dict(run.task.classes),
        cost=Complexity(macs=cost.macs, params=cost.params, size=recipe.data.size),
        heads={name: HeadCost(macs=macs, params=params) for name, (macs, params) in heads.items()},
        affinity=run.files.affinity,
        primary=run.task.primary,
        metrics=run.files.evaluation.measurements,
        parity=run.files.parity,
        quantization=quantization,
        artefacts={
            name: Artefact(sha256=sha, bytes=run.files.path(name).stat().st_size)
            for name, sha in files.items()
            if run.files.has(name)
        },
        warnings=tuple(run.warnings),
        **environment(),
    )


def _quantization(run: Run, network: str) -> Quantization:
    """How an integer network was made, as far as its method says it, and what is much worse in it."""
    quant = run.files.status.quantizations[network]
    meta: dict[str, Any] = vars(run.network(network))["meta"]
    losses = [*int8_losses(run.files.evaluation.measurements, run.task, network)]
    losses += [f"{network}: {line}" for line in meta["warnings"]["classes"]]
    analysed = run.files.sensitivity(network)
    found = Quantization(
        quant=quant,
        wide_layers=_wide_layers(run, network),
        threshold_shifts=meta.get("threshold_shifts", {}),
        sensitivity=analysed.found if analysed else None,
        warnings=tuple(meta["warnings"]["images"]),
        losses=tuple(losses),
    )
    quality: Quality | None = meta.get("quality")
    if quality is None:
        return found
    losses += [
        f"output '{name}' of {network} has {db:.1f} dB of signal over quantization noise"
        for name, db in quality.poor.items()
    ]
    images = run.files.calibration(network)
    weakest = f"; most noise in {quality.weakest}" if quality.layers else ""
    known = {
        "num_fitted": quality.num_fitted,
        "num_judged": quality.num_judged,
        "corrections": Counter(layer.correction for layer in quality.layers.values()),
        "dropped": quality.dropped,
        "layers": {name: LayerRow(**asdict(layer)) for name, layer in quality.layers.items()},
        "rungs": run.files.rungs(network),
        "calibration": CalibrationData(num_images=len(images.names), digest=images.digest)
        if images
        else None,
        "losses": tuple(f"{line}{weakest}" for line in losses),
    }
    return found.model_copy(update=known)


def _wide_layers(run: Run, network: str) -> dict[str, int]:
    """Those that 2^24 does not bound, which compute in 64 bits."""
    from xvision.quant.fake import EXACT, QuantLayer

    layers = {name: m for name, m in run.network(network).named_modules() if isinstance(m, QuantLayer)}
    bounds = {name: layer.accumulator_bound() for name, layer in layers.items()}
    return {name: bound for name, bound in bounds.items() if bound >= EXACT}


def before(run: Run) -> str:
    """The digest of what all stages have left, whichever were executed."""
    stages = run.files.status.stages
    left = {name: done.outputs for name, done in stages.items() if name not in (STAGE.name, "report")}
    return digest(left)


STAGE = Stage("record", _execute, keys=("expect", "source", "places"), exit_code=5, reads=(EVALUATION,))
