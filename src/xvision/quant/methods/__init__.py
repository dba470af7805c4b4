"""Quantization methods: how the ranges are found, one file each."""

from xvision.config.parts import Registry

method = Registry("method", "xvision.quant.methods")
