"""Using what a run made: measure it and run it on images, from the run folder or from the ONNX file alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xvision.console import Console
from xvision.files import write_json
from xvision.folder import SPLIT_USES, load_run
from xvision.recipe import Recipe, differing_keys, override

if TYPE_CHECKING:
    from xvision.data.dataset import Sample, Split
    from xvision.data.flow import Source
    from xvision.models.inputs import Inputs
    from xvision.tasks.contract import Found, Image, Task


@dataclass(frozen=True)
class Target:
    """Networks that share a recipe: a run's float and int8 ones, or an ONNX file."""

    recipe: Recipe
    classes: Mapping[str, tuple[str, ...]]
    models: dict[str, Callable[..., Any]]

    @property
    def inputs(self) -> Inputs:
        """What the networks take."""
        return self.recipe.net.takes

    @property
    def task(self) -> Task:
        """The task with the classes that the network was trained for."""
        from xvision.tasks.multi import build_task

        return build_task(self.recipe.task, self.classes)


def open_target(path: Path, overrides: Sequence[str] = ()) -> Target:
    """A run folder or an ONNX file that xvision exported; only `data.*` may be overridden."""
    if path.suffix == ".onnx":
        target = _open_file(path)
    else:
        run = load_run(path)
        models: dict[str, Callable[..., Any]] = {"float": run.model}
        if (path / "quant/model.safetensors").exists():
            models["int8"] = run.quantized
        target = Target(run.recipe, run.task.classes, models)
    recipe = override(target.recipe, overrides)
    if foreign := [key for key in differing_keys(target.recipe, recipe) if not key.startswith("data.")]:
        raise ValueError(f"{foreign[0]}: {path} is trained already, only data.* can be changed here")
    return Target(recipe, target.classes, target.models)


def _open_file(path: Path) -> Target:
    from xvision.export.runtime import FileError, OnnxModel

    model = OnnxModel(path)
    try:
        recipe = Recipe.model_validate(json.loads(model.metadata["recipe"]))
        named = json.loads(model.metadata["classes"])
        classes = {field: tuple(names) for field, names in named.items()}
    except (KeyError, ValueError, AttributeError) as e:
        raise FileError(
            f"{path}: says nothing of its preprocessing and classes ({e}); expected a file from `xvision export`"
        ) from e
    return Target(recipe, classes, {"onnx": model})


def validate(path: Path, overrides: Sequence[str], console: Console) -> dict[str, dict[str, float]]:
    """Metrics on the validation split, by what was measured: float and int8, or onnx."""
    from xvision.data.dataset import DataError
    from xvision.data.flow import split_for
    from xvision.data.loader import Loader
    from xvision.data.union import check_labels, open_data
    from xvision.train.loop import evaluate

    target = open_target(path, overrides)
    recipe, task = target.recipe, target.task
    dataset = open_data(recipe.data)
    for field, names in target.classes.items():
        if tuple(dataset.classes.get(field, names)) != names:
            raise DataError(
                f"{path} knows the classes {', '.join(names)}; the data set {dataset.name} has "
                f"{', '.join(dataset.classes[field])}; measure it on data with the same classes in the same order"
            )
    check_labels(dataset, "val", task.needs_of_parts, SPLIT_USES["val"])
    split = split_for(dataset, "val", target.inputs.fields, recipe.data.flow)
    metrics = {}
    for name, model in target.models.items():
        loader = Loader(
            split,
            (*target.inputs.fields, *task.needs),
            recipe.data,
            batch_size=recipe.train.batch_size,
            train=False,
            seed=recipe.seed,
            whole=bool(task.maps),
            own_size=task.maps,
        )
        metrics[name] = evaluate(model, task, loader, console=console, inputs=target.inputs).metrics
    return metrics


