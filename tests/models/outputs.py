"""Outputs of tasks by name and channels, for tests of networks without a data set."""

from __future__ import annotations

from collections.abc import Mapping

from xvision.models.outputs import OutputSpec


def outputs_by_task(channels: Mapping[str, int]) -> dict[str, tuple[OutputSpec, ...]]:
    """One output a task: class scores of `classification`, which are called class, and maps of others."""
    return {
        "classification" if name == "class" else name: (
            OutputSpec(name, count, "scores" if name == "class" else "map"),
        )
        for name, count in channels.items()
    }
