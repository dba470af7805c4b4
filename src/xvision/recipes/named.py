"""Recipes and networks by name: what `import xvision as xv` offers beside the rooms' own functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xvision.recipes import recipe as recipes
from xvision.recipes.compose import compose
from xvision.recipes.overrides import override
from xvision.recipes.schema import Recipe, read_recipe

if TYPE_CHECKING:
    from xvision.models.model import Model


def recipe(name: str, *overrides: str) -> Recipe:
    """The recipe `name` (or of a YAML file) with ``key=value`` overrides; ValueError lists all problems.

    Names joined by + give one recipe for all their tasks (see `xvision.recipes.compose.compose`).
    """
    from pathlib import Path

    if name.endswith((".yaml", ".yml")):
        return override(read_recipe(Path(name)), overrides)
    try:
        built: list[Recipe] = [recipes.builder(one).load()() for one in name.split("+")]
    except ValueError as e:
        if (Path(name) / "recipe.yaml").is_file():
            raise ValueError(
                f"{name}: expected a recipe, it is the folder of a run; `xvision report {name}` goes on with it, "
                f"`xvision train --resume {name}` with its training"
            ) from None
        raise ValueError(f"{e}; see `xvision list recipe`") from None
    return override(compose(built), overrides)


def build(recipe: Recipe) -> Model:
    """The network of a recipe: uint8 (B, 3, H, W) in, dict of raw outputs out."""
    import torch

    from xvision.data.concat import open_data
    from xvision.models.build import build_model
    from xvision.tasks.multi import build_task

    torch.manual_seed(recipe.seed)
    task = build_task(recipe.task, open_data(recipe.data).classes)
    return build_model(recipe.net, task.outputs_by_task, recipe.data.size)
