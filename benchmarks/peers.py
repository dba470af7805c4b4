"""Training beside the peers: the same network, images, size, batch and kind of augmentation, in interleaved rounds.

    git clone https://github.com/huggingface/pytorch-image-models
    python -m venv ultra && ultra/bin/pip install ultralytics
    python benchmarks/peers.py --timm pytorch-image-models/train.py --ultralytics ultra/bin/python \\
        --camvid --smp python --record results/measured/peers.json      # an hour and a half on two cores
    python benchmarks/peers.py --sizes 160 --rounds 1 --no-int8      # xvision and a bare PyTorch loop: two minutes

mobilenetv2_100 on photographs of 320x240 (JPEG), and with --camvid `camvid_segmentation` on CamVid in $XVISION_DATA
beside segmentation_models_pytorch's FPN: another network of about as many MACs over the same backbone. Each contender
is a process of its own (benchmarks/contenders/), as it comes and with our settings of memory and waiting in its
environment (Ultralytics, which takes one thread by itself, then gets all cores too). A peer that is not given is left
out. Columns, medians of the rounds:

img/s          images per second after the first epoch, with a 95 % bootstrap interval of the median
xvision x      how many times faster xvision is, round by round, with its interval
whole img/s    images over all seconds since the process was started
CPU ms/img     of the process and its children, after the first epoch
peak MiB       of the process, and what its loader processes hold beside it
first step s   from the start of the process
int8 s         from images to a verified int8 file, one epoch of training included; for xvision with the report; once

Rows of a case are kept beside the record until it is whole, so that the script may be stopped between two cases.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial as partial_of
from pathlib import Path
from typing import Any

import numpy as np
from contenders.clock import Work
from measurement import measured
from stages import write_photographs

from xvision.runs.environment import environment

CONTENDERS = Path(__file__).parent / "contenders"
BATCHES = {64: 64, 160: 32, 224: 16}
CAMVID = "CamVid 192x256"
OURS = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "8589934592",
    "MALLOC_TOP_PAD_": "268435456",
    "GOMP_SPINCOUNT": "1000",
}
INHERITED_NOT = ("MALLOC_", "GLIBC_TUNABLES", "GOMP_", "OMP_", "LD_PRELOAD")
LIMIT_S = 900.0  # for one process


@dataclass(frozen=True)
class Contender:
    """A program that trains, in an environment."""

    name: str
    command: tuple[str, ...]
    settings: str = "as it comes"
    environment: dict[str, str] = field(default_factory=dict)
    int8: bool = False  # can go on to an int8 file

    def with_ours(self, **more: str) -> Contender:
        return Contender(self.name, self.command, "with our settings", OURS | more)

    def run(self, work: dict[str, Any], *more: str) -> dict[str, float]:
        """What it says of itself, and the seconds that it took in all."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(INHERITED_NOT)}
        with tempfile.TemporaryDirectory() as out:
            started = time.time()
            given = json.dumps(asdict(Work(**work, out=out, started=started)))
            process = subprocess.Popen(
                [self.command[0], self.command[1], given, *self.command[2:], *more],
                env=kept | self.environment | {"XVISION_CACHE": f"{out}/cache"},
                cwd=out,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,  # so that its loader processes end with it
            )
            try:
                said, complained = process.communicate(timeout=LIMIT_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raise SystemExit(f"{self.name}, {self.settings}: not done after {LIMIT_S:g} s") from None
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                raise
            seconds = time.time() - started
        if process.returncode or not said:
            raise SystemExit(f"{self.name}, {self.settings}: exit {process.returncode}\n{complained[-3000:]}")
        return {**json.loads(said.splitlines()[-1]), "process_s": seconds}


def script(name: str, *arguments: str, python: Path | None = None) -> tuple[str, ...]:
    # not resolved: a virtual environment is known by the path of its python
    return (str(python.absolute()) if python else sys.executable, str(CONTENDERS / name), *arguments)


def classifiers(options: argparse.Namespace) -> list[Contender]:
    """xvision, then the peers in pairs."""
    peers = [Contender("bare PyTorch loop", script("bare_loop.py"), int8=True)]
    if options.timm:
        peers.append(Contender("timm train.py", script("timm_train.py", str(options.timm.resolve()))))
    found = [Contender("xvision", script("xvision_train.py"), int8=True)]
    found += [one for peer in peers for one in (peer, peer.with_ours())]
    if options.ultralytics:
        command = script("ultralytics_classify.py", python=options.ultralytics)
        peer = Contender("Ultralytics classify", command)
        found += [peer, peer.with_ours(OMP_NUM_THREADS=str(len(os.sched_getaffinity(0))))]
    return found


def segmenters(options: argparse.Namespace) -> list[Contender]:
    peers = [Contender("bare PyTorch loop", script("segmentation_loop.py", "xvision"))]
    if options.smp:
        peers.append(
            Contender("smp FPN, bare loop", script("segmentation_loop.py", "smp", python=options.smp))
        )
    own = Contender("xvision", script("xvision_train.py", "camvid"))
    return [own, *(one for peer in peers for one in (peer, peer.with_ours()))]


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % bootstrap interval of the median."""
    drawn = np.random.default_rng(0).integers(0, len(values), (2000, len(values)))
    low, high = np.percentile(np.median(np.array(values)[drawn], axis=1), (2.5, 97.5))
    return float(low), float(high)


def row(case: str, one: Contender, rounds: list[dict[str, float]], own: list[float]) -> dict[str, Any]:
    """The row of one contender in one case; `own` are the images/s of xvision in the same rounds."""
    rates = [each["img_per_s"] for each in rounds]
    ratios = [ours / theirs for ours, theirs in zip(own, rates, strict=True)]

    def median(name: str) -> float:
        return statistics.median(each[name] for each in rounds)

    def spread(of: list[float], form: str) -> str:
        low, high = interval(of)
        return f"{low:{form}}-{high:{form}}"

    found: dict[str, Any] = {
        "case": case,
        "contender": one.name,
        "settings": one.settings,
        "img/s": round(statistics.median(rates), 1),
        "img/s 95 %": spread(rates, ".1f"),
        "xvision x": round(statistics.median(ratios), 2),
        "x 95 %": spread(ratios, ".2f"),
        "whole img/s": round(median("whole_img_per_s"), 1),
        "CPU ms/img": round(median("cpu_ms_per_img"), 2),
        "peak MiB": round(median("peak_mib")),
        "first step s": round(median("first_step_s"), 1),
    }
    return found | {"int8 s": round(rounds[0]["int8_s"], 1) if "int8_s" in rounds[0] else "–"}


def compare(
    case: str, known: list[Contender], work: dict[str, Any], options: argparse.Namespace
) -> list[dict[str, Any]]:
    """The rows of all contenders; the first one is xvision."""
    found: list[list[dict[str, float]]] = [[] for _ in known]
    for number in range(options.rounds):
        for one, rounds in zip(known, found, strict=True):
            said = one.run(work)
            if one.int8 and not options.no_int8 and number == 0:
                said["int8_s"] = one.run(work, "int8")["process_s"]
            rounds.append(said)
            text = f"{case}, round {number + 1}: {one.name}, {one.settings}: {said['img_per_s']:.1f} img/s"
            print(text, file=sys.stderr, flush=True)
    own = [each["img_per_s"] for each in found[0]]
    return [row(case, one, rounds, own) for one, rounds in zip(known, found, strict=True)]


def photographs(size: int, folder: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    batch = options.batch or BATCHES.get(size, 32)
    if options.images % batch:
        raise SystemExit(f"--images: expected a multiple of the batch of {batch}, got {options.images}")
    work = {
        "images": folder, "size": size, "batch": batch, "num_images": options.images,
        "workers": options.workers, "seconds": options.seconds,
    }  # fmt: skip
    return compare(f"{size} px", classifiers(options), work, options)


def camvid(options: argparse.Namespace) -> list[dict[str, Any]]:
    folder = Path(os.environ.get("XVISION_DATA", "."), "camvid").resolve()
    if not folder.is_dir():
        raise SystemExit(
            f"--camvid: expected CamVid in {folder}; set XVISION_DATA to the folder that holds it"
        )
    batch = 8
    num_images = len(list(Path(folder, "train/images").iterdir())) // batch * batch
    work = {
        "images": str(folder), "size": 192, "batch": batch, "num_images": num_images,
        "workers": options.workers, "seconds": options.seconds,
    }  # fmt: skip
    return compare(CAMVID, segmenters(options), work, options)


def kept(file: Path | None, commit: str) -> list[dict[str, Any]]:
    """Rows of an earlier call, of the same commit."""
    if file is None or not file.exists():
        return []
    entries = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [entry["row"] for entry in entries if entry["commit"] == commit]


def show(rows: list[dict[str, Any]]) -> None:
    names = {"case": 16, "contender": 22, "settings": 18}
    head = list(rows[0])
    print("".join(f"{key:{names[key]}}" if key in names else f"{key:>13}" for key in head))
    for each in rows:
        print("".join(f"{v:{names[k]}}" if k in names else f"{v:>13}" for k, v in each.items()), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=list(BATCHES), help="px (64 160 224)")
    parser.add_argument("--batch", type=int, help=f"instead of {BATCHES}")
    parser.add_argument("--images", type=int, default=1024, help="for training (1024)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=15.0, help="counted after the first epoch (15)")
    parser.add_argument("--workers", type=int, default=2, help="loader processes of the peers (2)")
    parser.add_argument("--timm", type=Path, help="train.py in a checkout of timm's repository")
    parser.add_argument("--ultralytics", type=Path, help="python of an environment that has it")
    parser.add_argument("--camvid", action="store_true", help="segmentation too")
    parser.add_argument("--smp", type=Path, help="python of an environment with segmentation_models_pytorch")
    parser.add_argument("--no-int8", action="store_true", help="without the seconds to an int8 file")
    parser.add_argument("--record", type=Path, help="write a JSON file too")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the contender ends with it
    partial = options.record.with_suffix(".partial") if options.record else None
    commit = environment()["commit"]
    rows = kept(partial, commit)
    done = {row["case"] for row in rows}
    with tempfile.TemporaryDirectory() as folder:
        write_photographs(Path(folder), options.images, 64)
        cases = {f"{size} px": partial_of(photographs, size, folder, options) for size in options.sizes}
        cases |= {CAMVID: partial_of(camvid, options)} if options.camvid else {}
        for case, measure in cases.items():
            if case in done:
                continue
            found = measure()
            show(found)
            rows += found
            if partial:
                with partial.open("a", encoding="utf-8") as file:
                    file.writelines(json.dumps({"commit": commit, "row": row}) + "\n" for row in found)
    if options.record:
        measured(rows).write(options.record)
        assert partial is not None
        partial.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
