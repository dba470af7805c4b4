"""Each weight rounded up or down, whichever is better for the output of its layer.

Source: Nagel et al., Up or Down? Adaptive Rounding for Post-Training Quantization, ICML 2020, sections 3 and 4: the
rounding is relaxed to h(V) = clip(1.2 sigmoid(V) - 0.1, 0, 1), V learns by Adam to lower the error of the output, and a
penalty 1 - |2 h - 1|^beta, with beta falling from 20 to 2 after a fifth of the steps, makes it choose.

What is different here: the error is the quadratic form of the second moments of the layer's inputs (its output before
the activation), so a step sees all images at once, costs one product and needs no gradient through a convolution. What
is rounded are the weights that fit the quantized inputs best (`quant.reconstruct`), with the scale that the layer has.
In the end single weights are turned over while that lowers the error, so no choice is left to a threshold.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from xvision.quant.fake import QuantLayer
from xvision.quant.fitting import Fitting
from xvision.quant.reconstruct import MAX_INPUTS, correct_bias, fitting_weights, moments_of
from xvision.quant.rungs import rung

STRETCH = 1.2  # of the sigmoid, so that it reaches 0 and 1
WARM_UP = 0.2
BETAS = (20.0, 2.0)


@rung
def adaround(
    fitting: Fitting,
    *,
    steps: Annotated[int, Field(ge=1)] = 300,
    lr: Annotated[float, Field(gt=0)] = 0.03,
    penalty: Annotated[float, Field(gt=0)] = 10.0,
) -> None:
    """AdaRound, layer by layer: weights rounded up or down by the error of the output; labels are not needed.

    `steps` and `lr` of Adam; `penalty` weighs what makes the rounding choose, against the error as a share of what
    rounding to nearest costs. Transposed and very wide layers are left out.
    """

    def ways(name: str) -> dict[str, partial[None]]:
        original = fitting.reference.get_submodule(name)
        assert isinstance(original, QuantLayer)
        weight = original.weight.detach()
        return {"adaround": partial(round_adaptively, weight=weight, steps=steps, lr=lr, penalty=penalty)}

    fitting.correct_layers(ways)


@torch.no_grad()
def round_adaptively(
    layer: QuantLayer,
    inputs: list[Tensor],
    targets: list[Tensor],
    *,
    weight: Tensor,
    steps: int,
    lr: float,
    penalty: float,
) -> None:
    """Choose the integer weights of a layer next to the float ones, `weight`, and the bias that goes with them."""
    if layer.kind == "conv_transpose" or weight[0].numel() > MAX_INPUTS:
        return
    moments = moments_of(layer, inputs, targets)
    wanted = fitting_weights(weight.double().reshape(*moments.yx.shape), moments)
    scale = layer.spread(layer.weight_scale).double().expand(weight.shape).reshape(wanted.shape)
    below = (wanted / scale).floor()
    low, high = layer.numbers.low, layer.numbers.high
    up = learned_rounding(wanted / scale, below, scale, moments.xx, steps, lr, penalty)
    codes = turned_over((below + up).clamp(low, high), below.clamp(low, high), (below + 1).clamp(low, high),
                        wanted, scale, moments.xx)  # fmt: skip
    layer.weight.copy_((codes * scale).reshape(layer.weight.shape))
    correct_bias(layer, inputs, targets)


def learned_rounding(
    in_steps: Tensor, below: Tensor, scale: Tensor, second: Tensor, steps: int, lr: float, penalty: float
) -> Tensor:
    """1 where a weight is to be rounded up, else 0: (G, O, K) all, with second moments (G, K, K) of the inputs."""
    rest = (in_steps - below).clamp(1e-4, 1 - 1e-4)
    nearest = (rest.round() - rest) * scale
    unit = ((nearest @ second) * nearest).sum() / nearest.numel()  # what rounding to nearest costs a weight
    second, scale, rest = (second / unit.clamp_min(1e-30)).float(), scale.float(), rest.float()
    v = torch.logit((rest + (STRETCH - 1) / 2) / STRETCH)
    optimizer = torch.optim.Adam([v], lr)
    for step in range(steps):
        sigmoid = v.sigmoid()
        stretched = STRETCH * sigmoid - (STRETCH - 1) / 2
        h = stretched.clamp(0, 1)
        slope = STRETCH * sigmoid * (1 - sigmoid) * ((stretched > 0) & (stretched < 1))
        gradient = 2 * scale * (((h - rest) * scale) @ second)
        if step >= WARM_UP * steps:
            done = (step / steps - WARM_UP) / (1 - WARM_UP)
            beta = BETAS[0] + (BETAS[1] - BETAS[0]) * done
            apart = 2 * h - 1
            gradient -= penalty * 2 * beta * apart.sign() * apart.abs() ** (beta - 1)
        v.grad = gradient * slope
        optimizer.step()
    return (v >= 0).double()  # h >= 1/2


def turned_over(
    codes: Tensor, below: Tensor, above: Tensor, wanted: Tensor, scale: Tensor, second: Tensor
) -> Tensor:
    """The codes, each either `below` or `above`, after turns of one at a time while one lowers the error.

    In each row the turn that lowers the error most is made, in all rows at once.
    """
    codes = codes.clone()
    slope = 2 * ((codes * scale - wanted) @ second)  # of the error, by weight
    own = second.diagonal(dim1=1, dim2=2).unsqueeze(1)
    for _ in range(2 * codes.shape[2]):
        change = (below + above - 2 * codes) * scale
        gain = change * slope + change.square() * own
        least, at = gain.min(2, keepdim=True)
        turned = least < -1e-9 * (scale.square() * own).amax()
        if not bool(turned.any()):
            break
        change = torch.where(turned, change.gather(2, at), 0.0)
        rows = second.gather(1, at.expand(-1, -1, second.shape[2]))
        slope += 2 * change * rows
        codes.scatter_add_(2, at, change / scale.gather(2, at))
    return codes.round()
