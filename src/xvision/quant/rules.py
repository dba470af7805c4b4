"""What each operator asks of the scales of its inputs and output."""

from __future__ import annotations

from typing import Literal

Rule = Literal["layer", "clip", "same", "join", "own", "table", "float"]

RULES: dict[str, Rule] = {
    # layer: integer weights; the bias is on the grid of the accumulator; the output has its own scale
    "conv": "layer",
    "conv_transpose": "layer",
    "linear": "layer",
    # clip: part of the operator before it, done on the codes
    "relu": "clip",
    "relu6": "clip",
    "hardtanh": "clip",
    "clamp": "clip",
    # same: output values are input values, or lie between them; one lattice for both
    "max_pool": "same",
    "flatten": "same",
    "reshape": "same",
    "transpose": "same",
    "split": "same",
    "slice": "same",
    "resize": "same",
    "pad": "same",
    "pixel_shuffle": "same",
    "channel_shuffle": "same",
    # join: all inputs and the output are on one lattice
    "concat": "join",
    # own: exact arithmetic on integers, then the output's own scale; a clip after it belongs to it
    "add": "own",
    "sub": "own",
    "mul": "own",
    "mean": "own",
    "avg_pool": "own",
    "adaptive_avg_pool": "own",
    # table: a function of one value, 256 entries on a device; its input is on a lattice too
    "sigmoid": "table",
    "hardsigmoid": "table",
    "hardswish": "table",
    "silu": "table",
    "leaky_relu": "table",
    "elu": "table",
    "gelu": "table",
    "tanh": "table",
    "softplus": "table",
    "mish": "table",
}

FIXED: dict[str, tuple[float, bool]] = {
    "sigmoid": (1.0, False),
    "hardsigmoid": (1.0, False),
    "tanh": (1.0, True),
}
"""Operators whose range is known: the largest magnitude, and whether there are negative values."""


def rule(operator: str) -> Rule:
    """The rule of an operator; operators that are not in the table compute in float between two lattices."""
    return RULES.get(operator, "float")
