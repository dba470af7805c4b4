"""Stage: write a network of the run as a file of each format that the recipe names for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xvision.pipeline import quantize, train
from xvision.pipeline.stage import Left, Stage
from xvision.runs.names import FLOAT

if TYPE_CHECKING:
    from xvision.recipes.schema import Recipe
    from xvision.runs.run import Run


def stage(network: str) -> Stage:
    """That of the network of this name."""
    maker = train.STAGE if network == FLOAT else quantize.stage(network)
    return Stage(
        "export",
        lambda run: _execute(run, network),
        keys=("name", "export"),
        exit_code=5,
        network=network,
        after=(maker.name,),
        applies=lambda run: bool(run.formats(network)),
    )


def _execute(run: Run, network: str) -> Left:
    from xvision.export.contract import Contents
    from xvision.export.description import as_metadata, described

    export = run.recipe.export
    batch = None if export.batch == "free" else export.batch
    images = tuple(plane[:2] for plane in next(run.planes("val")))
    contents = Contents(images, run.id_maps, {}, batch, export.opset)
    made = run.network(network)
    for one in run.formats(network):
        facts = {**described(one, made, contents), **_of_the_run(run, network)}
        file = run.files.new(run.exported(network, one))
        one.write(made, file, replace(contents, metadata=as_metadata(facts)))
    return Left()


def _of_the_run(run: Run, network: str) -> dict[str, Any]:
    """What a file says beside what its network knows: how inputs are made from images, and where all comes from."""
    from xvision.data.preprocessing import preprocessing
    from xvision.models.weights import provenance

    recipe = run.recipe_of(network)
    return {
        "network": network,
        "task": run.task.name,
        "classes": run.task.classes,
        "preprocessing": preprocessing(run.recipe.data, run.framing, run.inputs.fields),
        "weights": provenance(run.recipe.net.weights, run.model.published),
        "recipe": _portable(recipe),
        "recipe_id": recipe.id,
        "data_sha256": run.digests,
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
