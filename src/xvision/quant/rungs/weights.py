"""Integer weights in closed form."""

from __future__ import annotations

from xvision.quant.fitting import Fitting
from xvision.quant.reconstruct import correct_bias, reconstruct
from xvision.quant.rungs import rung


@rung
def weights(fitting: Fitting) -> None:
    """Scales, integer weights and biases that reproduce each layer's float outputs, in closed form.

    See `xvision.quant.reconstruct`. In a layer where they do not help, biases alone are corrected, or nothing.
    """
    fitting.correct_layers(lambda name: {"bias": correct_bias, "weights": reconstruct})
