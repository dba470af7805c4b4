"""Backbones, one file a family."""

from xvision.parts import Registry

backbone = Registry("backbone", "xvision.models.backbones")