def predict_files(
    path: Path, inputs: Sequence[Path], out: Path | None, console: Console
) -> list[dict[str, Any]]:
    """What the network finds in images; with `out` also predictions.json and a picture per image.

    A run answers with its int8 network if it has one. Images in folders are found at any depth. With `data.crop_rect`
    they are cut to it as in training, and maps and pictures are of the cut image.
    """
    import torch

    from xvision.data.cutting import cut_pixels
    from xvision.data.images import read_image
    from xvision.data.loader import Loader
    from xvision.train.forward import forward

    target = open_target(path)
    files = find_images(inputs)
    task, recipe = target.task, target.recipe
    model = target.models.get("int8") or next(iter(target.models.values()))
    loader = Loader(
        frames_of(files, target.inputs, recipe.data.flow),
        target.inputs.fields,
        recipe.data.model_copy(update={"cache": False}),
        batch_size=16,
        train=False,
        seed=0,
        whole=bool(task.maps),
    )
    found: list[dict[str, Any]] = []
    with torch.inference_mode(), console.progress("predict", len(files)) as bar:
        for batch in loader.epoch(0):
            images = [cut_pixels(read_image(Path(f), f), recipe.data.crop_rect) for f in batch["name"]]
            sizes = [image.shape[:2] for image in images]
            answers = task.decode(forward(model, batch, target.inputs), sizes)
            for file, image, answer in zip(batch["name"], images, answers, strict=True):
                console.print(f"{file}  {task.caption(answer)}")
                if out is not None:
                    _write(task, answer, image, out / f"{len(found):04}_{Path(file).stem}")
                found.append({"image": file, **answer.values})
                bar.advance(1)
    if out is not None:
        write_json(out / "predictions.json", found)
        console.print(f"written  {out}")
    return found


def _write(task: Task, found: Found, image: Image, stem: Path) -> None:
    """The picture of one image, and what else the task writes of it."""
    import cv2

    stem.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(f"{stem}.png", task.draw(image, found)[..., ::-1])
    for ending, content in task.files(found).items():
        cv2.imwrite(f"{stem}_{ending}", content)


def find_images(inputs: Sequence[Path]) -> list[Path]:
    """The image files among `inputs` and in folders among them; ValueError names what has none."""
    from xvision.data.dataset import DataError
    from xvision.data.images import SUFFIXES

    files: list[Path] = []
    for path in inputs:
        if path.is_dir():
            inside = sorted(f for f in path.rglob("*") if f.suffix.lower() in SUFFIXES and f.is_file())
            if not inside:
                raise DataError(f"{path}: no image in this folder (looked for {', '.join(SUFFIXES)})")
            files += inside
        elif path.is_file():
            files.append(path)
        else:
            raise DataError(f"{path}: no such image or folder")
    return files


def frames_of(files: Sequence[Path], inputs: Inputs, source: Source) -> Split:
    """Image files as a split with what a network takes: with the frames before them, and the flow between the two.

    The frame before an image is the file before it in its folder, in the order of names (numbers by value); the first
    one is its own, as if nothing moved. Nobody gives flow here, so it is estimated even for a network trained on given
    flow.
    """
    from xvision.data.flow import with_flow

    split = split_of(files)
    if inputs.fields == ("image",):
        return split
    pairs = replace(split, load=partial(_load_pair, files, previous_files(files)))
    return with_flow(pairs, "dis" if source == "given" else source) if inputs.flow else pairs


def previous_files(files: Sequence[Path]) -> list[Path]:
    """For each image file the one before it in its folder, for the first one itself."""
    from xvision.data.frames import in_order
    from xvision.data.images import SUFFIXES

    before: dict[Path, Path] = {}
    for folder in dict.fromkeys(file.parent for file in files):
        inside = [f.name for f in folder.iterdir() if f.suffix.lower() in SUFFIXES and f.is_file()]
        names = in_order({*inside, *(f.name for f in files if f.parent == folder)})
        before |= {folder / name: folder / names[max(0, i - 1)] for i, name in enumerate(names)}
    return [before[file] for file in files]


def split_of(files: Sequence[Path]) -> Split:
    """Image files without labels, as a split that the loader can read."""
    from xvision.data.dataset import Split

    names = tuple(str(f) for f in files)
    return Split(names, partial(_load, files), partial(str, names))


def _load_pair(files: Sequence[Path], before: Sequence[Path], i: int) -> Sample:
    return {**_load(files, i), "previous": _load(before, i)["image"]}


def _load(files: Sequence[Path], i: int) -> Sample:
    from xvision.data.images import read_image

    return {"image": read_image(files[i], str(files[i]))}
