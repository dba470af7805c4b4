"""Class scores of the whole image."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from xvision.models.backbone import Backbone
from xvision.models.decoders import decoder
from xvision.models.heads import PredictionLayers, channels_of, split
from xvision.models.outputs import OutputSpec


@decoder
class classifier(nn.Module):
    """Class scores from the head that the network's authors gave it.

    Shapes: the backbone's logits (B, K), passed on. The head's parameters stay in the backbone, under their
    published names.
    """

    gives = ("scores",)
    in_features = ("logits",)
    size_divisor = 1

    def __init__(self, backbone: Backbone, outputs: Sequence[OutputSpec], *, dropout: float = 0.0) -> None:
        super().__init__()
        self.outputs = tuple(outputs)
        self._classifiers = backbone.classify(channels_of(outputs), dropout)

    @property
    def prediction_layers(self) -> PredictionLayers:
        """Those of the backbone that give the scores."""
        return {output.name: self._classifiers for output in self.outputs}

    def forward(self, logits: Tensor) -> dict[str, Tensor]:
        return split(logits, self.outputs)
