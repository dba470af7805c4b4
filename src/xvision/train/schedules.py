"""Learning-rate schedules: the factor that multiplies the optimizer's `lr` at every step.

A builder gets the length of the training in epochs and gives a function from the epoch (a fraction: 2.5 is
the middle of the third epoch) to a factor. `factor` adds the warm-up that all of them share.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable

from xvision.config.parts import Registry

schedule = Registry("schedule", "xvision.train.schedules")

Schedule = Callable[[float], float]


@schedule
def constant(epochs: float) -> Schedule:
    """The learning rate stays as it is."""
    return lambda epoch: 1.0


@schedule
def cosine(epochs: float, *, final: float = 0.0) -> Schedule:
    """Half a cosine from 1 to `final`.

    Source: Loshchilov and Hutter, SGDR, ICLR 2017, equation 5, without restarts.

    >>> [round(cosine(10)(e), 3) for e in (0, 5, 10)]
    [1.0, 0.5, 0.0]
    """
    return lambda epoch: final + (1 - final) * (1 + math.cos(math.pi * min(epoch / epochs, 1.0))) / 2


@schedule
def poly(epochs: float, *, power: float = 0.9) -> Schedule:
    """(1 - progress) ** power, common in segmentation.

    Source: Chen et al., DeepLab, TPAMI 2018, section 4.1.1.

    >>> [round(poly(10, power=2)(e), 3) for e in (0, 5, 10)]
    [1.0, 0.25, 0.0]
    """
    return lambda epoch: float((1 - min(epoch / epochs, 1.0)) ** power)


@schedule
def step(epochs: float, *, milestones: tuple[float, ...] = (0.5, 0.75), factor: float = 0.1) -> Schedule:
    """Multiplied by `factor` at each milestone, a fraction of the training.

    Source: He et al., Deep Residual Learning, CVPR 2016, section 4.2 (CIFAR-10: at 1/2 and 3/4).

    >>> [round(step(40)(e), 3) for e in (0, 19.9, 20, 30)]
    [1.0, 1.0, 0.1, 0.01]
    """
    if list(milestones) != sorted(milestones) or not all(0 < m < 1 for m in milestones):
        raise ValueError(
            "train.schedule.milestones: expected growing fractions of the training between 0 and 1, "
            f"got {milestones}"
        )
    return lambda epoch: float(factor ** bisect_right([m * epochs for m in milestones], epoch))


@schedule
def exponential(epochs: float, *, gamma: float = 0.97) -> Schedule:
    """Multiplied by `gamma` each epoch, smoothly.

    >>> round(exponential(30, gamma=0.5)(2), 3)
    0.25
    """
    return lambda epoch: float(gamma**epoch)


def factor(inner: Schedule, done: int, steps_per_epoch: int, warmup_epochs: float) -> float:
    """What multiplies the learning rate of the next step after `done` steps.

    `inner` times a linear ramp that reaches 1 after `warmup_epochs`. The ramp does not shift `inner`: milestones and
    ends stay where they are. Source: Goyal et al., Accurate, Large Minibatch SGD, 2017, section 2.2.

    >>> [round(factor(constant(10), done, 4, warmup_epochs=1), 3) for done in (0, 1, 3, 4)]
    [0.25, 0.5, 1.0, 1.0]
    """
    ramp = min(1.0, (done + 1) / (warmup_epochs * steps_per_epoch)) if warmup_epochs else 1.0
    return ramp * inner(done / steps_per_epoch)
