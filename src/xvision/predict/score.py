"""Scoring maps in files, ours or those of another program, against the labels of a data set.

Files are found by the name of their sample. A prediction is never resized: it has the size of the label, because a
resized one would be measured as something that was not predicted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from xvision.config.messages import explain
from xvision.console import Console
from xvision.data.concat import open_data
from xvision.data.dataset import DataError, Split
from xvision.data.folders import files, summary
from xvision.data.framing import Framing
from xvision.data.loader import Loader
from xvision.predict.open import check_val
from xvision.predict.output import file_stem
from xvision.predict.written import PREDICTIONS, Entry, Written, inside, read_written
from xvision.recipes.named import recipe as named_recipe
from xvision.recipes.overrides import override
from xvision.recipes.schema import Recipe
from xvision.runs.measure import as_rows
from xvision.runs.measurements import Measurement
from xvision.tasks import task as task_registry
from xvision.tasks.contract import Task
from xvision.tasks.metrics.contract import Outputs
from xvision.tasks.multi import build_task
from xvision.train.evaluation import defined, metric_over

FILES = "files"
"""What stands in the place of an executor for predictions that were not computed here."""

ANY_RECIPE = "segmentation"  # of a recipe only data and task are read here, and both are given


def score(folder: Path, settings: Sequence[str], console: Console) -> tuple[Measurement, ...]:
    """The metrics of predictions in files, on the validation labels of a data set.

    What `predict --out` wrote says of which task and data it is; `settings` (task=…, data=…, data.root=…) say it for
    other files, and change it.

    Raises: DataError that lists samples without a prediction or with several, and names what has another size;
    ValueError if neither says what was predicted.
    """
    written = _read_finished(folder)
    return _measure(folder, written, _what_was_predicted(folder, written, settings), console)


def _read_finished(folder: Path) -> Written | None:
    """predictions.json of a folder; None for files of another program. Raises: DataError for what cannot be scored."""
    if not folder.is_dir():
        raise DataError(f"--predictions: expected a folder of predictions, got {folder}, which is none")
    written = read_written(folder)
    if written and written.images is None:
        raise DataError(
            f"{folder / PREDICTIONS}: `xvision predict` did not finish here; make the same call again"
        )
    return written


def _what_was_predicted(folder: Path, written: Written | None, settings: Sequence[str]) -> Recipe:
    if wrong := [word for word in settings if not word.startswith(("data", "task"))]:
        raise ValueError(f"val --predictions: expected settings of data and task, got {', '.join(wrong)}")
    named = [word.partition("=")[2] for word in settings if word.startswith("task=")]
    if not named and not written:
        raise ValueError(
            f"val --predictions: {folder} has no {PREDICTIONS} that says what was predicted; add the task, for "
            "example task=segmentation"
        )
    before = written.task if written else {}
    known = {before: {}} if isinstance(before, str) else before
    tasks = task_registry.parts(named[0] if named else "+".join(known))
    recipe = named_recipe(ANY_RECIPE).model_copy(update={"task": tasks})
    plain = recipe.to_dict()
    if written:
        plain["data"] = written.data
        plain["task"] = {part.name: known.get(part.name, dict(part.settings)) for part in recipe.task}
    try:
        recipe = Recipe.model_validate(plain)
    except ValidationError as e:
        raise DataError(
            f"{folder / PREDICTIONS}: expected settings of a recipe; {'; '.join(explain(e))}"
        ) from e
    return override(recipe, [word for word in settings if not word.startswith("task=")])


def _measure(
    folder: Path, written: Written | None, recipe: Recipe, console: Console
) -> tuple[Measurement, ...]:
    dataset = open_data(recipe.data)
    task = build_task(recipe.task, written.classes if written else dataset.classes)
    if missing := [part.name for part in task.parts if not part.view.file_endings]:
        raise ValueError(
            f"--predictions: expected tasks whose predictions are maps, {', '.join(missing)} has none in files; name "
            "others with task=…"
        )
    check_val(dataset, task, task.classes, str(folder))
    split = dataset.splits["val"]
    entries = written.entries if written else ()
    found = match(folder, entries, split.names, [_kinds(tasks) for tasks in _labelled_tasks(split, task)])
    whole = Framing("stretch")  # what is in the files is of whole images, whatever the network saw of them
    loader = Loader(
        split, task.needs, recipe.data, batch_size=1, train=False, seed=0, framing=whole, native_size=task.maps
    )  # fmt: skip
    metric = metric_over(task)
    with console.progress("score", len(split)) as bar:
        for batch in loader.epoch(0):
            name, there = batch["name"][0], found[int(batch["index"][0])]
            out = task.view.read({f"{kind}.png": path for kind, path in there.items()})
            _check_sizes(task, out, batch, name, there)
            metric.update(out, batch)
            bar.advance(1)
    return as_rows((str(folder), FILES), "val", defined(metric.compute(), task.primary), task)


def _labelled_tasks(split: Split, task: Task) -> list[tuple[Task, ...]]:
    """For each sample the tasks that have labels there: where several sets are joined, not all of them."""
    found = []
    for part in split.parts.values() if split.parts else (split,):
        tasks = tuple(one for one in task.parts if set(one.needs) <= set(part.fields))
        found += [tasks] * len(part)
    return found


def _kinds(tasks: Iterable[Task]) -> tuple[str, ...]:
    """What the files of the tasks hold: their names end with it."""
    return tuple(ending.removesuffix(".png") for task in tasks for ending in task.view.file_endings)


def _check_sizes(
    task: Task, out: Outputs, batch: Mapping[str, Any], name: str, there: Mapping[str, Path]
) -> None:
    compared = [
        (part, spec)
        for part in task.parts
        for spec in part.outputs
        if spec.field in task.maps and spec.name in out
    ]
    for part, spec in compared:
        got, label = (tuple(x.shape[-2:]) for x in (out[spec.name], batch[spec.field][0]))
        if got != label:
            files = ", ".join(str(there[kind]) for kind in _kinds([part]))
            raise DataError(
                f"{files}: expected {label[0]}x{label[1]} (HxW), the size of the label of {name}, got "
                f"{got[0]}x{got[1]}; write predictions at the label's size: they are not resized here"
            )


# ---------------------------------------------------------------------------------- which file is whose


@dataclass(frozen=True)
class _File:
    """A file that may be a prediction: the name and the folders of the sample that it seems to be of."""

    path: Path
    stem: str
    folders: tuple[str, ...]
    says_kind: bool
    """Whether its own name says what it holds."""


def match(
    folder: Path, entries: Sequence[Entry], names: Sequence[str], kinds: Sequence[Sequence[str]]
) -> list[dict[str, Path]]:
    """The file of each kind (segmentation, depth, …) for each sample, which needs `kinds` of them.

    predictions.json says of which sample a file is, by its whole name. Otherwise the file's name does:
    `STEM_KIND.png`, `0000_STEM_KIND.png` as `predict` writes it, or `STEM.png`, which lies below a folder KIND if there
    are several kinds. Of several files those count whose folders have most in common with the sample's, from the
    innermost on.

    Raises: DataError that lists what is missing and what is ambiguous.
    """
    wanted = tuple(dict.fromkeys(kind for some in kinds for kind in some))
    problems: list[str] = []
    found: list[dict[str, Path]] = [{} for _ in names]
    for kind in wanted:
        by_stem: dict[str, list[_File]] = {}
        for file in _candidates(folder, entries, kind, alone=len(wanted) == 1):
            by_stem.setdefault(file.stem, []).append(file)
        listed = _listed(folder, entries, kind)
        owner: dict[Path, str] = {}
        for name, some, files_of_one in zip(names, kinds, found, strict=True):
            if kind not in some:
                continue
            if name in listed:
                files_of_one[kind] = listed[name]
                continue
            best = _best(by_stem.get(file_stem(name), ()), _folders(name))
            if len(best) != 1:
                problems.append(_problem(folder, name, kind, best))
            elif owner.setdefault(best[0].path, name) != name:
                problems.append(
                    f"{best[0].path}: may be of {owner[best[0].path]} or of {name}; put it into a folder "
                    "that is called like the sample's"
                )
            else:
                files_of_one[kind] = best[0].path
    if problems:
        raise DataError(summary(folder, problems))
    return found


def _listed(folder: Path, entries: Sequence[Entry], kind: str) -> dict[str, Path]:
    """The files that predictions.json gives for whole names of samples, as far as they are there."""
    own = {e.image: inside(folder, e.files[kind]) for e in entries if kind in e.files and e.frame is None}
    return {name: path for name, path in own.items() if path.is_file()}


def _candidates(folder: Path, entries: Sequence[Entry], kind: str, *, alone: bool) -> Iterator[_File]:
    """All files in a folder that may hold `kind`."""
    listed: set[Path] = set()
    for entry in entries:
        if entry.frame is not None:
            continue  # of a video: its number is its name
        listed |= {folder / name for name in entry.files.values()}
        if kind in entry.files and (own := inside(folder, entry.files[kind])).is_file():
            yield _File(own, file_stem(entry.image), _folders(entry.image), True)
    for path in files(folder):
        if path.suffix.lower() != ".png" or path in listed:
            continue
        folders = path.relative_to(folder).parts[:-1]
        stem = file_stem(path.name)
        if stem.endswith(f"_{kind}"):
            stem = stem.removesuffix(f"_{kind}")
            numbered = re.fullmatch(r"\d{4,}_(.+)", stem)
            for one in (stem, *(numbered.groups() if numbered else ())):
                yield _File(path, one, folders, True)
        elif alone or kind in folders:
            yield _File(path, stem, tuple(f for f in folders if f != kind), False)


def _folders(name: str) -> tuple[str, ...]:
    """The folders in the name of a sample, from the outermost on."""
    inside_set = re.sub(r"^[\w-]+: ", "", name).replace("\\", "/")
    return tuple(part for part in inside_set.split("/")[:-1] if part)


def _best(some: Sequence[_File], folders: tuple[str, ...]) -> list[_File]:
    """Those that fit best; several if they fit equally well."""

    def fit(file: _File) -> tuple[int, bool]:
        pairs = zip(reversed(file.folders), reversed(folders), strict=False)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs)), file.says_kind

    most = max(map(fit, some), default=None)
    return [file for file in some if fit(file) == most]


def _problem(folder: Path, name: str, kind: str, best: Sequence[_File]) -> str:
    if not best:
        stem = file_stem(name)
        return f"{name}: no {kind} in {folder}; expected {stem}_{kind}.png, or {stem}.png"
    several = ", ".join(str(file.path.relative_to(folder)) for file in best[:3])
    return f"{name}: several files may be its {kind} ({several}); keep one, or put them into folders like the samples"
