"""The report in a real browser: it renders, complains of nothing and asks the network for nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import cv2
import pytest

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium here")


@dataclass
class Visit:
    """What a browser made of a page."""

    dom: str
    complaints: list[str]
    requests: list[str]
    picture: Path


def visit(page: Path, place: Path) -> Visit:
    """Load a page in a fresh browser for which no host name exists."""
    assert BROWSER is not None
    picture, net_log = place / "page.png", place / "net.json"
    flags = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --hide-scrollbars --window-size=1200,2400 --enable-logging=stderr "
        f"--user-data-dir={place / 'profile'} --log-net-log={net_log} --screenshot={picture} --dump-dom"
    ).split()
    no_network = "--host-resolver-rules=MAP * ~NOTFOUND"
    done = subprocess.run(
        [BROWSER, *flags, no_network, page.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    starts = [event.get("params", {}) for event in json.loads(net_log.read_text())["events"]]
    # The browser's own errands have no origin; what the page asks for has one.
    asked = [p["url"] for p in starts if p.get("initiator", "not an origin") != "not an origin"]
    return Visit(done.stdout, complaints, [u for u in asked if not u.startswith(("file:", "data:"))], picture)


def test_the_report_opens_offline(whole: Path, tmp_path: Path) -> None:
    seen = visit(whole, tmp_path)
    assert seen.complaints == []
    assert seen.requests == []
    for text in (
        "cifar10_classification",
        "Verified: 0 LSB",
        "Confusion matrix",
        "Sample predictions",
        "Provenance",
    ):
        assert text in seen.dom
    picture = cv2.imread(str(seen.picture))
    assert picture is not None
    assert picture.shape == (2400, 1200, 3)
    assert picture[:600].std() > 5  # heading, verdict, cards
    assert picture[1200:2100].std() > 20  # the confusion matrices are drawn, not left blank


def test_the_browser_would_have_told(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text('<img src="http://images.invalid/a.png"><script>console.error("trouble")</script>')
    seen = visit(page, tmp_path)
    assert len(seen.complaints) >= 1
    assert seen.requests == ["http://images.invalid/a.png"]
