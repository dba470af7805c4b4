"""Ranges of least squared error."""

from __future__ import annotations

from xvision.quant.fitting import Fitting, Ranges
from xvision.quant.observer import HistogramObserver, set_weight_scale
from xvision.quant.rungs import rung


@rung
def mse(fitting: Fitting) -> None:
    """Ranges of least squared error: rounding inside and saturation outside taken together."""
    fitting.find_ranges(Ranges(HistogramObserver.best_scale, set_weight_scale))
