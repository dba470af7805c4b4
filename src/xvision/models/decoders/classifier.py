"""Class scores of the whole image."""

from __future__ import annotations

from torch import Tensor, nn

from xvision.models.backbone import Backbone
from xvision.models.decoders import decoder


@decoder
class classifier(nn.Module):
    """Class scores from the head that the network's authors gave it.

    Shapes: the backbone's logits (B, K), passed on. The head's parameters stay in the backbone, under their
    published names.
    """

    def __init__(self, backbone: Backbone, channels: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.taps = (backbone.classify(channels, dropout),)

    def forward(self, logits: Tensor) -> Tensor:
        return logits
