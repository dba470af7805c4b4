"""What processes that train together exchange at each step, and when a link is full: from the record of a run alone.

A ring all-reduce of n processes sends 2 (n - 1) / n of the gradients from each of them, and as many come in at the same
time: with many processes twice the gradients, whatever their number. Source: Patarasuk and Yuan, Bandwidth optimal
all-reduce algorithms for clusters of workstations, JPDC 2009, section 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from xvision.runs.record import Record

BYTES = 4
"""Of a gradient: they are exchanged in fp32, whatever the precision of the forward pass."""
RING = 2.0
"""Of the gradients each process sends, where there are many."""


@dataclass(frozen=True)
class Exchange:
    """A step of one process.

    Units: step_s is seconds of computing, batch is images.
    """

    num_params: int
    batch: int
    step_s: float

    @classmethod
    def of(cls, record: Record) -> Self | None:
        """Of the training in a record; None where there was none, or it does not say of how many steps.

        Seconds are those of processors by the threads that computed, so that other work on the machine does not
        count; validation is in them.
        """
        train = record.recipe["train"]
        batch = train["batch_size"] * train["accumulate"]
        steps = record.num_steps
        if not steps and not train["max_steps"]:  # a record from before they were written down
            steps = train["epochs"] * max(1, record.data["train"].num_samples // batch)
        if not steps or "train" not in record.stages:
            return None
        return cls(record.cost.params, batch, record.stages["train"].cpu_s / record.machine.threads / steps)

    @property
    def sent_bytes(self) -> float:
        """Of a step, from each process; as many are received."""
        return RING * BYTES * self.num_params

    def link_s(self, gbit_per_s: float) -> float:
        """How long a step's gradients are on a link in each direction."""
        return self.sent_bytes * 8 / (gbit_per_s * 1e9)

    def share(self, gbit_per_s: float) -> float:
        """Of the time of a step that the link is busy; more than 1: it cannot keep up.

        >>> round(Exchange(num_params=1_000_000, batch=32, step_s=0.64).share(1), 3)
        0.1
        """
        return self.link_s(gbit_per_s) / self.step_s

    def full_img_per_s(self, gbit_per_s: float) -> float:
        """Images per second of one process at which the link is full.

        >>> Exchange(num_params=1_000_000, batch=32, step_s=0.64).full_img_per_s(1)
        500.0
        """
        return self.batch / self.link_s(gbit_per_s)
