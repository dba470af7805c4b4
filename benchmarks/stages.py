"""Where wall and CPU seconds go: every stage and verb of four recipes, with little training.

    python benchmarks/stages.py --record results/measured/stages.json      # about six minutes on two cores
    python benchmarks/stages.py --recipes classification           # some of them

Stages are timed by the run itself (status.json); verbs from outside, their start and imports included.
CamVid needs $XVISION_DATA; without it that recipe is left out. Of two versions, run each with its PYTHONPATH.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

XVISION = (sys.executable, "-m", "xvision.cli")
STEPS = ("train.max_steps=4", "train.workers=0")
RECIPES: dict[str, tuple[str, ...]] = {
    "demo": ("demo",),
    "classification": ("classification", "net.backbone=timm:mobilenetv2_100", "data=image_folder",
                       "data.root={images}", "data.size=160x160"),
    "camvid": ("camvid_segmentation",),
    "street": ("street", "data.num_train=200", "data.num_val=50"),
}  # fmt: skip


def timed(*words: str) -> tuple[float, float]:
    """Wall and CPU seconds of a command, its children included."""
    before, started = os.times(), time.perf_counter()
    done = subprocess.run([*XVISION, *words], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"xvision {' '.join(words)}: exit {done.returncode}\n{done.stderr[-2000:]}")
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - started, cpu


def write_photographs(root: Path, num_train: int = 1500, num_val: int = 85) -> Path:
    """Smooth noise of 320x240 in two classes, as JPEG."""
    rng = np.random.default_rng(0)
    for split, num in (("train", num_train), ("val", num_val)):
        for name in ("a", "b"):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(num // 2):
                small = rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)
                image = cv2.resize(small, (320, 240), interpolation=cv2.INTER_CUBIC)
                cv2.imwrite(str(folder / f"{i:04}.jpg"), image)
    return root


def profile(name: str, words: Sequence[str], place: Path, images: Path) -> list[dict[str, Any]]:
    """Rows of one recipe: step, wall_s, cpu_s."""
    out = str(place / name)
    given = [word.format(images=images) for word in words]
    whole = timed("run", *given, *STEPS, "--out", out)
    status = json.loads(Path(out, "status.json").read_text())
    stages = {stage: (done["wall_s"], done["cpu_s"]) for stage, done in status["stages"].items()}
    inside = [sum(one[i] for one in stages.values()) for i in (0, 1)]
    rows = {"start and checks": tuple(all_ - own for all_, own in zip(whole, inside, strict=True)), **stages}
    rows["run in all"] = whole
    rows["val"] = timed("val", out)
    picture = sorted(images.rglob("*.jpg"))[:16]
    rows["predict, 16 images"] = timed("predict", out, *map(str, picture), "--out", f"{out}_predicted")
    rows["run, nothing to do"] = timed("run", *given, *STEPS, "--out", out)
    return [
        {"recipe": name, "step": step, "wall_s": round(wall, 2), "cpu_s": round(cpu, 2)}
        for step, (wall, cpu) in rows.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--recipes", nargs="*", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--record", type=Path, help="write a JSON file too")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        os.environ["XVISION_CACHE"] = str(place / "cache")
        images = write_photographs(place / "photographs")
        for name in options.recipes:
            if name == "camvid" and "XVISION_DATA" not in os.environ:
                print("camvid: left out, XVISION_DATA is not set")
                continue
            found = profile(name, RECIPES[name], place, images)
            rows += found
            for row in found:
                print(f"{name:16}{row['step']:22}{row['wall_s']:8.1f} s{row['cpu_s']:8.1f} CPU s", flush=True)
    if options.record:
        from measurement import measured

        measured(rows).write(options.record)


if __name__ == "__main__":
    main()
