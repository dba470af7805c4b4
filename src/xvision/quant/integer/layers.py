"""Convolutions, transposed ones and linear layers on whole numbers: a matrix product for each place of the kernel."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from xvision.quant.fake import QuantLayer
from xvision.quant.integer.fixed import FixedPoint


def layer_sum(layer: QuantLayer, x: FixedPoint) -> FixedPoint:
    """The accumulator of a layer; its step is that of the input times that of the weights."""
    weight, bias = (codes.long() for codes in layer.codes())
    step = layer.source.scale.double() * layer.weight_scale.double()
    if layer.kind == "linear":
        return FixedPoint(x.whole @ weight.T + bias, step, of_layer=True)
    sums = (
        transposed(layer, weight, x.whole) if layer.kind == "conv_transpose" else conv(layer, weight, x.whole)
    )
    return FixedPoint(sums + bias.view(-1, 1, 1), step.view(-1, 1, 1) if step.ndim else step, of_layer=True)


def conv(layer: QuantLayer, weight: Tensor, x: Tensor) -> Tensor:
    """A convolution; zeros around the map are codes of zero, as its zero point is taken off.

    Shapes: (B, C, H, W) and (O, C / groups, kernel) to (B, O, H, W).
    """
    (down, across), (by_row, by_column) = layer.options["stride"], layer.options["dilation"]
    vertical, horizontal = layer.options["padding"]
    left, right, top, bottom = layer.pad
    x = F.pad(x, (left + horizontal, right + horizontal, top + vertical, bottom + vertical))
    kernel_rows, kernel_columns = weight.shape[2:]
    rows = (x.shape[2] - by_row * (kernel_rows - 1) - 1) // down + 1
    columns = (x.shape[3] - by_column * (kernel_columns - 1) - 1) // across + 1
    result = x.new_zeros(len(x), len(weight), rows, columns)
    for i in range(kernel_rows):
        for j in range(kernel_columns):
            seen = x[:, :, i * by_row :: down, j * by_column :: across][:, :, :rows, :columns]
            result += products(seen, weight[:, :, i, j], layer.options["groups"])
    return result


def transposed(layer: QuantLayer, weight: Tensor, x: Tensor) -> Tensor:
    """A transposed convolution: each pixel adds its products to the places of the result that it reaches.

    Shapes: (B, C, H, W) and (C, O / groups, kernel) to (B, O, H, W).
    """
    options, groups = layer.options, layer.options["groups"]
    (down, across), (by_row, by_column) = options["stride"], options["dilation"]
    (top, left), (more_rows, more_columns) = options["padding"], options["output_padding"]
    channels, outputs, kernel_rows, kernel_columns = weight.shape
    height, width = x.shape[2:]
    rows = (height - 1) * down + by_row * (kernel_rows - 1) + 1 + more_rows
    columns = (width - 1) * across + by_column * (kernel_columns - 1) + 1 + more_columns
    result = x.new_zeros(len(x), outputs * groups, rows, columns)
    by_group = weight.view(groups, channels // groups, outputs, kernel_rows, kernel_columns).transpose(1, 2)
    by_output = by_group.reshape(groups * outputs, channels // groups, kernel_rows, kernel_columns)
    for i in range(kernel_rows):
        for j in range(kernel_columns):
            there = result[:, :, i * by_row :: down, j * by_column :: across][:, :, :height, :width]
            there += products(x, by_output[:, :, i, j], groups)
    return result[:, :, top : rows - top, left : columns - left]


def products(x: Tensor, weight: Tensor, groups: int) -> Tensor:
    """The sums of products of a 1x1 convolution: (B, C, H, W) and (O, C / groups) to (B, O, H, W)."""
    batch, channels, height, width = x.shape
    if groups == channels == len(weight):
        return x * weight.view(-1, 1, 1)
    by_group = x.reshape(batch, groups, channels // groups, height * width)
    return (weight.view(groups, -1, channels // groups) @ by_group).view(batch, -1, height, width)
