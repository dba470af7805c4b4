"""With what something was computed: the commit, the versions of the libraries, the machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from xvision.runs.record import Machine
from xvision.train.allocator import keep_memory
from xvision.train.waiting import spinning

PACKAGES = {"xvision": "edgeai-xvision"} | {p: p for p in ("torch", "torchvision", "timm", "onnxruntime")}


def environment() -> dict[str, Any]:
    """The fields of a record that say with what it was made: commit, dirty, versions, machine."""
    import torch

    commit, dirty = source_state(Path(__file__).parents[1])
    machine = Machine(
        processor=_processor(),
        cores=os.cpu_count() or 1,
        threads=torch.get_num_threads(),
        gpu=torch.cuda.get_device_name() if torch.cuda.is_available() else "",
        allocator=keep_memory(),
        waiting=spinning(),
    )
    versions = {"python": platform.python_version()}
    versions |= {name: importlib.metadata.version(package) for name, package in PACKAGES.items()}
    return {"commit": commit, "dirty": dirty, "versions": versions, "machine": machine}


def source_state(package: Path) -> tuple[str, bool]:
    """The commit of the checkout that a package lies in, and whether its files differ from it.

    An installed package has no checkout: its version is the answer, even when the folder around the environment
    happens to be somebody else's repository.
    """

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(package), *arguments],
                capture_output=True,
                text=True,
                timeout=10,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    commit = (
        git("rev-parse", "--short", "HEAD") if git("ls-files", "--error-unmatch", "__init__.py") else None
    )
    if commit is None:
        return importlib.metadata.version(PACKAGES["xvision"]), False
    return commit, bool(git("status", "--porcelain", "--", "."))


def _processor() -> str:
    """The processor's name as its maker writes it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
