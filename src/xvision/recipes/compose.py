"""One recipe of several, joined by ``+``: a network with a head for each task."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence

from xvision.config.parts import Part, Parts
from xvision.data.settings import Data
from xvision.fields import FIELDS
from xvision.models.settings import Names
from xvision.recipes.schema import Recipe


def compose(recipes: Sequence[Recipe]) -> Recipe:
    """One recipe for the tasks of several: one network with a head for each task.

    All else is the first one's; where the decoder of another recipe differs, it becomes its task's own head, the
    network takes what the most demanding recipe takes, and data sets that differ are joined (see `_joined`).

    Raises: ValueError if two recipes have the same task.
    """
    first, parts = recipes[0], tuple(part for r in recipes for part in r.task)
    if len(recipes) == 1:
        return first
    name = "+".join(r.name for r in recipes)
    names = [part.name for part in parts]
    if twice := sorted({task for task in names if names.count(task) > 1}):
        raise ValueError(f"{name}: the task '{twice[0]}' is there twice; name each once")
    heads = {
        part.name: r.net.heads.get(part.name, r.net.decoder)
        for r in recipes
        for part in r.task
        if r.net.heads.get(part.name, r.net.decoder) != first.net.decoder
    }
    return first.model_copy(
        update={
            "name": name,
            "data": _joined(name, recipes),
            "task": Parts(first.task.registry, parts),
            "net": first.net.model_copy(
                update={"heads": heads, "inputs": _most(r.net.inputs for r in recipes)}
            ),
            "expect": {},
            "source": "; ".join(dict.fromkeys(r.source for r in recipes if r.source)),
        }
    )


def _joined(name: str, recipes: Sequence[Recipe]) -> Data:
    """The first recipe's data; where the others have other data sets, all of them, each task taught by its own.

    What a set is to teach is said for tasks that are called like their label; from a set of others all is learned.
    Warns where two recipes have one data set with different settings: it is the first one's.
    """
    data = recipes[0].data
    sets: dict[str, Part] = {}
    taught: dict[str, list[str]] = {}
    for r in recipes:
        for part in r.data.dataset:
            if sets.setdefault(part.name, part) != part:
                changed = [k for k, v in part.settings.items() if sets[part.name].settings[k] != v]
                warnings.warn(
                    f"{name}: {r.name} has another {', '.join(changed)} of the data set {part.name}; taken as in the "
                    "recipe before it",
                    stacklevel=3,
                )
            taught.setdefault(part.name, []).extend(task.name for task in r.task)
    if len(sets) == len(data.dataset):
        return data
    said = tuple(label for r in recipes for label in r.data.labels)
    named = {label.partition(":")[0] for label in said}
    labels = (
        f"{one}:{task}"
        for one in sets
        if one not in named and FIELDS.keys() >= {*taught[one]}
        for task in taught[one]
    )
    joined = Parts(data.dataset.registry, tuple(sets.values()))
    return data.model_copy(update={"dataset": joined, "labels": (*said, *labels)})


def _most(inputs: Iterable[Names]) -> Names:
    """The inputs with the most fields, the first of those."""
    return max(inputs, key=lambda names: names.count("+"))
