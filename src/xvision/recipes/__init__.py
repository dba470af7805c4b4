"""Recipes: functions that return a Recipe, one file a data set and task."""

from xvision.config.parts import Registry

recipe = Registry("recipe", "xvision.recipes")
