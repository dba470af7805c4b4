"""Named networks: functions that return a Net."""

from xvision.config.parts import Registry

preset = Registry("preset", "xvision.models.presets")
