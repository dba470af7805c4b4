"""Tasks, one file each."""

from xvision.parts import Registry

task = Registry("task", "xvision.tasks")
