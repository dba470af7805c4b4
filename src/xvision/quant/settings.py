"""The `quant` section of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from xvision.config.parts import Part, part_of
from xvision.quant import methods, schemes
from xvision.quant.bits import Bits, check_plan, read_plan
from xvision.quant.numbers import QuantScheme, Rounding
from xvision.quant.rules import Rule

ALIGNED: Mapping[str, tuple[str, ...]] = {
    "add": ("add", "sub"),
    "concat": ("concat",),
    "pool": ("avg_pool", "adaptive_avg_pool", "mean"),
    "resize": ("resize",),
}
"""Setting -> operators whose rule it is."""


class Quant(BaseModel):
    """How a trained network becomes integers.

    Settings that are none are the scheme's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scheme: Annotated[Part, part_of(schemes.scheme)] = schemes.scheme.pow2()
    """What numbers the device computes with."""
    method: Annotated[Part, part_of(methods.method)] = methods.method.ptq()
    """How their ranges are found."""
    rounding: Rounding | None = None
    """Of computed values: half_even (ONNX Runtime, LiteRT's convolutions, ESP32-P4), half_up (TI, ESP32-S3), double
    (TensorFlow Lite Micro, CMSIS-NN). An ONNX file can say the first only."""
    accumulator_bits: Annotated[int, Field(ge=16, le=64)] | None = None
    """Of sums of products; a layer that could need more is refused."""
    bias_bits: Annotated[int, Field(ge=8, le=32)] | None = None
    """Of biases; with fewer the scales of weights become larger where a bias needs it (TI 16, ESP32-S3 20)."""
    weight_clip: bool | None = None
    """Clip weights that are far beyond the others of their layer."""
    add: Literal["own", "join"] | None = None
    """Scales at additions: each tensor its own, or one for both inputs and the output, which every runtime computes
    alike."""
    concat: Literal["own", "join"] | None = None
    """Scales at concatenations: each input its own, or one for all and the output."""
    pool: Literal["own", "same"] | None = None
    """Scale after average pooling: of its own, or that of its input."""
    resize: Literal["own", "same"] | None = None
    """Scale after resizing: of its own, or that of its input."""
    float_operators: Literal["allow", "refuse"] | None = None
    """Whether operators that have no integer form may stay in float: allow, which is told, or only the layers that are
    named in `layers`."""
    layers: Annotated[dict[str, str], BeforeValidator(read_plan), AfterValidator(check_plan)] = {}
    """Other bits for some layers: patterns of names with w4, a16, w8a16 or float, or a plan's file (.yaml)."""

    def numbers(self) -> QuantScheme:
        """The scheme with what these settings change of it."""
        built: QuantScheme = self.scheme.build()
        rules: dict[str, Rule] = dict(built.rules)
        for setting, operators in ALIGNED.items():
            if (rule := getattr(self, setting)) is not None:
                rules |= dict.fromkeys(operators, rule)
        changed: dict[str, Any] = {
            "rules": rules,
            "layers": {k: Bits.parse(v) for k, v in self.layers.items()},
        }
        if self.rounding is not None:
            for kind in ("activations", "heads"):
                changed[kind] = replace(getattr(built, kind), rounding=self.rounding)
        if self.bias_bits is not None:
            changed["bias"] = replace(built.bias, bits=self.bias_bits)
        for name in ("accumulator_bits", "weight_clip", "float_operators"):
            if (value := getattr(self, name)) is not None:
                changed[name] = value
        return replace(built, **changed)
