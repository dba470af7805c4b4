"""Flow errors, by hand."""

from __future__ import annotations

import math
import runpy
from pathlib import Path

import pytest
import torch

from xvision.tasks.metrics.flow import FlowMetric

ROOT = Path(__file__).parents[3]


def test_errors_and_outliers_by_hand() -> None:
    """Errors 5, 4, 2, 4 px of flows 10, 100, 0, 0 px: the second is under 5 %, the third under 3 px; one unknown."""
    truth = torch.zeros(1, 2, 1, 5)
    truth[0, 0, 0] = torch.tensor([10.0, 100.0, 0.0, 0.0, torch.nan])
    prediction = torch.zeros(1, 2, 1, 5)
    prediction[0, 0, 0] = torch.tensor([13.0, 104.0, 0.0, -4.0, 7.0])
    prediction[0, 1, 0, 0], prediction[0, 1, 0, 2] = 4, 2
    m = FlowMetric()
    m.update({"flow": prediction}, {"flow": truth})
    assert m.compute() == pytest.approx({"epe_px": (5 + 4 + 2 + 4) / 4, "outlier_ratio": 50})


def test_confidence_knows_where_estimated_flow_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """The benchmark on a few scenes: what is trusted is nearer to the truth than what is not."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")  # as when it is called as a script
    rows = runpy.run_path(str(ROOT / "benchmarks/flow.py"))["measure"]((64, 96), 6, "street")
    for method in ("dis", "farneback"):
        trusted, rest = rows[f"{method}, trusted"], rows[f"{method}, not trusted"]
        assert trusted["share"] + rest["share"] == pytest.approx(100)
        assert trusted["epe_px"] < rows[method]["epe_px"] < rest["epe_px"]
        assert rows[method]["epe_px"] == pytest.approx(
            (trusted["share"] * trusted["epe_px"] + rest["share"] * rest["epe_px"]) / 100
        )
    assert rows["dis"]["epe_px"] < rows["without flow"]["epe_px"]


def test_the_prediction_alone_makes_no_outlier() -> None:
    """The original divides by mistake the norm of the prediction; a right long flow is no outlier."""
    m = FlowMetric()
    m.update({"flow": torch.full((1, 2, 2, 2), 50.0)}, {"flow": torch.full((1, 2, 2, 2), 50.0)})
    assert m.compute() == {"epe_px": 0, "outlier_ratio": 0}


def test_a_smaller_prediction_grows_in_size_and_value() -> None:
    m = FlowMetric()
    truth = torch.tensor([4.0, 2.0]).reshape(2, 1, 1).expand(2, 4, 8)
    m.update({"flow": torch.ones(1, 2, 2, 2)}, {"flow": [truth]})
    assert m.compute()["epe_px"] == pytest.approx(0)


def test_nothing_known_is_no_number() -> None:
    m = FlowMetric()
    m.update({"flow": torch.zeros(1, 2, 1, 1)}, {"flow": torch.full((1, 2, 1, 1), torch.nan)})
    assert all(math.isnan(v) for v in m.compute().values())
