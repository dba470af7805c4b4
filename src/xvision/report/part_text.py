"""Parts of a recipe as people read them."""

from __future__ import annotations

from typing import Any


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
    >>> part_text({"ptq": {"num_images": 8, "rungs": ["mse", {"adaround": {"steps": 9}}]}})
    'ptq num_images=8 rungs=mse,adaround steps=9'
    >>> part_text({"qat": {"epochs": 1, "start": {"ptq": {"num_images": 256}}}})
    'qat epochs=1 start=(ptq num_images=256)'
    >>> part_text({"image_folder": {"crop_rect": [0, 0, 64, 96]}})
    'image_folder crop_rect=0,0,64,96'
    """
    name, settings = part_kind(plain), part_settings(plain)
    first = next(iter(settings), "")
    if isinstance(settings.get(first), str):
        name += f":{settings.pop(first)}"
    texts = {key: _value(value) for key, value in settings.items()}
    return " ".join([name, *(f"{k}={v}" for k, v in texts.items() if v not in (None, False, ""))])


def _value(value: Any) -> Any:
    """A setting: of several their texts, of a part its text."""
    if isinstance(value, list):
        return ",".join(part_text(one) if isinstance(one, dict) else str(one) for one in value)
    return f"({part_text(value)})" if isinstance(value, dict) and value else value


def part_settings(plain: Any) -> dict[str, Any]:
    """A copy of the settings of a part of a recipe's YAML."""
    settings = plain.get(part_kind(plain)) if isinstance(plain, dict) else None
    return dict(settings) if isinstance(settings, dict) else {}
