"""Averages over the pixels whose label is known, without picking them out.

Picking pixels with a boolean index makes the host wait for the device to count them, and the average of none is NaN.
Multiplying by a mask does neither, but only where the values themselves are finite: the caller must put a harmless
number at unknown pixels *before* a logarithm or a root, since the gradient of `where` is 0 times infinity there.
"""

from __future__ import annotations

import torch
from torch import Tensor


def precise(values: Tensor) -> Tensor:
    """The values as float32, or as they are if they are float64: half precision loses small differences.

    >>> precise(torch.zeros(1, dtype=torch.bfloat16)).dtype, precise(torch.zeros(1, dtype=torch.float64)).dtype
    (torch.float32, torch.float64)
    """
    return values if values.dtype == torch.float64 else values.float()


def masked_mean(values: Tensor, known: Tensor) -> Tensor:
    """Mean of finite `values` where `known`; 0 with gradient 0 if nothing is known.

    >>> masked_mean(torch.tensor([1.0, 2.0, 9.0]), torch.tensor([True, True, False]))
    tensor(1.5000)
    >>> masked_mean(torch.tensor([7.0]), torch.tensor([False]))
    tensor(0.)
    """
    return (values * known).sum() / known.sum().clamp(min=1)
