"""Stage: write the network as a file of each format that the recipe names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xvision.pipeline.stage import Left, Stage

if TYPE_CHECKING:
    from xvision.recipes.schema import Recipe
    from xvision.runs.run import Run


def _execute(run: Run) -> Left:
    from xvision.export.contract import Contents

    export = run.recipe.export
    batch = None if export.batch == "free" else export.batch
    contents = Contents(next(run.planes("val")), run.id_maps, _metadata(run), batch, export.opset)
    for one in run.formats():
        one.write(run.network(one.network), run.files.new(run.exported(one)), contents)
    return Left()


def _metadata(run: Run) -> dict[str, str]:
    """What a file says of itself: how to prepare its inputs, what its outputs mean, and where it comes from."""
    recipe = run.recipe
    preprocessing = {
        "pixels": recipe.net.pixels,
        "inputs": recipe.net.inputs,
        "codes": run.inputs.coding,
        **({} if run.inputs.fields == ("image",) else {"frame_gap": recipe.data.frame_gap}),
        "size": "x".join(map(str, recipe.data.size)),
        "framing": run.framing.kind,
        **({"crop_ratio": run.framing.crop_ratio} if run.framing.kind == "crop" else {}),
        "crop_rect": recipe.data.crop_rect,
    }
    return {
        "task": run.task.name,
        "classes": json.dumps(run.task.classes),
        "class_ids": json.dumps(run.id_maps),  # outputs that are ids and not scores
        "preprocessing": json.dumps(preprocessing),
        "recipe": json.dumps(_portable(recipe)),
        "recipe_id": recipe.id,
        "data_sha256": json.dumps(run.digests),
    }


def _portable(recipe: Recipe) -> dict[str, Any]:
    """The recipe without the folders of the machine that trained it, to be read elsewhere."""
    plain = recipe.to_dict()
    plain["data"]["dataset"] = {
        part.name: {k: v for k, v in part.settings.items() if not _is_place(v)}
        for part in recipe.data.dataset
    }
    if _is_place(recipe.net.weights):
        plain["net"]["weights"] = Path(recipe.net.weights).name
    return plain


def _is_place(value: Any) -> bool:
    return isinstance(value, str) and Path(value).is_absolute()


STAGE = Stage("export", _execute, keys=("name", "export"), exit_code=5)
