"""Decoders, one file each."""

from xvision.config.parts import Registry

decoder = Registry("decoder", "xvision.models.decoders")
