"""Batch norm folded into the layer before it: for inference it is an affine map of each channel.

w' = w * gamma / sigma,  b' = (b - mean) * gamma / sigma + beta,  sigma = sqrt(var + eps)
(Jacob et al., "Quantization and Training of Neural Networks", CVPR 2018, section 3.2.)
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, fx, nn

from xvision.graph.operators import Layer, operator
from xvision.graph.surgery import bypass


def fold_batch_norms(graph: fx.GraphModule) -> None:
    """Fold every batch norm of a captured graph into the convolution or linear layer before it, in place.

    One without such a layer before it becomes a 1x1 depthwise convolution.
    """
    modules = dict(graph.named_modules(remove_duplicate=False))
    for node in list(graph.graph.nodes):
        if operator(node, modules) != "batch_norm":
            continue
        norm = modules[str(node.target)]
        assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d | nn.SyncBatchNorm)
        gain, offset = _affine(norm)
        before = node.all_input_nodes[0]
        if operator(before, modules) in ("conv", "conv_transpose", "linear") and len(before.users) == 1:
            _fold_into(cast(Layer, modules[str(before.target)]), gain, offset)
            bypass(node)
        elif len(node.meta["shape"]) == 4:
            graph.set_submodule(str(node.target), _depthwise(gain, offset))
    graph.delete_all_unused_submodules()
    graph.recompile()


def _affine(norm: nn.BatchNorm1d | nn.BatchNorm2d | nn.SyncBatchNorm) -> tuple[Tensor, Tensor]:
    """Gain and offset of each channel, in double precision."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    gain = torch.rsqrt(norm.running_var.double() + norm.eps)
    offset = -norm.running_mean.double() * gain
    if norm.affine:
        weight, bias = norm.weight.detach().double(), norm.bias.detach().double()
        gain, offset = gain * weight, offset * weight + bias
    return gain, offset


def _fold_into(layer: Layer, gain: Tensor, offset: Tensor) -> None:
    weight = layer.weight
    if isinstance(layer, nn.ConvTranspose2d):  # (in, out / groups, kernel), the groups stacked along in
        per_weight = gain.view(layer.groups, 1, weight.shape[1])
        per_weight = per_weight.expand(-1, weight.shape[0] // layer.groups, -1).reshape(
            *weight.shape[:2], 1, 1
        )
    else:
        per_weight = gain.view(-1, *[1] * (weight.ndim - 1))
    old = torch.zeros_like(gain) if layer.bias is None else layer.bias.detach().double()
    layer.weight = nn.Parameter((weight.detach().double() * per_weight).to(weight.dtype))
    layer.bias = nn.Parameter((old * gain + offset).to(weight.dtype))


def _depthwise(gain: Tensor, offset: Tensor) -> nn.Conv2d:
    channels = gain.numel()
    conv = nn.Conv2d(channels, channels, 1, groups=channels)
    conv.weight = nn.Parameter(gain.float().view(-1, 1, 1, 1))
    conv.bias = nn.Parameter(offset.float())
    return conv.to(gain.device)
