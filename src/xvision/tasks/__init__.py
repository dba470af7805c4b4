"""Tasks, one file each."""

from xvision.config.parts import Registry

task = Registry("task", "xvision.tasks")
