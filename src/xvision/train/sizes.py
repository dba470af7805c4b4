"""Progressive resizing: small inputs first, whole ones in the end."""

from __future__ import annotations

import math

WHOLE_FROM = 0.75  # of the training: the end sees what the file will see
_STEP_PX = 8  # sizes are multiples of it


def size_at(progress: float, size: tuple[int, int], start_ratio: float, divisor: int = 1) -> tuple[int, int]:
    """Height and width to train on when the share `progress` of the training is done, in multiples of `divisor`.

    A linear growth from `start_ratio` of `size` to the whole, the way of EfficientNetV2 (Tan and Le, ICML 2021, section
    4.2), without its change of augmentation; the whole size comes early, as a network has to know the scale at which it
    is measured (Touvron et al., Fixing the train-test resolution discrepancy, NeurIPS 2019).

    >>> [size_at(progress, (96, 128), 0.5, 32) for progress in (0, 0.4, 0.75, 1)]
    [(64, 64), (64, 96), (96, 128), (96, 128)]
    """
    ratio = min(1.0, start_ratio + (1 - start_ratio) * progress / WHOLE_FROM)
    if ratio == 1:
        return size
    step = math.lcm(divisor, _STEP_PX)
    height, width = (min(side, max(step, round(side * ratio / step) * step)) for side in size)
    return height, width
