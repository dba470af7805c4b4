"""Ctrl-C and kill end a training between two steps, with its state saved."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any

from xvision.console import Console
from xvision.train.errors import Interrupted

CAUGHT = (signal.SIGINT, signal.SIGTERM)


class Signals:
    """While entered, SIGINT and SIGTERM set `received`; a second one stops at once, as Python does by itself.

    The handlers from before are restored on exit. Outside the main thread Python delivers no signals, and nothing
    is caught.
    """

    def __init__(self, console: Console) -> None:
        self.received = 0
        self._console = console
        self._raise = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            self._before = {s: signal.signal(s, self._handle) for s in CAUGHT}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for caught, handler in self._before.items():
            signal.signal(caught, handler)

    @contextlib.contextmanager
    def raising(self) -> Iterator[None]:
        """Inside, a signal raises `Interrupted` where it strikes: for long work that changes no weights."""
        self._raise = True
        try:
            if self.received:
                self._interrupt()
            yield
        finally:
            self._raise = False

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self.received:
            raise KeyboardInterrupt
        self.received = signum
        self._console.warn(f"{signal.Signals(signum).name}: saving (again: stop at once)")
        if self._raise:
            self._interrupt()

    def _interrupt(self) -> None:
        raise Interrupted(self.received, "interrupted")
