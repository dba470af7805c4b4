"""The `quant` section of a recipe."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict

from xvision.config.parts import Part, part_of
from xvision.quant import methods, schemes


class Quant(BaseModel):
    """How a trained network becomes integers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scheme: Annotated[Part, part_of(schemes.scheme)] = schemes.scheme.pow2()
    """What numbers the device computes with."""
    method: Annotated[Part, part_of(methods.method)] = methods.method.ptq()
    """How their ranges are found."""
