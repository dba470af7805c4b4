"""One clock for every contender of benchmarks/peers.py: it counts the steps of whatever optimizer torch runs.

A contender is a program of its own that trains as its maker meant it to and knows nothing of being timed: PyTorch tells
of each optimizer step. After one epoch and `WARM_STEPS` the clock counts for `seconds`, stops the training by an
exception and prints one line of JSON. Only what the peers' own environments have is imported here.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

WARM_STEPS = 2


class Enough(BaseException):
    """The clock has seen what it wanted; no Exception, so that no training takes it for its own failure."""


@dataclass(frozen=True)
class Work:
    """What to train, the same for all contenders."""

    images: str  # folder with train/ and val/, one folder a class in each
    size: int  # px, height and width
    batch: int
    num_images: int
    workers: int  # loader processes
    seconds: float  # that are counted after the warm-up
    out: str  # a folder that is empty
    started: float  # when the process was started, in seconds of time.time()

    @classmethod
    def given(cls) -> Work:
        """The one that the driver wrote on the command line."""
        return cls(**json.loads(sys.argv[1]))

    @property
    def warm_steps(self) -> int:
        """The first epoch, in which caches are filled and loaders start, and a little of the second."""
        return self.num_images // self.batch + WARM_STEPS


class Clock:
    """Times of steps; its `step` is called after each."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.num_steps = 0
        self.first = self.begin = self.cpu_s = 0.0
        self.found: dict[str, float] = {}

    def step(self, *_: Any) -> None:
        now = time.time()
        self.num_steps += 1
        if self.num_steps == 1:
            self.first = now
        if self.num_steps == self.work.warm_steps:
            self.cpu_s = _cpu_s()
            self.begin = time.time()
        elif self.begin and now - self.begin >= self.work.seconds:
            self._finish(now)
            raise Enough

    def _finish(self, now: float) -> None:
        images = (self.num_steps - self.work.warm_steps) * self.work.batch
        self.found = {
            "img_per_s": images / (now - self.begin),
            "whole_img_per_s": self.num_steps * self.work.batch / (now - self.work.started),
            "cpu_ms_per_img": 1e3 * (_cpu_s() - self.cpu_s) / images,
            "peak_mib": _peak_mib(),
            "first_step_s": self.first - self.work.started,
        }


def timed(train: Callable[[Work], None]) -> None:
    """Run `train` until the clock has seen enough and print what it found, alone on stdout."""
    work = Work.given()
    clock = Clock(work)
    with told_apart() as line:
        from torch.optim.optimizer import register_optimizer_step_post_hook

        register_optimizer_step_post_hook(clock.step)
        with contextlib.suppress(Enough):
            train(work)
    if not clock.found:
        raise SystemExit(
            f"the training ended after {clock.num_steps} steps, before {work.seconds} s were counted"
        )
    line(clock.found)


@contextlib.contextmanager
def told_apart() -> Any:
    """What the contender prints goes to stderr; gives a function that writes one line of JSON to the real stdout."""
    sys.stdout.flush()
    real = os.dup(1)
    os.dup2(2, 1)
    yield lambda found: os.write(real, (json.dumps(found) + "\n").encode())


def _tree() -> list[psutil.Process]:
    own = psutil.Process()
    return [own, *own.children(recursive=True)]


def _cpu_s() -> float:
    """CPU seconds so far of this process and of its children, alive or gone."""
    return sum(sum(process.cpu_times()[:4]) for process in _tree())


def _peak_mib() -> float:
    """The peak of this process's resident memory, and what its loader processes hold for themselves."""
    status = Path("/proc/self/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    return peak / 1024 + sum(child.memory_full_info().uss for child in _tree()[1:]) / 2**20
