"""Executors: what runs a network or a file, one file each."""

from xvision.config.parts import Registry

executor = Registry("executor", "xvision.export.executors")
