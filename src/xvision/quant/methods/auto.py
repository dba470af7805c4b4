"""Post-training quantization as far as it is needed: rung by rung, until the network is good enough."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field
from torch import fx

from xvision.console import Console
from xvision.models.inputs import Inputs
from xvision.quant.context import Context
from xvision.quant.drop import Score, drop, score
from xvision.quant.ladder import Judgement, Ladder
from xvision.quant.methods import method
from xvision.quant.methods.ptq import in_order
from xvision.quant.rungs import Rungs

if TYPE_CHECKING:
    from xvision.data.loader import Loader
    from xvision.tasks.contract import Task


@method
def auto(
    context: Context,
    *,
    max_drop: Annotated[float, Field(allow_inf_nan=False)] = 0.5,
    qat: bool = False,
    num_images: Annotated[int, Field(ge=1)] = 256,
    rungs: Rungs = "mse,equalize,weights,output,adaround,tqt",
) -> fx.GraphModule:
    """Post-training quantization rung by rung, from cheap to expensive, until little enough is lost.

    What is lost is measured with the task's primary metric on labelled training images, not augmented, that calibration
    does not use: as many as there are for validation, 500 to 2,000, fewer where there are no more. Where all `rungs`
    lose more than `max_drop`, in the unit of the metric, `qat` trains the network on (the method of that name, with its
    own defaults). Images of validation are never looked at. Calibration takes `num_images`, half of the training images
    at most.
    """
    training = method.part("qat") if qat else None  # says at once if there is none
    task, judging, available = context.for_judging()
    num_images = min(num_images, max(1, available // 2))
    ladder = Ladder(context, num_images)
    judge = Judge(context, task, judging(num_images), ladder.fitting.reference)
    ladder.judge = judge
    for part in in_order(rungs):
        ladder.climb(part)
        if ladder.lost <= max_drop:
            return ladder.graph
    if training is not None:
        ladder.retrain("qat", lambda graph: training.build(replace(context, quantized=graph)))
    if ladder.lost > max_drop:
        more = "quant.method=qat trains longer" if qat else "quant.qat=true trains it on"
        judge.console.warn(
            f"quant.max_drop: expected to lose at most {max_drop:g} {judge.unit}, got {ladder.lost:.2f}; {more}, or "
            "take another scheme, or more bits in the layers that lose most"
        )
    return ladder.graph


class Judge:
    """Measures networks on labelled images, against the float one: what a ladder asks after each rung."""

    def __init__(self, context: Context, task: Task, loader: Loader, reference: fx.GraphModule) -> None:
        self.task, self.loader = task, loader
        self.inputs: Inputs = context.network.inputs  # type: ignore[assignment]
        self.spec = task.spec(task.primary)
        self.console = context.console if context.processes.is_first else Console(quiet=True)
        self.wanted = self._score(reference)
        if math.isnan(self.wanted.value):
            raise ValueError(
                f"quant.method=auto: expected labelled training images to judge by, none of {loader.num_samples} has "
                "labels; take quant.method=ptq"
            )
        self.console.print(
            f"  judged by {self.spec.label} on {loader.num_samples} training images that calibration does not use: "
            f"{self.wanted.value:.2f} in float"
        )

    @property
    def unit(self) -> str:
        """Of what is lost."""
        return "points" if self.spec.unit == "%" else self.spec.unit

    def __call__(self, graph: fx.GraphModule) -> Judgement:
        found = self._score(graph)
        lost = drop(self.wanted, found, self.spec.larger_is_better)
        return Judgement(found.value, lost.value, lost.standard_error)

    def _score(self, graph: fx.GraphModule) -> Score:
        return score(graph.eval(), self.task, self.loader, self.inputs)
