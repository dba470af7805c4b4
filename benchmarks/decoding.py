"""How busy decoding keeps the cores: what training could gain from decoding beside it.

    python benchmarks/decoding.py                    # about a minute; CamVid where $XVISION_DATA is set
    python benchmarks/decoding.py --record results/measured/decoding.json

Samples are decoded once, before the first step. Where that uses all cores, on a machine that trains on the same cores,
decoding during the first epoch would only move the same work.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from measurement import measured
from stages import write_photographs

from xvision.config.parts import Part
from xvision.data.cache import cached
from xvision.data.datasets import dataset
from xvision.train.hardware import num_cores

SIZES = {"photographs": (160, 160), "camvid": (192, 256)}


def decode(part: Part, size: tuple[int, int], fields: tuple[str, ...]) -> tuple[int, float, float]:
    """Images, wall seconds and CPU seconds of a first decoding, into a cache of its own."""
    split = part.build().splits["train"]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XVISION_CACHE"] = folder
        started, cpu = time.perf_counter(), time.process_time()
        cached(split, fields, size)
        return len(split), time.perf_counter() - started, time.process_time() - cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--num-images", type=int, default=3000)
    parser.add_argument("--record", type=Path, help="write a JSON file too")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        root = write_photographs(Path(folder), num_train=options.num_images, num_val=2)
        cases = {"photographs": (dataset.image_folder(root=str(root)), ("image", "class"))}
        if "XVISION_DATA" in os.environ:
            cases["camvid"] = (dataset.camvid(), ("image", "segmentation"))
        for name, (part, fields) in cases.items():
            found = [decode(part, SIZES[name], fields) for _ in range(options.rounds)]
            num = found[0][0]
            wall, busy = (
                statistics.median(column)
                for column in zip(*((wall, cpu / wall / num_cores()) for _, wall, cpu in found), strict=True)
            )
            rows.append({"images": name, "num": num, "seconds": round(wall, 2), "cores_busy": round(busy, 3)})
            print(
                f"{name:14}{num:6} images{wall:8.1f} s{100 * busy:8.0f} % of {num_cores()} cores", flush=True
            )
    if options.record:
        measured(rows).write(options.record)


if __name__ == "__main__":
    main()
