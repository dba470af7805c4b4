"""`xvision train`, or with the argument "int8" the whole `xvision run`; a contender of benchmarks/peers.py.

It classifies photographs, or with the argument "camvid" segments CamVid.
"""

from __future__ import annotations

import sys
from pathlib import Path

from clock import Work, timed, told_apart

import xvision  # noqa: F401  before torch: it says how long threads spin


def words(work: Work) -> list[str]:
    if "camvid" in sys.argv:
        recipe = [
            "camvid_segmentation", "net.weights=none", "train.ema=0", f"data.root={work.images}",
            f"data.size={work.size}x{work.size * 4 // 3}",
        ]  # fmt: skip
    else:
        recipe = [
            "classification", "net.backbone=timm:mobilenetv2_100", "data=image_folder", f"data.root={work.images}",
            f"data.size={work.size}x{work.size}", "data.augment.saturation=0.2",
        ]  # fmt: skip
    return [*recipe, f"train.batch_size={work.batch}", "--out", str(Path(work.out, "run"))]


def xvision_command(*arguments: str) -> None:
    """As the command does it, in this process."""
    from xvision.cli import main

    sys.argv = ["xvision", *arguments]
    main()


def train(work: Work) -> None:
    xvision_command("train", *words(work), "train.epochs=1000000", "train.validate_every=1000000")


if __name__ == "__main__":
    if "int8" in sys.argv:
        work = Work.given()
        with told_apart() as line:
            try:
                xvision_command("run", *words(work), "train.epochs=1")
            except SystemExit as e:
                if e.code:
                    raise
            line({"done": 1})
    else:
        timed(train)
