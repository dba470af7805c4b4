"""What is refused before a run computes anything: another recipe, changed files, other data, impossible settings."""

from __future__ import annotations

from collections.abc import Iterable

from xvision.data.dataset import DataError
from xvision.recipes.schema import Recipe, differing_keys
from xvision.runs.build import SettingError
from xvision.runs.files import RECIPE
from xvision.runs.names import FLOAT, check_name
from xvision.runs.run import Run

FREE_OF_TRAINING = ("quant.", "export.")
"""Sections of a recipe that a network that is trained does not depend on."""


def check_recipe(run: Run) -> None:
    """Raise ValueError if the folder's run was made with another recipe, or its recipe.yaml was edited since.

    What quantizes and exports may change, and so may what decides nothing; where nothing was done all may.
    """
    status = run.files.status
    if not status.stages and not run.files.checkpoints.exists():
        return
    there = run.files.made_with if run.files.has(RECIPE) else run.recipe
    made = Recipe.model_validate(status.recipe) if status.recipe else there
    changed = differing_keys(made, run.recipe)
    if foreign := [key for key in changed if not key.startswith(FREE_OF_TRAINING)]:
        lines = "\n".join(
            f"  {k}: {_said(changed[k][0])} there, {_said(changed[k][1])} asked for" for k in foreign[:8]
        )
        lines += f"\n  and {len(foreign) - 8} more" if len(foreign) > 8 else ""
        raise ValueError(
            f"{run.folder} holds a run of another recipe:\n{lines}\n"
            f"choose another --out, or --fresh to move the old run aside"
        )


def _said(value: object) -> str:
    """A value of a setting; a recipe with other parts may not have it."""
    return "nothing" if value is None else repr(value)


def check_alone(run: Run, name: str) -> None:
    """Raise ValueError if one quantization cannot be made alone: by its name, or since all networks share a setting."""
    check_name(name, [FLOAT, *(other for other in run.quantizations if other != name)])
    status = run.files.status
    made = Recipe.model_validate(status.recipe) if status.recipe else run.recipe
    changed = differing_keys(made, run.recipe)
    if shared := [key for key in changed if key.startswith("export.")]:
        was, asked = changed[shared[0]]
        raise ValueError(
            f"{shared[0]}: expected {_said(was)}, which all networks of {run.folder} share, got {_said(asked)}; "
            f"change it with `xvision export {run.folder}`"
        )


def check_unchanged(run: Run) -> None:
    """Raise ChangedFileError if a file is not what its stage wrote; one that is gone is made again."""
    for done in run.files.status.stages.values():
        for name in done.outputs:
            run.files.checked(name)
    _ = run.files.evaluation


def check_moved(run: Run, read: str, *, keep: bool) -> None:
    """Refuse other data than the network was trained on if it is said to have moved only, or if the network is kept.

    `read` is the digest of what training would read now.
    """
    trained = run.files.status.stages.get("train")
    if trained is None or trained.inputs == read:
        return
    was = run.files.recipe.places if run.files.has(RECIPE) else {}
    moved = [place for name, place in run.recipe.places.items() if was.get(name, place) != place]
    if moved or keep:
        raise DataError(
            f"{run.folder}: expected the data that its network was trained on; {_what_changed(run)}"
            f"{' in ' + ' and '.join(moved) if moved else ''}; bring the files back, name the place where they are now "
            "(data.root), or train with `xvision run` and another --out"
        )


def _what_changed(run: Run) -> str:
    """What the record says of the data, and what is there now."""
    record = run.files.record
    known = record.data if record else {}
    found = []
    for name, split in run.dataset.splits.items():
        if name not in known:
            continue
        if len(split) != known[name].num_samples:
            found.append(f"'{name}' had {known[name].num_samples} samples, there are {len(split)}")
        elif run.digests[name] != known[name].sha256:
            found.append(f"files of '{name}' have changed")
    classes = record.classes if record else {}
    for field, names in run.task.classes.items():
        if names != classes.get(field, names):
            found.append(f"the classes of '{field}' have changed")
    return ", ".join(found) or "there are others"


def check_settings(run: Run) -> None:
    """Raise SettingError, or DataError, now for what a stage hours later could not do; it reads no image."""
    import torch

    from xvision.data.photometry import Photometry
    from xvision.train.sizes import size_at

    for name in ("train", "val") if run.recipe.train.epochs else ("val",):
        run.split(name)
    if run.inputs.fields != ("image",):
        _ = run.recipe.data.frame_gap  # sets of several gaps do not go together
    with torch.device("meta"):
        model = run.build(weights=False)
    settings, size = run.recipe.train, run.recipe.data.size
    if (
        settings.start_size_ratio < 1
        and size_at(0, size, settings.start_size_ratio, model.size_divisor) == size
    ):
        raise SettingError(
            f"train.start_size_ratio: expected a size with room below it, got data.size={size[0]}x{size[1]}, which is "
            f"the smallest near {settings.start_size_ratio:g} of it that this network takes; make the size larger, or "
            "set the ratio to 1"
        )
    if run.recipe.train.freeze_batch_norm and run.recipe.net.weights == "none":
        raise SettingError(
            "train.freeze_batch_norm: expected weights whose statistics are kept, got net.weights=none; name some, or "
            "set it to false"
        )
    if run.recipe.export.argmax and not run.task.class_maps:
        raise SettingError(
            f"export.argmax: expected a task that finds a class for each pixel, {run.task.name} does not; leave "
            "it out"
        )
    fields = (*run.inputs.fields, *run.task.needs)
    try:
        Photometry(run.recipe.data.augment, fields, run.dataset.classes)
        run.recipe.train.balancing.build([part.name for part in run.task.parts])
    except ValueError as e:
        raise SettingError(str(e)) from e


def check_quantizable(run: Run, names: Iterable[str]) -> None:
    """Raise SettingError before hours of training if the network could not be quantized after them, in any way asked.

    The network is built without weights, captured, folded and given quantizers, on random images. What it was exported
    to is kept for the trained one. Operators that would compute in float are told.
    """
    import torch

    from xvision.graph.exported import exported
    from xvision.quant.insert import prepare
    from xvision.quant.islands import listed

    size, random = run.recipe.data.size, torch.Generator().manual_seed(0)
    planes = tuple(
        torch.randint(0, 256, plane.shape, dtype=plane.dtype, generator=random)
        for plane in run.inputs.example(size, batch=2)
    )
    model = run.build(weights=False).eval()
    for name in names:
        try:
            run.program = run.program or exported(model, planes)
            graph = prepare(model, planes, run.quantizations[name].numbers(), run.program)
        except ValueError as e:
            raise SettingError(f"net: expected a network that can be quantized: {e}") from e
        if unknown := graph.meta["float_operators"]:
            run.console.warn(f"the {name} network will compute in float between integers: {listed(unknown)}")
