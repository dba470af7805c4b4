"""Recipes and networks by name: what `import xvision as xv` offers beside the rooms' own functions."""

from __future__ import annotations

from xvision.recipes import recipe as recipes
from xvision.recipes.compose import compose
from xvision.recipes.overrides import override
from xvision.recipes.schema import Recipe, read_recipe


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
        if Path(name).is_dir():
            raise ValueError(
                f"{name}: expected a recipe, got a folder; if it holds a run, `xvision report {name}` brings it up to "
                f"date and `xvision train --resume {name}` continues its training"
            ) from None
        raise ValueError(f"{e}; see `xvision list recipe`") from None
    return override(compose(built), overrides)
