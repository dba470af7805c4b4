"""What people see while a command runs: text, warnings, tables and progress.

On a terminal progress is a bar with ETA; elsewhere it is a plain line now and then, without escape sequences.
With `json` standard output belongs to the one result object, and everything else goes to standard error.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    import rich.progress

SECONDS_BETWEEN_LINES = 10.0


def short(value: Any) -> str:
    """A number in as few characters as people need.

    >>> short(0.000123456), short(87.654321), short(12), short("scenes")
    ('0.0001235', '87.65', '12', 'scenes')
    """
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def duration(seconds: float) -> str:
    """
    >>> duration(9.4), duration(75), duration(7325)
    ('0:09', '1:15', '2:02:05')
    """
    minutes, s = divmod(int(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02}:{s:02}" if hours else f"{m}:{s:02}"


class Progress:
    """Progress of one piece of work; a total of 0 is unknown."""

    def __init__(self, console: Console, description: str, total: int, done: int) -> None:
        self.description = description
        self.total = total
        self.done = done
        self.fields: dict[str, Any] = {}
        self._console = console
        self._start = done
        self._started = self._shown = time.monotonic()
        bar = console._bar
        self._task = (
            None if bar is None else bar.add_task(description, total=total or None, completed=done, text="")
        )

    def advance(self, n: int = 1, **fields: Any) -> None:
        """`n` more are done; `fields` (loss=…, best=…) stay visible until they are given again."""
        self.done += n
        if fields:
            self.fields |= fields
        if self._task is not None and self._console._bar is not None:
            self._console._bar.update(self._task, advance=n, text=self._text())
        elif time.monotonic() - self._shown > SECONDS_BETWEEN_LINES:
            self._shown = time.monotonic()
            self._console.print(self._line())

    def close(self) -> None:
        if self._task is not None and self._console._bar is not None:
            self._console._bar.remove_task(self._task)

    def _text(self) -> str:
        return "  ".join(f"{name} {short(value)}" for name, value in self.fields.items())

    def _line(self) -> str:
        rate = (self.done - self._start) / max(time.monotonic() - self._started, 1e-9)
        if not self.total:
            return f"{self.description}: {self.done}  {rate:.3g} it/s  {self._text()}".rstrip()
        left = duration((self.total - self.done) / rate) if rate else "-:--"
        share = 100 * self.done // max(self.total, 1)
        numbers = f"{self.done}/{self.total} {share}%  {rate:.3g} it/s  ETA {left}"
        return f"{self.description}: {numbers}  {self._text()}".rstrip()


class Console:
    """Text and progress of one command."""

    def __init__(self, json: bool = False, quiet: bool = False) -> None:
        self.json = json
        self.quiet = quiet
        self._bar: rich.progress.Progress | None = None
        self._num_open = 0

    @property
    def stream(self) -> TextIO:
        """Standard output, or standard error when that is taken by the JSON result."""
        return sys.stderr if self.json else sys.stdout

    def print(self, text: str = "") -> None:
        if not self.quiet:
            self._write(text, self.stream)

    def warn(self, text: str) -> None:
        """One line on standard error, also when quiet."""
        self._write(f"warning: {text}", sys.stderr)

    def table(self, rows: Sequence[Sequence[Any]], header: Sequence[str] = ()) -> None:
        """Aligned columns; numbers to the right."""
        cells = [list(header)] * bool(header) + [[short(cell) for cell in row] for row in rows]
        if not cells:
            return
        widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
        right = [all(isinstance(row[i], int | float) for row in rows) for i in range(len(widths))]
        for row in cells:
            columns = zip(row, widths, right, strict=True)
            self.print("  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in columns).rstrip())

    @contextlib.contextmanager
    def progress(self, description: str, total: int, done: int = 0) -> Iterator[Progress]:
        """Progress of `total` pieces, `done` of them before; several may be open at once."""
        if not self.quiet and self._num_open == 0 and self.stream.isatty():
            self._bar = _bar(self.stream)
            self._bar.start()
        self._num_open += 1
        progress = Progress(self, description, total, done)
        try:
            yield progress
        finally:
            progress.close()
            self._num_open -= 1
            if self._num_open == 0 and self._bar is not None:
                self._bar.stop()
                self._bar = None

    def _write(self, text: str, stream: TextIO) -> None:
        if self._bar is not None:  # above the bar
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=stream, flush=True)


def _bar(stream: TextIO) -> rich.progress.Progress:
    from rich.console import Console as RichConsole
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.3g} it/s" if task.speed else "")

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        Rate(),
        TextColumn("ETA"),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[text]}", markup=False),
        console=RichConsole(file=stream),
        refresh_per_second=4,
        transient=True,
    )
