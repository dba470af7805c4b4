"""Reports of made-up runs, written once for all tests that only read them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.report.made_up_run import make_run
from xvision.report.html import page
from xvision.runs.files import RunFiles


def report(folder: Path) -> str:
    """The report of a run in a folder."""
    return page(RunFiles(folder))


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run that reached its end."""
    folder = make_run(tmp_path_factory.mktemp("whole"))
    (folder / "report.html").write_text(report(folder), encoding="utf-8")
    return folder / "report.html"
