"""Model: pixels, backbone, heads; raw outputs, the same in train and eval mode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor, fx, nn

from xvision.models.backbone import Backbone, Tap
from xvision.models.inputs import Inputs
from xvision.models.pixels import Pixels

if TYPE_CHECKING:
    from xvision.models.weights import Loaded


SEPARATOR = "+"  # between the outputs in the name of a head that gives several


class Model(nn.Module):
    """A network from uint8 planes to named raw outputs: no loss, no argmax, no task inside.

    `inputs` says which planes `forward` takes, in order.

    `heads` are decoders: each has `taps`, what it asks of the backbone, and takes those tensors in order; one of maps
    has `divisor`, of which the image's sides must be multiples, so that every factor is whole, and `last`, its layers
    whose channels are those of the output. A `Shared` one gives several outputs.
    `routes` says which outputs of `backbone` each head takes, `taps` which of `levels` those are; `loaded` what became
    of the weights that were asked for.

    Raises: ValueError if the size is not such a multiple.
    """

    def __init__(
        self, inputs: Inputs, backbone: Backbone, heads: Mapping[str, nn.Module], size: tuple[int, int]
    ) -> None:
        super().__init__()
        _check_size(size, max((getattr(head, "divisor", 1) for head in heads.values()), default=1))
        wanted: list[Tap] = list(dict.fromkeys(tap for head in heads.values() for tap in _taps(head)))
        self.inputs = inputs
        self.levels = backbone.levels
        self.taps = tuple(wanted)
        self.pixels = Pixels(inputs.format)
        for stream in inputs.streams[1:]:
            self.add_module(f"{stream.name}_pixels", Pixels(stream.format, stream.name))
        self.backbone = backbone.graph(wanted)
        self.heads = nn.ModuleDict(heads)
        self.size = size
        self.loaded: Loaded | None = None
        self.routes = {name: tuple(wanted.index(tap) for tap in _taps(head)) for name, head in heads.items()}

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names that `forward` returns."""
        return tuple(name for key in self.heads for name in key.split(SEPARATOR))

    @property
    def map_outputs(self) -> tuple[str, ...]:
        """The outputs that are maps of the image's size; the others are class scores."""
        heads = self.heads.items()
        return tuple(name for key, head in heads if hasattr(head, "divisor") for name in key.split(SEPARATOR))

    def needed_by(self, key: str) -> set[fx.Node]:
        """The nodes of the backbone that a head depends on."""
        (ends,) = self.backbone.graph.output_node().args
        assert isinstance(ends, tuple)
        ahead: list[Any] = [ends[i] for i in self.routes[key]]
        seen: set[fx.Node] = set()
        while ahead:
            node = ahead.pop()
            if node not in seen:
                seen.add(node)
                ahead += node.all_input_nodes
        return seen

    def shared_parameters(self, scope: Literal["none", "last", "all"]) -> list[Tensor]:
        """Parameters that every output depends on: all of them, or the last layer's weight alone.

        They are the backbone's, but for what only one head reads, such as the layers before a classifier; where all
        outputs come from one shared decoder, also its own, but for the last layers.
        """
        if scope == "none":
            return []
        common = set.intersection(*(self.needed_by(key) for key in self.heads))
        modules = [
            self.backbone.get_submodule(str(node.target))
            for node in self.backbone.graph.nodes
            if node.op == "call_module" and node in common
        ]
        found = dict.fromkeys(p for module in modules for p in module.parameters())
        layers = [m.weight for m in modules if isinstance(m, nn.Conv2d | nn.Linear)]
        if len(self.heads) == 1 and isinstance(shared := next(iter(self.heads.values())), Shared):
            found |= dict.fromkeys(shared.common_parameters())
            layers += [p for p in shared.common_parameters() if p.ndim > 1]
        return layers[-1:] if scope == "last" else [p for p in found if p.requires_grad]

    def forward(self, *planes: Tensor) -> dict[str, Tensor]:
        features = self.backbone(*self._streams(planes))
        found: dict[str, Tensor] = {}
        for key, head in self.heads.items():
            out = head(*(features[i] for i in self.routes[key]))
            found |= out if isinstance(head, Shared) else {key: out}
        return found

    def _streams(self, planes: tuple[Tensor, ...]) -> list[Tensor]:
        """What each stem sees, from the planes in the order of `inputs`."""
        streams = []
        for pixels in (part for part in self.children() if isinstance(part, Pixels)):
            count = len(pixels.planes)
            streams.append(pixels(*planes[:count]))
            planes = planes[count:]
        return streams


class Shared(nn.Module):
    """One decoder of maps for several outputs: the channels of its last layers, one output's after the other's."""

    def __init__(self, decoder: nn.Module, channels: Mapping[str, int]) -> None:
        super().__init__()
        self.decoder = decoder
        self.channels = dict(channels)
        self.taps = decoder.taps
        if hasattr(decoder, "divisor"):
            self.divisor = decoder.divisor

    @property
    def _last(self) -> tuple[nn.Module, ...]:
        last: tuple[nn.Module, ...] = self.decoder.last  # type: ignore[assignment]
        return last

    def common_parameters(self) -> list[nn.Parameter]:
        """All but those of the last layers, which have the channels of each output."""
        own = {id(p) for layer in self._last for p in layer.parameters()}
        return [p for p in self.decoder.parameters() if id(p) not in own]

    def last_layers(self) -> list[str]:
        """The names of the last layers' modules."""
        own = {id(part) for layer in self._last for part in layer.modules()}
        return [name for name, module in self.named_modules() if id(module) in own]

    def forward(self, *levels: Tensor) -> dict[str, Tensor]:
        out, start, found = self.decoder(*levels), 0, {}
        for name, channels in self.channels.items():
            found[name] = out[:, start : start + channels]
            start += channels
        return found


def _check_size(size: tuple[int, int], divisor: int) -> None:
    if any(side % divisor for side in size):
        height, width = (max(1, round(side / divisor)) * divisor for side in size)
        raise ValueError(
            f"data.size: expected multiples of {divisor} for this network, got {size[0]}x{size[1]}; "
            f"the nearest is {height}x{width}"
        )


def _taps(head: nn.Module) -> tuple[Tap, ...]:
    taps = head.taps
    assert isinstance(taps, tuple), f"{type(head).__name__}.taps"
    return taps
