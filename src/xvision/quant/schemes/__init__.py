"""Quantization schemes: what numbers a device computes with, one file each."""

from xvision.config.parts import Registry

scheme = Registry("scheme", "xvision.quant.schemes")
