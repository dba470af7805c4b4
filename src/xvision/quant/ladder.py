"""Quantization rung by rung: each is judged on images that it was not fitted to, and undone if it does not help."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace

import torch
from torch import fx

from xvision.config.parts import Part
from xvision.quant.calibration import count, take
from xvision.quant.context import Context
from xvision.quant.fitting import Fitting, NoRangesError
from xvision.quant.insert import prepare
from xvision.quant.quality import Quality, RungQuality, heads_db
from xvision.quant.rungs import rung

MAY_LOSE_DB = 0.5
"""What a rung may cost one output where it helps the others more."""


@dataclass(frozen=True)
class Judgement:
    """What a network is worth on labelled images: the metric, what is lost of it, and how sure that is."""

    metric: float
    drop: float
    standard_error: float | None


class Ladder:
    """A network as the rungs that were climbed leave it.

    With a `judge`, labelled images tell of each rung that is kept what the network is worth.
    """

    judge: Callable[[fx.GraphModule], Judgement] | None = None

    def __init__(self, context: Context, num_images: int) -> None:
        images = take(context.calibration(), num_images)
        graph = prepare(context.network, images[0], context.scheme, context.program)
        self.context = context
        self.fitting = Fitting(context, graph, copy.deepcopy(graph), images)
        with torch.no_grad():
            self._wanted = [self.fitting.reference(*planes) for planes in self.fitting.judged]
        self.rungs: list[RungQuality] = []

    def climb(self, part: Part) -> None:
        """Do what a rung does, and undo it where it makes the outputs worse.

        Ranges come first and stay: those of `mse` where a rung needs some and there are none.
        """
        began = time.perf_counter()
        tried = self.fitting.copied()
        try:
            part.build(tried)
        except NoRangesError:
            self.climb(rung.part("mse"))
            self.climb(part)
            return
        seconds = time.perf_counter() - began
        db = heads_db(tried.graph, self._wanted, tried.judged)
        kept = not self.rungs or helps(self.heads_db, db)
        if kept:
            self.fitting = tried
        self._note(part.name, kept, db, seconds, self.judge(tried.graph) if kept and self.judge else None)

    def retrain(self, name: str, training: Callable[[fx.GraphModule], fx.GraphModule]) -> None:
        """Let a training make another network of this one, and keep it unless the judge says that it is worse."""
        began = time.perf_counter()
        made = training(self.graph)
        seconds = time.perf_counter() - began
        db = heads_db(made, self._wanted, self.fitting.judged)
        found = self.judge(made) if self.judge else None
        kept = found is None or found.drop <= self.lost
        if kept:
            self.fitting = replace(self.fitting, quantized=made, layers={})
        self._note(name, kept, db, seconds, found)

    def _note(
        self, name: str, kept: bool, db: dict[str, float], seconds: float, found: Judgement | None
    ) -> None:
        judged = asdict(found) if found else {}
        self.rungs.append(RungQuality(name, kept, db, round(seconds, 2), **judged))
        if self.context.processes.is_first:
            self.context.console.print(f"  {line(self.rungs[-1])}")

    @property
    def lost(self) -> float:
        """Of the metric, by the network now; infinite before it was judged."""
        drops = [one.drop for one in self.rungs if one.kept and one.drop is not None]
        return drops[-1] if drops else math.inf

    @property
    def heads_db(self) -> dict[str, float]:
        """Signal to quantization noise of each output now."""
        return [one for one in self.rungs if one.kept][-1].heads_db

    @property
    def graph(self) -> fx.GraphModule:
        """The network now; in its `meta` are `quality` and, where a rung has rewritten it, the float `original`."""
        graph, judged = self.fitting.graph, self.fitting.judged
        if self.fitting.rewritten:
            graph.meta["original"] = self.fitting.reference
        num_fitted, num_judged = count(self.fitting.fitted), count(judged)
        graph.meta["quality"] = Quality(
            num_fitted,
            num_judged if num_fitted + num_judged == count(self.fitting.images) else 0,
            tuple(self.rungs),
            self.fitting.layers,
        )
        return graph


def helps(before: Mapping[str, float], after: Mapping[str, float]) -> bool:
    """Whether outputs together are nearer to the float ones, and none is much farther.

    >>> helps({"a": 20.0, "b": 30.0}, {"a": 25.0, "b": 29.8}), helps({"a": 20.0, "b": 30.0}, {"a": 25.0, "b": 29.0})
    (True, False)
    """
    return sum(after.values()) > sum(before.values()) and all(
        after[name] > before[name] - MAY_LOSE_DB for name in before
    )


def line(one: RungQuality) -> str:
    """What a rung gave, for people.

    >>> line(RungQuality("mse", True, {"class": 24.13, "depth": 31.0}, 1.234))
    'mse: class 24.1 dB, depth 31.0 dB (1.2 s)'
    >>> line(replace(RungQuality("bias", False, {"class": 24.1}, 12.0), metric=71.25, drop=0.5, standard_error=0.2))
    'bias: class 24.1 dB, metric 71.25, drop 0.50 ± 0.20 (12.0 s), left out'
    """
    texts = [f"{name} {db:.1f} dB" for name, db in one.heads_db.items()]
    if one.metric is not None:
        error = "" if one.standard_error is None else f" ± {one.standard_error:.2f}"
        texts.append(f"metric {one.metric:.2f}, drop {one.drop:.2f}{error}")
    return f"{one.name}: {', '.join(texts)} ({one.seconds:.1f} s)" + ("" if one.kept else ", left out")
