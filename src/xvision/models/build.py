"""From the `net` section of a recipe to a model."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from torch import nn

from xvision.config.messages import nearest
from xvision.config.parts import Registry
from xvision.models.model import Model
from xvision.models.outputs import IN_WORDS, Kind, OutputSpec, tensor_names
from xvision.models.settings import Net
from xvision.models.weights import load


def build_model(
    net: Net,
    outputs_by_task: Mapping[str, Sequence[OutputSpec]],
    size: tuple[int, int],
    classes: Mapping[str, Sequence[str]] | None = None,
) -> Model:
    """Build a network for images of `size` with a decoder for each task, or one for all that are not in `net.heads`.

    `classes` names those of its outputs by label field, for weights of a run that knows them in another order.

    Fresh weights come from torch's generator: the same seed gives the same model. What happened to weights from
    elsewhere goes to stderr, and stays in `Model.loaded`.

    Raises: ValueError if the network cannot do a setting, or its weights cannot be loaded.
    """
    _check(net, outputs_by_task)
    image, *others = net.takes.streams
    backbone = net.backbone.build(image.channels, size)
    if others:
        backbone.add_inputs({stream.name: net.backbone.build(stream.channels, size) for stream in others})
    decoders: dict[str, nn.Module] = {}
    usual = [task for task in outputs_by_task if task not in net.heads]
    if net.shared_decoder and len(usual) > 1:
        shared = net.decoder.build(backbone, [o for task in usual for o in outputs_by_task[task]])
        decoders |= dict.fromkeys(usual, shared)
    for task, outputs in outputs_by_task.items():
        if task not in decoders:
            decoders[task] = net.heads.get(task, net.decoder).build(backbone, outputs)
    model = Model(net.takes, backbone, decoders, outputs_by_task, size)
    if net.weights != "none":
        model.loaded = load(model, net.weights, backbone.published, classes)
        print(model.loaded, file=sys.stderr)
    return model


def _check(net: Net, outputs_by_task: Mapping[str, Sequence[OutputSpec]]) -> None:
    """Raise ValueError for decoders of no task, outputs of one name, and outputs that a decoder does not give."""
    if unknown := net.heads.keys() - outputs_by_task.keys():
        name = min(unknown)
        raise ValueError(
            f"net.heads.{name}: no task of this network is called so; {nearest(name, outputs_by_task)}"
        )
    names = [name for outputs in outputs_by_task.values() for name in tensor_names(outputs)]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(
            f"task: expected outputs with names of their own, got '{twice[0]}' twice; leave a task out"
        )
    for task, outputs in outputs_by_task.items():
        part = net.heads.get(task, net.decoder)
        needed = list(dict.fromkeys(output.needs for output in outputs))
        gives = _gives(part.registry, part.name)
        if not set(needed) <= set(gives):
            where = f"net.heads.{task}" if task in net.heads else "net.decoder"
            alone = f"; for {task} alone: net.heads.{task}=NAME" if len(outputs_by_task) > 1 else ""
            raise ValueError(
                f"{where}: {task} needs {_words(needed)}, {part.name} gives {_words(gives)}; "
                f"choose {_able(part.registry, needed)}{alone}"
            )


def _gives(registry: Registry, name: str) -> tuple[Kind, ...]:
    gives: tuple[Kind, ...] = registry.builder(name).load().gives  # type: ignore[attr-defined]
    return gives


def _words(kinds: Sequence[Kind]) -> str:
    return " and ".join(IN_WORDS[kind] for kind in kinds)


def _able(registry: Registry, needed: Sequence[Kind]) -> str:
    """The decoders that give what is needed, for a message."""
    able = [name for name in registry.builders() if set(needed) <= set(_gives(registry, name))]
    return " or ".join(able) or "tasks that need less: no decoder gives all of it"
