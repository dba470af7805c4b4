"""Datasets, one file each."""

from xvision.parts import Registry

dataset = Registry("dataset", "xvision.data.datasets")
