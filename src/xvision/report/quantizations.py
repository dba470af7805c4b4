"""The quantizations of a run as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xvision.quant.settings import Quant
from xvision.report.part_text import part_text
from xvision.runs.names import DEFAULT
from xvision.runs.record import Quantization, Record


@dataclass(frozen=True)
class Quantized:
    """One of them: its `quant` section, and what the record says of it, None before there is one."""

    name: str
    quant: Mapping[str, Any]
    made: Quantization | None

    @property
    def settings(self) -> list[tuple[str, str]]:
        return quant_settings(self.quant)

    @property
    def exceptions(self) -> str:
        return exceptions(self.quant)

    @property
    def corrections(self) -> str | None:
        """What was corrected, and on which images that was judged; None where the method corrects nothing."""
        found = self.made
        if found is None or not found.num_fitted:
            return None
        images = f"{found.num_fitted} calibration images"
        images += (
            f", judged on {found.num_judged} others" if found.num_judged else ", judged on the same ones"
        )
        if found.dropped:
            return f"Ranges from {images}; no correction of layers helped there, so none is in."
        kept = ", ".join(
            f"{name} in {number} layer{'s' * (number != 1)}"
            for name, number in sorted(found.corrections.items())
        )
        return f"Ranges and corrections from {images}. Corrected: {kept or 'nothing'}."


def quantizations(record: Record | None, recipe: Mapping[str, Any]) -> list[Quantized]:
    """Those that the record knows; before there are any, the one that the recipe describes."""
    known = record.quantization if record else {}
    if not known:
        return [Quantized(DEFAULT, recipe["quant"], None)]
    return [Quantized(name, made.quant, made) for name, made in known.items()]


def quant_settings(quant: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The settings of a `quant` section that say something, each as text."""
    return [(key, _text(value)) for key, value in quant.items() if value not in (None, "", {}, [])]


def _text(value: Any) -> str:
    """A part, a plain value, or the bits of layers."""
    if isinstance(value, dict) and all(isinstance(bits, str) for bits in value.values()):
        return ", ".join(f"{layer} {bits}" for layer, bits in value.items())
    return part_text(value)


def quant_text(quant: Mapping[str, Any]) -> str:
    """A `quant` section in a line.

    >>> quant_text({"scheme": {"pow2": {"weights": "tensor", "head_bits": 16}}, "method": "ptq"})
    'pow2:tensor head_bits=16, ptq, outputs in 16 bits'
    >>> quant_text({"scheme": {"pow2": {"head_bits": 8}}, "method": "ptq", "layers": {"stem*": "w4"}})
    'pow2 head_bits=8, ptq, layers=stem* w4'
    """
    parts = ("scheme", "method")
    texts = [text if key in parts else f"{key}={text}" for key, text in quant_settings(quant)]
    return ", ".join([*texts, *([but] if (but := exceptions(quant)) else [])])


def exceptions(quant: Mapping[str, Any]) -> str:
    """What a network of this `quant` section has in other bits than its name says."""
    found: str = Quant.model_validate(dict(quant)).numbers().exceptions
    return found
