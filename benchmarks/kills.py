"""Whether a run that is killed, at any moment, ends as if it had not been.

    python benchmarks/kills.py                      # at every change of a file, and at 60 random moments
    python benchmarks/kills.py --chosen 12 --random 0
    python benchmarks/kills.py --over quantize          # of a run that is there already, quantized in another way
    python benchmarks/kills.py --over another           # or quantized in another way beside the first
    python benchmarks/kills.py --over train             # or trained again, since its network was lost

A small run is made undisturbed; then it is made again and killed (SIGKILL) just before one of its renames, removals,
fsyncs or new folders, or at a random moment, and the same command is given again. It must succeed and leave the
same files with the same content: weights, file and metrics to the bit, times and dates aside. Everything happens in
children forked from this process, which has loaded the libraries once.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import itertools
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

RECIPE = (
    "classification",
    "data.num_train=16",
    "data.num_val=4",
    "data.size=32x32",
    "net.backbone=resnet9",
    "net.backbone.widths=8,8,8,8",
    "train.batch_size=16",
    "train.epochs=2",
    "train.ema=0.9",
    "train.workers=0",
    "train.threads=1",
    "train.log_every=1",
    "train.checkpoint_minutes=0.000001",
)
OVER = {
    "quantize": ["quant.num_images=8"],
    "another": ["quant.num_images=8", "--as", "few"],
    "train": [],
}
"""What changes a finished run: further settings, or the loss of its network."""
LIBRARIES = ("timm", "torchmetrics", "accelerate", "onnxruntime", "onnxscript", "torch.export", "torch._dynamo",
             "matplotlib.pyplot", "jinja2", "cv2")  # fmt: skip
CHANGES = ("replace", "rename", "unlink", "remove", "rmdir", "mkdir", "fsync")
TIMES = {"started", "wall_s", "cpu_s", "seconds", "cpu_seconds", "train_seconds", "img_per_s", "inputs"}
"""Keys of JSON; `inputs` is a digest of all that a stage reads, metrics.jsonl with its times among it."""
TIMED = (".html", ".json", ".jsonl")  # files that hold times: their hashes differ
TIMES_IN_HTML = r"\d{4}-\d\d-\d\d[T ][\d:+Z]*|[\d.]+ (s|min|h)\b|(?:metrics\.jsonl|rungs\.json)</td>.*"


class Changes:
    """Counts this process's changes of files below `place`, and kills it just before the one with number `last`."""

    def __init__(self, place: Path, last: int, log: Path) -> None:
        self.place, self.last, self.log, self.lines = place, last, log, list[str]()
        for name in CHANGES:
            setattr(os, name, self._counting(name, getattr(os, name)))

    def _counting(self, name: str, change: Callable[..., Any]) -> Callable[..., Any]:
        def counted(path: Any, *args: Any, **settings: Any) -> Any:
            what = self._within(path, settings.get("dir_fd"))
            if what and (name == "fsync" or os.path.lexists(self.place / what) != (name == "mkdir")):
                self.lines.append(f"{name} {what}")
                if len(self.lines) == self.last:
                    os.kill(os.getpid(), signal.SIGKILL)
            return change(path, *args, **settings)

        return counted

    def _within(self, path: Any, folder: int | None) -> str:
        """What is changed, relative to the place; empty if it lies elsewhere."""
        if isinstance(path, int):
            path = os.readlink(f"/proc/self/fd/{path}")
        elif folder is not None:
            path = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), path)
        path = Path(os.path.abspath(os.fspath(path)))
        return path.relative_to(self.place).as_posix() if path.is_relative_to(self.place) else ""

    def write(self) -> None:
        self.log.write_text("\n".join(self.lines))


@dataclass(frozen=True)
class Before:
    """What is there before the command is given."""

    run: Path | None = None
    over: str = ""

    @property
    def words(self) -> list[str]:
        return OVER.get(self.over, [])

    def put(self, out: Path) -> None:
        if self.run is not None:
            shutil.copytree(self.run, out)
        if self.over == "train":
            (out / "checkpoints/best.safetensors").unlink()


