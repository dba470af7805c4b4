"""How many scenes are drawn per second on one core, both frames and all labels included.

    python benchmarks/scenes.py [--size 128x128] [--seconds 6] [--json]

Prints, per level, the median and the best rate over rounds of 40 scenes: by the clock, and by processor time, which
does not count what other programs take. The foundation asks for 100 scenes/s at 128x128.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import cv2

from xvision.config.sizes import parse_size
from xvision.data.scenes import LEVELS, scene

ROUND = 40


def measure(level: str, size: tuple[int, int], seconds: float) -> dict[str, float]:
    """Rates of one level in scenes/s."""
    scene(0, size, level)  # paints the textures
    clock, processor, first, end = [], [], 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        started, used = time.perf_counter(), time.process_time()
        for seed in range(first, first + ROUND):
            scene(seed, size, level)
        clock.append(ROUND / (time.perf_counter() - started))
        processor.append(ROUND / (time.process_time() - used))
        first += ROUND
    return {
        "clock_median": round(statistics.median(clock), 1),
        "clock_best": round(max(clock), 1),
        "processor_median": round(statistics.median(processor), 1),
        "processor_best": round(max(processor), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=parse_size, default=(128, 128), help="HxW")
    parser.add_argument("--seconds", type=float, default=6.0, help="for each level")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    rates = {level: measure(level, args.size, args.seconds) for level in LEVELS}
    if args.json:
        print(json.dumps({"size": list(args.size), "scenes_per_s": rates}))
        return
    print(f"scenes/s at {args.size[0]}x{args.size[1]} on one core")
    for level, rate in rates.items():
        print(
            f"  {level:7}"
            + "  ".join(f"{name.replace('_', ' ')} {value:6.1f}" for name, value in rate.items())
        )


if __name__ == "__main__":
    main()
