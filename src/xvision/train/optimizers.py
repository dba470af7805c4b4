"""Optimizers: torch's own, with the settings that matter and defaults for images.

A builder gets the parameter groups (the second one, if any, is kept from weight decay). torch is imported
inside the builders: recipes and command lines read this file before they need it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from xvision.config.parts import Registry

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

optimizer = Registry("optimizer", "xvision.train.optimizers")

Groups = Iterable[dict[str, Any]]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Decay = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def parameter_groups(parameters: Iterable[nn.Parameter], decay: str) -> list[dict[str, Any]]:
    """What is trained; with `decay` "weights" the second group is what decay leaves alone: biases, factors of norms."""
    params = [p for p in parameters if p.requires_grad]
    if decay == "all":
        return [{"params": params}]
    return [
        {"params": [p for p in params if p.ndim > 1]},
        {"params": [p for p in params if p.ndim <= 1], "weight_decay": 0.0},
    ]


@optimizer
def sgd(
    groups: Groups,
    *,
    lr: Rate = 0.1,
    momentum: float = 0.9,
    nesterov: bool = True,
    weight_decay: Decay = 1e-4,
) -> Optimizer:
    """Stochastic gradient descent with (Nesterov) momentum."""
    from torch.optim import SGD

    if nesterov and momentum == 0:
        raise ValueError(
            "train.optimizer.nesterov: needs momentum > 0, got momentum 0; set nesterov to false"
        )
    return SGD(groups, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)


@optimizer
def adam(
    groups: Groups, *, lr: Rate = 1e-3, beta1: float = 0.9, beta2: float = 0.999, weight_decay: Decay = 0.0
) -> Optimizer:
    """Adam; its weight decay is an L2 term of the gradient (see adamw)."""
    from torch.optim import Adam

    return Adam(groups, lr=lr, betas=(beta1, beta2), weight_decay=weight_decay)


@optimizer
def adamw(
    groups: Groups, *, lr: Rate = 1e-3, beta1: float = 0.9, beta2: float = 0.999, weight_decay: Decay = 0.05
) -> Optimizer:
    """Adam with decoupled weight decay.

    Source: Loshchilov and Hutter, Decoupled Weight Decay Regularization, ICLR 2019, algorithm 2.
    """
    from torch.optim import AdamW

    return AdamW(groups, lr=lr, betas=(beta1, beta2), weight_decay=weight_decay)


@optimizer
def rmsprop(
    groups: Groups,
    *,
    lr: Rate = 0.01,
    alpha: float = 0.9,
    eps: float = 1e-3,
    momentum: float = 0.9,
    weight_decay: Decay = 1e-5,
) -> Optimizer:
    """RMSprop with momentum, as mobile networks are often trained.

    Source: Tan and Le, EfficientNet, ICML 2019, section 5.2 (decay 0.9, momentum 0.9, weight decay 1e-5).
    """
    from torch.optim import RMSprop

    return RMSprop(groups, lr=lr, alpha=alpha, eps=eps, momentum=momentum, weight_decay=weight_decay)