def start(out: Path, before: Before, last: int = 0) -> int:
    """The command in a child, which is to be killed at the change with number `last`; the child's id."""
    if not out.exists() and before.run is not None:
        before.put(out)
    if child := os.fork():
        return child
    code = 1
    try:
        with Path(f"{out}.txt").open("a") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        changes = Changes(out, last, Path(f"{out}.changes"))
        sys.argv = ["xvision", "run", *RECIPE, *before.words, "--out", str(out)]
        from xvision.cli import main

        try:
            main()
            code = 0
        except SystemExit as e:
            code = int(e.code or 0)
        changes.write()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def end(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def content(out: Path) -> dict[str, Any]:
    """What lies in a run, without times and dates; folders too."""
    found = {}
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        if path.is_dir():
            found[name] = "folder"
        elif name == ".lock":
            found[name] = "lock"  # it names the process that wrote last
        elif path.suffix == ".jsonl":
            found[name] = [_timeless(json.loads(line)) for line in path.read_text().splitlines()]
        elif path.suffix == ".json":
            found[name] = _timeless(json.loads(path.read_text()))
        elif path.suffix == ".html":
            found[name] = re.sub(TIMES_IN_HTML, "", path.read_text())
        elif path.suffix == ".safetensors":
            found[name] = _tensors(path)
        else:
            found[name] = path.read_bytes()
    return found


def _tensors(path: Path) -> tuple[Any, ...]:
    with safe_open(path, "numpy") as file:
        manifests = {key: _timeless(json.loads(text)) for key, text in (file.metadata() or {}).items()}
        for manifest in manifests.values():
            manifest.pop("sha256", None)  # of tensors and manifest, times among it
        return manifests, {key: file.get_tensor(key).tobytes() for key in sorted(file.keys())}


def _timeless(plain: Any) -> Any:
    """JSON without times, and without hashes and sizes of files that hold times."""
    if isinstance(plain, dict):
        return {key: _timeless(value) for key, value in plain.items() if not _is_timed(key, value)}
    return [_timeless(one) for one in plain] if isinstance(plain, list) else plain


def _is_timed(key: str, value: Any) -> bool:
    of_file = isinstance(value, str) or (isinstance(value, dict) and "sha256" in value)
    return key in TIMES or (of_file and key.endswith(TIMED))


def differences(expected: dict[str, Any], got: dict[str, Any]) -> list[str]:
    missing, further = expected.keys() - got.keys(), got.keys() - expected.keys()
    changed = [name for name in expected if name in got and got[name] != expected[name]]
    named = (("missing", missing), ("too many", further), ("different", changed))
    return [f"{what}: {', '.join(sorted(names))}" for what, names in named if names]


def again(out: Path, before: Before, expected: dict[str, Any]) -> list[str]:
    """What is wrong after the same command was given again."""
    if code := end(start(out, before)):
        return [f"exit {code}: " + " ".join(Path(f"{out}.txt").read_text().splitlines()[-2:])]
    return differences(expected, content(out))


def at_changes(
    place: Path, before: Before, expected: dict[str, Any], lines: list[str], chosen: int
) -> Iterator[tuple[str, list[str]]]:
    """Kill at `chosen` of the changes, spread evenly (0: at all)."""
    num = min(chosen or len(lines), len(lines))
    for i in range(num):
        last = 1 + round(i * (len(lines) - 1) / max(num - 1, 1))
        out = place / f"change_{last}"
        code = end(start(out, before, last))
        wrong = [] if code == -signal.SIGKILL else [f"was not killed, exit {code}"]
        yield f"change {last}, {lines[last - 1]}", wrong or again(out, before, expected)


def at_random(
    place: Path, before: Before, expected: dict[str, Any], num: int, length_s: float
) -> Iterator[tuple[str, list[str]]]:
    """Kill at `num` random moments of a run that takes `length_s`."""
    rng = random.Random(0)
    for i in range(num):
        out, wait_s = place / f"random_{i}", rng.uniform(0, length_s)
        child = start(out, before)
        time.sleep(wait_s)
        os.kill(child, signal.SIGKILL)
        end(child)
        yield f"random, after {wait_s:.2f} s", again(out, before, expected)


def finished(out: Path, before: Before) -> Path:
    if end(start(out, before)):
        raise SystemExit(Path(f"{out}.txt").read_text())
    return out


def sweep(place: Path, over: str, chosen: int, random_kills: int) -> int:
    """The number of kills after which something was wrong."""
    before = Before(finished(place / "before", Before()), over) if over else Before()
    started, out = time.perf_counter(), finished(place / "undisturbed", before)
    length_s, expected = time.perf_counter() - started, content(out)
    lines = Path(f"{out}.changes").read_text().splitlines()
    print(
        f"an undisturbed run takes {length_s:.1f} s, {len(lines)} changes of files, {len(expected)} files",
        flush=True,
    )
    num = failed = 0
    kills = (
        at_changes(place, before, expected, lines, chosen),
        at_random(place, before, expected, random_kills, length_s),
    )
    for name, wrong in itertools.chain(*kills):
        num, failed = num + 1, failed + bool(wrong)
        print(f"{name}: {'; '.join(wrong) or 'ok'}", flush=True)
    print(f"{num - failed} of {num} kills end as if there had been none")
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--chosen", type=int, default=0, help="how many changes of files (0: every one)")
    parser.add_argument("--random", type=int, default=60, help="how many random moments")
    parser.add_argument("--over", choices=OVER, default="", help="kill what changes a finished run")
    parser.add_argument("--keep", type=Path, help="a folder for the runs (default: a temporary one)")
    given = parser.parse_args()
    for name in LIBRARIES:
        importlib.import_module(name)
    torch.onnx.export(torch.nn.ReLU().eval(), (torch.zeros(1),), verbose=False)  # loads its operators
    with contextlib.ExitStack() as stack:
        place = given.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        place.mkdir(parents=True, exist_ok=True)
        return int(sweep(place.resolve(), given.over, given.chosen, given.random) > 0)


if __name__ == "__main__":
    raise SystemExit(main())
