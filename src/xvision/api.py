"""Recipes and networks by name: what `import xvision as xv` offers beside the rooms' own functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xvision.recipe import Recipe, override, read_recipe
from xvision.recipes import recipe as recipes

if TYPE_CHECKING:
    from xvision.models.model import Model


def recipe(name: str, *overrides: str) -> Recipe:
    """The recipe `name` (or of a YAML file) with ``key=value`` overrides; ValueError lists all problems."""
    from pathlib import Path

    if name.endswith((".yaml", ".yml")):
        return override(read_recipe(Path(name)), overrides)
    try:
        built: Recipe = recipes.builder(name).load()()
    except ValueError as e:
        raise ValueError(f"{e}; see `xvision list recipe`") from None
    return override(built, overrides)


def build(recipe: Recipe) -> Model:
    """The network of a recipe: uint8 (B, 3, H, W) in, dict of raw outputs out."""
    import torch

    from xvision.models.build import build_model

    torch.manual_seed(recipe.seed)
    task = recipe.task.build(recipe.data.dataset.build().classes)
    return build_model(recipe.net, task.outputs, recipe.data.size)
