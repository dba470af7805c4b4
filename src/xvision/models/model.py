"""Model: pixels, backbone, heads; raw outputs, the same in train and eval mode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor, nn

from xvision.models.backbone import Backbone, Tap
from xvision.models.pixels import Pixels, Plane

if TYPE_CHECKING:
    from xvision.models.weights import Loaded


class Model(nn.Module):
    """A network from uint8 planes to named raw outputs: no loss, no argmax, no task inside.

    `heads` are decoders: each has `taps`, what it asks of the backbone, and takes those tensors in order; one that
    enlarges maps has `divisor`, of which the image's sides must be multiples, so that every factor is whole.
    `loaded` says what became of the weights that were asked for.

    Raises: ValueError if the size is not such a multiple.
    """

    def __init__(
        self, pixels: Pixels, backbone: Backbone, heads: Mapping[str, nn.Module], size: tuple[int, int]
    ) -> None:
        super().__init__()
        _check_size(size, max((getattr(head, "divisor", 1) for head in heads.values()), default=1))
        wanted: list[Tap] = list(dict.fromkeys(tap for head in heads.values() for tap in _taps(head)))
        self.pixels = pixels
        self.backbone = backbone.graph(wanted)
        self.heads = nn.ModuleDict(heads)
        self.size = size
        self.loaded: Loaded | None = None
        self._routes = {name: tuple(wanted.index(tap) for tap in _taps(head)) for name, head in heads.items()}

    @property
    def inputs(self) -> tuple[Plane, ...]:
        """The planes that `forward` takes, in order."""
        return self.pixels.planes

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names that `forward` returns."""
        return tuple(self.heads)

    @property
    def gives_maps(self) -> bool:
        """Whether a head enlarges maps to the image's size; else all give class scores."""
        return any(hasattr(head, "divisor") for head in self.heads.values())

    def forward(self, *planes: Tensor) -> dict[str, Tensor]:
        features = self.backbone(self.pixels(*planes))
        return {name: head(*(features[i] for i in self._routes[name])) for name, head in self.heads.items()}


def _check_size(size: tuple[int, int], divisor: int) -> None:
    if any(side % divisor for side in size):
        height, width = (max(1, round(side / divisor)) * divisor for side in size)
        raise ValueError(
            f"data.size: expected multiples of {divisor} for this network, came {size[0]}x{size[1]}; "
            f"the nearest is {height}x{width}"
        )


def _taps(head: nn.Module) -> tuple[Tap, ...]:
    taps = head.taps
    assert isinstance(taps, tuple), f"{type(head).__name__}.taps"
    return taps
