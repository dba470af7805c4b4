"""What a comparison of two executors found, as data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

FLOAT_TOLERANCE = 1e-3
"""How far outputs without integer codes may be off, as a share of the largest: runtimes add floats in another order."""


@dataclass
class LevelParity:
    """What was found at one optimisation level; `tensors` were compared.

    `max_lsb` is of integer codes, `max_error` of float outputs (as a share of the largest value).
    """

    max_lsb: int = 0
    max_error: float = 0.0
    agreement: float = 1.0
    tensors: int = 0


@dataclass
class OperatorParity:
    """What each operator of one executor gives of the codes that the other one has for its inputs.

    So a difference is of that operator alone, and does not grow from layer to layer. `level` is the optimisation level
    whose codes were taken; `differing` of `codes` are not equal, by `max_lsb` at most. `float_lsb` is that of tensors
    which operators in float give: they may be off by FLOAT_TOLERANCE of their range. `first_beyond` is the first tensor
    that is off by more than allowed.
    """

    level: str = ""
    tolerance_lsb: int = 0
    max_lsb: int = 0
    float_lsb: int = 0
    codes: int = 0
    differing: int = 0
    first_beyond: str | None = None

    @property
    def agreement(self) -> float:
        """The share of equal codes."""
        return 1 - self.differing / max(1, self.codes)


@dataclass
class Parity:
    """How far an executor is from another one, the reference, and how far it may be.

    End to end: `max_lsb` is the largest difference of integer codes at any tensor and level (where a file ends in an
    argmax: by how much scores must differ to give its class ids), `agreement` the smallest share of equal answers (the
    class of the largest score where a head has several channels), `first_difference` the first tensor in the order of
    the graph that differs, in the first batch where one does.

    Operator by operator: `reasons` say why codes may differ end to end though nothing is wrong. Where something differs
    then, `operators` is what is judged; without reasons, or where neither shows codes, it is end to end.

    `sqnr_db` is what quantization leaves of each output: signal over noise against the float network, on calibration
    images. `wide_layers` have sums beyond 2^24. `float_operators` compute in float between integers, `float_in_runtime`
    what the executor computes in float besides, for reasons of its own, each with the share of multiply-accumulates.
    """

    reference: str = ""
    executor: str = ""
    tolerance_lsb: int = 0
    levels: dict[str, LevelParity] = field(default_factory=dict)
    first_difference: str | None = None
    reasons: list[str] = field(default_factory=list)
    operators: OperatorParity | None = None
    images: int = 0
    sqnr_db: dict[str, float] = field(default_factory=dict)
    wide_layers: list[str] = field(default_factory=list)
    float_operators: list[str] = field(default_factory=list)
    float_in_runtime: str = ""

    @property
    def max_lsb(self) -> int:
        return max((level.max_lsb for level in self.levels.values()), default=0)

    @property
    def max_error(self) -> float:
        return max((level.max_error for level in self.levels.values()), default=0.0)

    @property
    def agreement(self) -> float:
        return min((level.agreement for level in self.levels.values()), default=1.0)

    @property
    def ok(self) -> bool:
        if self.operators is not None:
            return self.operators.first_beyond is None
        return self.max_lsb <= self.tolerance_lsb and self.max_error <= FLOAT_TOLERANCE

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a JSON file."""
        found = {"max_lsb": self.max_lsb, "max_error": self.max_error, "agreement": self.agreement}
        return {"ok": self.ok} | found | asdict(self)
