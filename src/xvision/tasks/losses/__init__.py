"""Losses of maps of pixels, one kind of map per file; `weighted.py` adds several up."""

from xvision.config.parts import Registry

loss = Registry("loss", "xvision.tasks.losses")
