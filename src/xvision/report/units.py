"""Numbers and names as people read them, the same in the report and in every table."""

from __future__ import annotations

import math
from typing import Any

METRICS = {
    "score": ("score", "%"),
    "top1": ("top-1 accuracy", "%"),
    "top5": ("top-5 accuracy", "%"),
    "mean_class_accuracy": ("mean class accuracy", "%"),
    "f1": ("macro F1", "%"),
    "miou": ("mean IoU", "%"),
    "pixel_accuracy": ("pixel accuracy", "%"),
    "frequency_weighted_iou": ("frequency-weighted IoU", "%"),
    "moving_iou": ("moving IoU", "%"),
    "static_iou": ("static IoU", "%"),
    "abs_rel": ("relative depth error", "%"),
    "abs_rel_rng1": ("relative depth error beyond 1 m", "%"),
    "abs_rel_rng3to20": ("relative depth error from 3 m, cut at 20 m", "%"),
    "abs_rel_rng3to80": ("relative depth error from 3 m, cut at 80 m", "%"),
    "abs_rel_rng3to255": ("relative depth error from 3 m, cut at 255 m", "%"),
    "abs_rel_weighted_rng3to255": ("relative depth error from 3 m, a tenth of the weight from 255 m", "%"),
    "rmse_m": ("RMSE of depth", "m"),
    "rmse_log": ("RMSE of log depth", "log m"),
    "silog": ("SILog", "100 log m"),
    "delta1": ("depth within 1.25", "%"),
    "delta2": ("depth within 1.25²", "%"),
    "delta3": ("depth within 1.25³", "%"),
    "epe_px": ("end-point error", "px"),
    "outlier_ratio": ("flow outliers", "%"),
}
"""Metric to what it is called in prose, and its unit."""


def metric_name(name: str) -> str:
    """What a metric is called in prose, and its unit; an unlisted one keeps its own name, and one of several tasks its
    task.

    >>> metric_name("top1"), metric_name("spread"), metric_name("depth/abs_rel"), metric_name("segmentation/iou_car")
    ('top-1 accuracy, %', 'spread', 'depth: relative depth error, %', 'segmentation: IoU of car, %')
    """
    task, prose, unit_of = _metric(name)
    return (f"{task}: " if task else "") + prose + (f", {unit_of}" if unit_of else "")


def unit(name: str) -> str:
    """The unit of a metric; nothing for an unlisted one.

    >>> unit("depth.rmse_m"), unit("iou_St. Bernard"), unit("spread")
    ('m', '%', '')
    """
    return _metric(name)[2]


def _metric(name: str) -> tuple[str, str, str]:
    """Task, or nothing if there is one alone, prose and unit."""
    task, slash, own = name.partition("/")
    if not slash:
        task, own = "", name
    known = (f"IoU of {own.removeprefix('iou_')}", "%") if own.startswith("iou_") else (own, "")
    return task, *METRICS.get(own, known)


def part_kind(plain: Any) -> str:
    """The bare name of a part of a recipe's YAML, the names of several joined by +.

    >>> part_kind({"image_folder": {"root": "photos"}}), part_kind("cifar10"), part_kind({"depth": {}, "motion": {}})
    ('image_folder', 'cifar10', 'depth+motion')
    """
    return "+".join(map(str, plain)) if isinstance(plain, dict) else str(plain or "")


def part_text(plain: Any) -> str:
    """A part of a recipe's YAML with the settings that say something.

    >>> part_text({"timm": {"model": "resnet18", "width": 0.5, "strides": [1, 2, 2], "output_stride": None}})
    'timm:resnet18 width=0.5 strides=1,2,2'
    >>> part_text("classifier")
    'classifier'
    """
    name, settings = part_kind(plain), part_settings(plain)
    first = next(iter(settings), "")
    if isinstance(settings.get(first), str):
        name += f":{settings.pop(first)}"
    texts = {k: ",".join(map(str, v)) if isinstance(v, list) else v for k, v in settings.items()}
    return " ".join([name, *(f"{k}={v}" for k, v in texts.items() if v not in (None, False, ""))])


def part_settings(plain: Any) -> dict[str, Any]:
    """A copy of the settings of a part of a recipe's YAML."""
    settings = plain.get(part_kind(plain)) if isinstance(plain, dict) else None
    return dict(settings) if isinstance(settings, dict) else {}


def value(number: float | None) -> str:
    """A metric: two decimals, more for small values.

    >>> value(87.314), value(0.01234), value(None), value(float("nan"))
    ('87.31', '0.01234', '–', 'undefined')
    """
    if number is None:
        return "–"
    if math.isnan(number):
        return "undefined"
    return f"{number:.2f}" if abs(number) >= 1 or number == 0 else f"{number:.4g}"


def delta(before: float | None, after: float | None) -> str:
    """A difference with its sign.

    >>> delta(87.31, 87.25), delta(1.0, 1.0), delta(None, 1.0)
    ('−0.06', '0.00', '–')
    """
    if before is None or after is None or math.isnan(after - before):
        return "–"
    text = f"{after - before:+.2f}"
    return "0.00" if float(text) == 0 else text.replace("-", "−")


def count(number: float) -> str:
    """A large count with its prefix and three digits.

    >>> count(40_812_544), count(272_474), count(12), count(4_089_200_000)
    ('40.8 M', '272 k', '12', '4.09 G')
    """
    for factor, prefix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= factor:
            digits = 2 if number < 10 * factor else 1 if number < 100 * factor else 0
            return f"{number / factor:.{digits}f}{prefix}"
    return f"{number:.0f}"


def size_bytes(number: int) -> str:
    """A file size in units of 1000 bytes.

    >>> size_bytes(512), size_bytes(2_345_678)
    ('512 B', '2.35 MB')
    """
    return f"{count(number)}B" if number >= 1000 else f"{number} B"


def seconds(number: float) -> str:
    """A duration.

    >>> seconds(4.21), seconds(75), seconds(7265)
    ('4.2 s', '1 min 15 s', '2 h 1 min')
    """
    if number < 60:
        return f"{number:.1f} s"
    minutes = round(number) // 60
    return (
        f"{minutes} min {round(number) % 60} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
    )
