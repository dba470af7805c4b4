"""Backbones, one file a family."""

from xvision.config.parts import Registry

backbone = Registry("backbone", "xvision.models.backbones")
