"""The network, the task and the batches of a recipe: the one place that makes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from xvision.fields import FIELDS
from xvision.runs.files import BEST, RunFiles
from xvision.train.processes import Processes

if TYPE_CHECKING:
    from torch import Tensor

    from xvision.data.dataset import Dataset, Split
    from xvision.data.loader import Loader
    from xvision.models.model import Model
    from xvision.recipes.schema import Recipe
    from xvision.runs.contents import Calibration
    from xvision.tasks.contract import Task

Classes = Mapping[str, tuple[str, ...]]
"""Names of the classes by label field, in the order of their ids."""

SPLIT_USES = {
    "train": "training and the search of int8 ranges use it, and never the images that are reported",
    "val": "it is what metrics are measured on",
}


JUDGED = (500, 2000)
"""Fewest and most training images that methods are judged on, where there are as many."""
JUDGED_BATCHES = 32
"""Into which they are divided at least, since the error of a figure is found from the differences of batches."""


class SettingError(ValueError):
    """A setting that only the network itself could check; `exit_code` is what the command returns."""

    exit_code = 2


def complete(recipe: Recipe) -> Recipe:
    """The recipe with the defaults that follow from its other settings: `data.framing` from the tasks' labels."""
    from xvision.data.framing import framing_of

    data = recipe.data.model_copy(update={"framing": framing_of(recipe.data, label_fields(recipe)).kind})
    return recipe.model_copy(update={"data": data})


def label_fields(recipe: Recipe) -> tuple[str, ...]:
    """The labels that the tasks of a recipe learn from, whatever the data set."""
    some = dict.fromkeys(FIELDS, ("a", "b"))
    tasks = [part.registry.part(part.name).build(some) for part in recipe.task]
    return tuple(dict.fromkeys(field for task in tasks for field in task.needs))


def build(recipe: Recipe) -> Model:
    """The network of a recipe: uint8 (B, 3, H, W) in, dict of raw outputs out.

    The data set is opened only where a task has to learn from it how many classes there are (`task.num_classes`).
    """
    from xvision.data.concat import open_data
    from xvision.tasks.multi import build_task

    try:
        counted = all(part.settings.get("num_classes", 1) for part in recipe.task)
        task = build_task(recipe.task, {} if counted else open_data(recipe.data).classes)
    except KeyError:  # a task without such a setting asks for its classes
        task = build_task(recipe.task, open_data(recipe.data).classes)
    return build_network(recipe, task)


def build_network(recipe: Recipe, task: Task, *, weights: bool = True) -> Model:
    """The network before training: random by the seed, with `weights` then those that the recipe names.

    Raises: SettingError for what this network cannot do.
    """
    import torch

    from xvision.models.build import build_model

    torch.manual_seed(recipe.seed)
    found = find_weights(recipe.net.weights) if weights else "none"
    net = recipe.net.model_copy(update={"weights": found})
    outputs = task.outputs_by_task  # errors of the data are none of settings
    try:
        return build_model(net, outputs, recipe.data.size, task.classes)
    except ValueError as e:
        raise SettingError(str(e)) from e


def find_weights(weights: str) -> str:
    """`net.weights` with the file of a run in the place of its folder.

    Raises: ChangedFileError if a file of a run is not what its training wrote.
    """
    place = Path(weights)
    file = place / BEST if place.is_dir() else place
    if found := RunFiles.around(file):
        files, name = found
        files.checked(name)
    return str(file) if place.is_dir() else weights


def open_split(recipe: Recipe, task: Task, dataset: Dataset, name: str) -> Split:
    """A split with what the network takes and the tasks need; DataError says what is missing."""
    from xvision.data.concat import check_labels
    from xvision.data.flow import split_for

    check_labels(dataset, name, task.needs_of_parts, SPLIT_USES.get(name, ""))
    return split_for(dataset, name, recipe.net.takes.fields, recipe.data.flow)


def make_loader(
    recipe: Recipe,
    task: Task,
    split: Split,
    *,
    train: bool = False,
    processes: Processes | None = None,
    framed: bool = False,
    batch_size: int = 0,
    only: Sequence[int] | None = None,
) -> Loader:
    """Batches of a split: augmented and shuffled for training, else every sample once in order.

    Of several `processes` each gets its share. Maps of labels keep their own size unless `train` or `framed`.
    `batch_size` 0 is the recipe's. `only` are the numbers of the samples to give, where those are not all.
    """
    from xvision.data.framing import framing_of
    from xvision.data.loader import Loader
    from xvision.train.hardware import num_workers, pins_memory

    processes = processes or Processes()
    return Loader(
        split,
        (*recipe.net.takes.fields, *task.needs),
        recipe.data,
        batch_size=batch_size or recipe.train.batch_size,
        train=train,
        seed=recipe.seed,
        workers=num_workers(recipe.train.workers, processes.local_world),
        rank=processes.rank,
        world=processes.world,
        framing=framing_of(recipe.data, task.needs),
        native_size=() if train or framed else task.maps,
        only=only,
        pin_memory=pins_memory(),
    )


def calibration_inputs(recipe: Recipe, task: Task, split: Split) -> Iterator[tuple[Tensor, ...]]:
    """Un-augmented inputs of a split in a drawn order, so that the first ones are from all over it."""
    from xvision.data.framing import framing_of
    from xvision.data.loader import calibration_batches

    inputs = recipe.net.takes
    for batch in calibration_batches(
        split,
        inputs.fields,
        recipe.data,
        batch_size=recipe.train.batch_size,
        seed=recipe.seed,
        framing=framing_of(recipe.data, task.needs),
    ):
        yield inputs.encode(batch)


def calibrated_on(recipe: Recipe, split: Split, sha256: str, num_images: int) -> Calibration:
    """The first images that calibration takes of a split, of which the digest is known."""
    from xvision.data.loader import calibration_order
    from xvision.recipes.schema import digest
    from xvision.runs.contents import Calibration

    indices = calibration_order(len(split), recipe.seed)[:num_images]
    return Calibration(digest=digest([sha256, indices]), names=tuple(split.names[i] for i in indices))


def judging_loader(recipe: Recipe, task: Task, split: Split, *, num_calibration: int, num_val: int) -> Loader:
    """Labelled samples of the training split, not augmented, that are none of the first ones of calibration.

    As many as there are for validation, within `JUDGED`; a sample that the split gives several times is given once.
    """
    from xvision.data.loader import calibration_order

    order = calibration_order(len(split), recipe.seed)
    used = {split.names[i] for i in order[:num_calibration]}
    left = {split.names[i]: i for i in reversed(order[num_calibration:]) if split.names[i] not in used}
    fewest, most = JUDGED
    some = list(left.values())[: min(max(num_val, fewest), most)]
    if not some:
        raise ValueError(
            f"quant.num_images: expected labelled training images beside the {num_calibration} for calibration, there "
            "are none left; take fewer"
        )
    undecoded = recipe.model_copy(update={"data": recipe.data.model_copy(update={"cache": False})})
    batch_size = min(recipe.train.batch_size, -(-len(some) // JUDGED_BATCHES))
    return make_loader(undecoded, task, split, batch_size=batch_size, only=some)
