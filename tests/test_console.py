from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from xvision import console
from xvision.console import Console


def test_text_goes_to_stdout_and_with_json_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    Console().print("one")
    Console(json=True).print("two")
    Console(quiet=True).print("three")
    Console(quiet=True).warn("four")
    assert capsys.readouterr() == ("one\n", "two\nwarning: four\n")


def test_tables_are_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    Console().table([["float", 88.123456], ["int8", 7.0]], header=["network", "top1"])
    assert capsys.readouterr().out == "network   top1\nfloat    88.12\nint8         7\n"
    Console().table([])
    assert capsys.readouterr().out == ""


def test_without_a_terminal_progress_is_plain_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "SECONDS_BETWEEN_LINES", 0.0)
    with Console().progress("training", 10, done=4) as progress:
        progress.advance(2, loss=1.25)
        progress.advance(1)
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("training: 6/10 60%  ")
    assert first.endswith("  loss 1.25")
    assert " it/s  ETA 0:0" in first
    assert second.startswith("training: 7/10 70%")
    assert second.endswith("  loss 1.25"), "fields stay"


def test_quick_work_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Console().progress("validation", 2) as progress:
        progress.advance(2)
    assert capsys.readouterr().out == ""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_progress_is_a_bar_with_text_above(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    shown = Console()
    with shown.progress("training", 10) as outer:
        outer.advance(5, loss=0.5, best=[1])
        with shown.progress("validation", 4) as inner:
            inner.advance(4)
            shown.print("epoch 1 [bold]done[/bold]")
    text = terminal.getvalue()
    assert "epoch 1 [bold]done[/bold]" in text, "names with brackets are not markup"
    assert "5/10" in text
    assert "ETA" in text
    assert "loss 0.5  best [1]" in text
    assert "validation" in text


def test_rich_is_imported_for_a_bar_only() -> None:
    code = (
        "import sys; from xvision.console import Console; Console().print('x'); print('rich' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parent
    )
    assert done.stdout == "x\nFalse\n"
