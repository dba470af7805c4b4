"""How a training ends early; `exit_code` is what the command returns."""

from __future__ import annotations

import signal


class TrainingError(ValueError):
    """The training cannot continue, for a reason that the user can fix."""

    exit_code = 4


class NonFiniteLossError(TrainingError):
    """The loss, or a weight, became NaN or infinite."""


class PeerError(TrainingError):
    """Another process of the group has ended, or does not answer."""


class CheckpointError(TrainingError):
    """A checkpoint cannot be written, read or continued."""


class Interrupted(Exception):
    """SIGINT or SIGTERM was received; the state is saved and the same command continues there."""

    def __init__(self, signum: int, message: str) -> None:
        super().__init__(message)
        self.signal = signal.Signals(signum)
        self.exit_code = 128 + signum
