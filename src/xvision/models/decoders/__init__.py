"""Decoders, one file each."""

from xvision.parts import Registry

decoder = Registry("decoder", "xvision.models.decoders")
