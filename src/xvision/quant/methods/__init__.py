"""Quantization methods: how ranges and weights are found, one file each.

A method is `method(context, *, settings) -> fx.GraphModule`, see `xvision.quant.context`.
"""

from xvision.config.parts import Registry

method = Registry("method", "xvision.quant.methods")
