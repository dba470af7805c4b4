"""xvision: from images to a verified int8 model on a low-power device.

The public names are imported when first used, so that `import xvision` costs nothing.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

from xvision.train.waiting import spin_little

if TYPE_CHECKING:
    from xvision.export.export import export as export
    from xvision.export.verify import verify as verify
    from xvision.models.wrap import wrap as wrap
    from xvision.pipeline.run import run as run
    from xvision.predict.open import load as load
    from xvision.quant.quantize import quantize as quantize
    from xvision.quant.sensitivity import sensitivity as sensitivity
    from xvision.recipes.named import recipe as recipe
    from xvision.recipes.schema import Recipe as Recipe
    from xvision.runs.build import build as build
    from xvision.runs.run import Run as Run

_PUBLIC = {
    "Recipe": "xvision.recipes.schema",
    "Run": "xvision.runs.run",
    "build": "xvision.runs.build",
    "export": "xvision.export.export",
    "load": "xvision.predict.open",
    "quantize": "xvision.quant.quantize",
    "recipe": "xvision.recipes.named",
    "run": "xvision.pipeline.run",
    "sensitivity": "xvision.quant.sensitivity",
    "verify": "xvision.export.verify",
    "wrap": "xvision.models.wrap",
}


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'xvision' has no attribute '{name}'")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(_PUBLIC)


class _Package(types.ModuleType):
    """Importing `xvision.pipeline.run` would bind that name to the module; it stays the function's."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _PUBLIC and isinstance(value, types.ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
spin_little()
