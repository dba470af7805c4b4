"""Rungs of post-training quantization: steps that bring the integer network nearer to the float one, one file each.

A rung is `rung(fitting, *, settings)`, see `xvision.quant.fitting`: it changes the fitting in place, is judged on
images that it was not fitted to, and is undone where it makes the outputs worse.
"""

from __future__ import annotations

from typing import Annotated

from xvision.config.ordered import OrderedParts, ordered_parts_of
from xvision.config.parts import Registry

rung = Registry("rung", "xvision.quant.rungs")

Rungs = Annotated[OrderedParts | str, ordered_parts_of(rung)]
