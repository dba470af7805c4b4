"""What each operator asks of the scales of its inputs and output: the table that a scheme takes, or changes."""

from __future__ import annotations

from typing import Literal

Rule = Literal["layer", "clip", "same", "join", "own", "table", "float"]

RULES: dict[str, Rule] = {
    # layer: integer weights; the bias is in steps of the accumulator; the output has its own scale
    "conv": "layer",
    "conv_transpose": "layer",
    "linear": "layer",
    # clip: part of the operator before it, done on the codes
    "relu": "clip",
    "relu6": "clip",
    "hardtanh": "clip",
    "clamp": "clip",
    # same: output values are input values, or lie between them; one quantization grid for both
    "max_pool": "same",
    "amax": "same",
    "amin": "same",
    "flatten": "same",
    "reshape": "same",
    "transpose": "same",
    "split": "same",
    "slice": "same",
    "resize": "same",
    "pad": "same",
    "pixel_shuffle": "same",
    "channel_shuffle": "same",
    # join: all inputs and the output are on one quantization grid
    "concat": "join",
    "maximum": "join",
    "minimum": "join",
    # own: exact arithmetic on integers, then the output's own scale; a clip after it belongs to it
    "add": "own",
    "sub": "own",
    "mul": "own",
    "matmul": "own",
    "mean": "own",
    "sum": "own",
    "avg_pool": "own",
    "adaptive_avg_pool": "own",
    "prelu": "own",
    # table: a function of one value, 256 entries on a device; its input is quantized too
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
    "selu": "table",
    "celu": "table",
    "hardshrink": "table",
    "log_sigmoid": "table",
    "abs": "table",
    "exp": "table",
}

KNOWN_RANGES: dict[str, tuple[float, float]] = {
    "sigmoid": (0.0, 1.0),
    "hardsigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
}
"""Operators whose smallest and largest value are known, so that no image is needed."""
