"""`build_model` as it was called before; `renamed.json` points to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xvision.models.build import build_model as build_model_of_tasks
from xvision.models.model import Model
from xvision.models.outputs import OutputSpec


def build_model(
    net: Any, outputs: Mapping[str, Any], size: tuple[int, int], owners: Mapping[str, Any] | None = None
) -> Model:
    """From names of outputs and their channels, each a task of its own or of `owners`; today's arguments pass."""
    if not all(isinstance(channels, int) for channels in outputs.values()):
        return build_model_of_tasks(net, outputs, size, owners)  # the fourth is the classes today
    kind = "scores" if net.decoder.name == "classifier" else "map"
    specs = {name: OutputSpec(name, count, kind) for name, count in outputs.items()}  # type: ignore[arg-type]
    tasks = owners or {name: name for name in outputs}
    by_task = {t: tuple(specs[n] for n in outputs if tasks[n] == t) for t in dict.fromkeys(tasks.values())}
    return build_model_of_tasks(net, by_task, size)
