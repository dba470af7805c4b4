"""Quantization methods: how the ranges are found, one file each."""

from xvision.parts import Registry

method = Registry("method", "xvision.quant.methods")
