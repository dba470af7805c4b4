"""Drawings of networks for the docs.

    python -m tools.architecture segmentation docs/figures/segmentation.svg
    python -m tools.architecture segmentation+depth OUT.svg net.decoder=unet_lite data.size=256x512

The recipe's network is built for its data set's classes and counted; nothing is trained, and weights are not loaded.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import xvision as xv
from xvision.files import write_text
from xvision.report.architecture import describe, draw, title


def drawing(recipe: xv.Recipe) -> str:
    """The SVG of a recipe's network."""
    net = recipe.net.model_copy(update={"weights": "none"})
    return draw(describe(xv.build(recipe.model_copy(update={"net": net})), title(recipe.to_dict())))


def main(words: Sequence[str]) -> None:
    """Draw a recipe's network into a file."""
    if len(words) < 2:
        raise SystemExit("usage: python -m tools.architecture RECIPE OUT.svg [KEY=VALUE]...")
    name, out, *overrides = words
    write_text(Path(out), drawing(xv.recipe(name, *overrides)))


if __name__ == "__main__":
    main(sys.argv[1:])
