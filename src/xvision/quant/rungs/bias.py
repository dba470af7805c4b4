"""The mean of each channel restored."""

from __future__ import annotations

from xvision.quant.fitting import Fitting
from xvision.quant.reconstruct import correct_bias
from xvision.quant.rungs import rung


@rung
def bias(fitting: Fitting) -> None:
    """Empirical bias correction, layer by layer: each output channel gets the mean that it has in float.

    Source: Nagel et al., Data-Free Quantization, ICCV 2019, section 4.2; means are of calibration images here.
    """
    fitting.correct_layers(lambda name: {"bias": correct_bias})
