"""Export formats: what a network is written as, one file each."""

from xvision.config.parts import Registry

export_format = Registry("export_format", "xvision.export.formats")
