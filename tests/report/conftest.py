"""Reports of made-up runs, written once for all tests that only read them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.report.made_up_run import make_run
from xvision.report.html import write_report


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run that reached its end."""
    return write_report(make_run(tmp_path_factory.mktemp("whole")))
