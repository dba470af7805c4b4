"""A stage that fails at any point leaves the run as it was, byte for byte, and the same command continues."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import xvision as xv
from tests.conftest import write_images
from tests.pipeline.results import everything
from tests.pipeline.test_run import small
from xvision.recipes.schema import Recipe
from xvision.runs.files import SWAP

FREE = ("status.json", "metrics.jsonl")
CHANGES = ("replace", "rename", "fsync")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = write_images(tmp_path_factory.mktemp("images") / "colours")
    out = tmp_path_factory.mktemp("runs") / "first"
    xv.run(small(root, "train.max_steps=2"), out)
    return root, out


@contextmanager
def failing(folder: Path, at: int) -> Iterator[Callable[[], int]]:
    """The change number `at` of the file system below a folder finds a full disk; gives how many there were."""
    count = 0

    def full(change: Any) -> Any:
        def changed(*args: Any, **more: Any) -> Any:
            nonlocal count
            place = args[0] if args else ""
            inside = isinstance(place, int) or str(place).startswith(str(folder))
            if inside and not (folder / SWAP).exists():  # from there on it is done
                count += 1
                if count == at:
                    raise OSError(
                        errno.ENOSPC,
                        "No space left on device",
                        None if isinstance(place, int) else str(place),
                    )
            return change(*args, **more)

        return changed

    with pytest.MonkeyPatch.context() as patch:
        for name in CHANGES:
            patch.setattr(os, name, full(getattr(os, name)))
        yield lambda: count


WORK = {
    "train": lambda root: (small(root, "train.max_steps=2"), "train"),
    "quantize": lambda root: (small(root, "train.max_steps=2", "quant.num_images=8"), "quantize"),
    "export": lambda root: (small(root, "train.max_steps=2"), "export"),
    "verify": lambda root: (small(root, "train.max_steps=2"), "verify"),
    "record": lambda root: (small(root, "train.max_steps=2"), "record"),
    "report": lambda root: (small(root, "train.max_steps=2"), "report"),
}


def undo(out: Path, stage: str) -> None:
    """Let the stage have something to do, and leave what it is to keep."""
    lost = {
        "train": "checkpoints/best.safetensors",
        "export": "export/int8/model.onnx",
        "verify": "export/int8/parity.json",
        "record": "record.json",
        "report": "report.html",
    }
    if stage in lost:
        (out / lost[stage]).unlink()


@pytest.mark.parametrize("stage", WORK)
def test_a_failing_stage_leaves_the_run_as_it_was(
    stage: str, made: tuple[Path, Path], tmp_path: Path
) -> None:
    root, first = made
    recipe, until = WORK[stage](root)
    failed = 0
    for at in (1, 2, 4, 7, 12, 20, 33):
        out = tmp_path / f"run{at}"
        shutil.copytree(first, out)
        undo(out, stage)
        before = everything(out)
        error, count = attempt(recipe, out, until, at)
        if count < at:
            assert error is None
            break
        if error is None:  # a folder that is there already need not be made
            shutil.rmtree(out)
            continue
        failed += 1
        assert "No space left on device" in error
        if (out / "status.json").read_bytes() == before["status.json"]:  # no stage before it had to run
            own = ("checkpoints/", ".training/", ".staging/")
            kept = {k: v for k, v in before.items() if not k.startswith(own) and k not in FREE}
            assert {k: v for k, v in everything(out).items() if k in kept} == kept, f"change {at}"
        if at == 4:
            assert xv.run(recipe, out).record.parity[0].ok
        shutil.rmtree(out)
    assert failed >= 2


def attempt(recipe: Recipe, out: Path, until: str, at: int) -> tuple[str | None, int]:
    """What a run says that fails at a change of the file system, and how many there were."""
    with failing(out, at) as count:
        try:
            xv.run(recipe, out, until=until)
        except (ValueError, OSError) as e:
            return str(e), count()
        return None, count()
