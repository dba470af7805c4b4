"""Datasets, one file each."""

from xvision.config.parts import Registry

dataset = Registry("dataset", "xvision.data.datasets")
