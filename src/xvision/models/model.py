"""Model: pixels, backbone, decoders; raw outputs, the same in train and eval mode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from torch import Tensor, fx, nn

from xvision.models.backbone import Backbone, Feature
from xvision.models.inputs import Inputs
from xvision.models.matching import Loaded
from xvision.models.outputs import OutputSpec, tensor_names
from xvision.models.pixels import Pixels


class Model(nn.Module):
    """A network from uint8 planes to named raw outputs: no loss, no argmax, no task inside.

    `inputs` says which planes `forward` takes, in order; `outputs_by_task` what each task gets.

    A decoder says what it reads with `in_features` (and takes those tensors in order), and with `size_divisor` what
    the image's sides must be multiples of, so that every factor is whole; it returns all outputs of its tasks by name.
    Tasks that share a decoder are given the same module, which is kept under the name of the first.
    `features` is what the decoders read together, `routes` which of these each takes; `loaded` says what became of the
    weights that were asked for.

    Raises: ValueError if the size is not such a multiple.
    """

    def __init__(
        self,
        inputs: Inputs,
        backbone: Backbone,
        decoders: Mapping[str, nn.Module],
        outputs_by_task: Mapping[str, Sequence[OutputSpec]],
        size: tuple[int, int],
    ) -> None:
        super().__init__()
        own: dict[nn.Module, str] = {}
        for task, decoder in decoders.items():
            own.setdefault(decoder, task)
        _check_size(size, max(_size_divisor(decoder) for decoder in own))
        self.inputs = inputs
        self.levels = backbone.levels
        self.published = backbone.published
        self.size = size
        self.loaded: Loaded | None = None
        self.outputs_by_task = {task: tuple(outputs) for task, outputs in outputs_by_task.items()}
        self.decoder_of = {task: own[decoder] for task, decoder in decoders.items()}
        self.features: tuple[Feature, ...] = tuple(dict.fromkeys(f for d in own for f in _in_features(d)))
        self.routes = {key: tuple(self.features.index(f) for f in _in_features(d)) for d, key in own.items()}
        self.pixels = Pixels(inputs.format, yuv_range=inputs.yuv_range)
        for stream in inputs.streams[1:]:
            self.add_module(f"{stream.name}_pixels", Pixels(stream.format, stream.name, stream.yuv_range))
        self.backbone = backbone.graph(self.features)
        self.decoders = nn.ModuleDict({key: decoder for decoder, key in own.items()})

    @property
    def size_divisor(self) -> int:
        """What the sides of the input must be multiples of."""
        return max(_size_divisor(decoder) for decoder in self.decoders.values())

    def tasks_of(self, key: str) -> tuple[str, ...]:
        """The tasks that a decoder serves."""
        return tuple(task for task, decoder in self.decoder_of.items() if decoder == key)

    def outputs_of(self, key: str) -> tuple[OutputSpec, ...]:
        """What a decoder gives."""
        return tuple(output for task in self.tasks_of(key) for output in self.outputs_by_task[task])

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names that `forward` returns."""
        return tuple(name for key in self.decoders for name in tensor_names(self.outputs_of(key)))

    def needed_by(self, key: str) -> set[fx.Node]:
        """The nodes of the backbone that a decoder depends on."""
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
        """Parameters that every task depends on: all of them, or the last layer's weight alone.

        They are the backbone's, but for what only one decoder reads, such as the layers before a classifier; where one
        decoder serves several tasks and there is no other, also its own, but for the layers that predict.
        """
        if scope == "none":
            return []
        common = set.intersection(*(self.needed_by(key) for key in self.decoders))
        modules = [
            self.backbone.get_submodule(str(node.target))
            for node in self.backbone.graph.nodes
            if node.op == "call_module" and node in common
        ]
        found = dict.fromkeys(p for module in modules for p in module.parameters())
        layers = [m.weight for m in modules if isinstance(m, nn.Conv2d | nn.Linear)]
        if len(self.decoders) == 1 and len(self.decoder_of) > 1:
            (decoder,) = self.decoders.values()
            predicting: Any = decoder.prediction_layers
            own = {id(p) for of_one in predicting.values() for layer in of_one for p in layer.parameters()}
            further = [p for p in decoder.parameters() if id(p) not in own]
            found |= dict.fromkeys(further)
            layers = [p for p in layers if id(p) not in own] + [p for p in further if p.ndim > 1]
            found = {p: None for p in found if id(p) not in own}
        return layers[-1:] if scope == "last" else [p for p in found if p.requires_grad]

    def forward(self, *planes: Tensor) -> dict[str, Tensor]:
        features = self.backbone(*self._streams(planes))
        found: dict[str, Tensor] = {}
        for key, decoder in self.decoders.items():
            found |= decoder(*(features[i] for i in self.routes[key]))
        return found

    def _streams(self, planes: tuple[Tensor, ...]) -> list[Tensor]:
        """What each stem sees, from the planes in the order of `inputs`."""
        streams = []
        for pixels in (part for part in self.children() if isinstance(part, Pixels)):
            count = len(pixels.planes)
            streams.append(pixels(*planes[:count]))
            planes = planes[count:]
        return streams


def _check_size(size: tuple[int, int], divisor: int) -> None:
    if any(side % divisor for side in size):
        height, width = (max(1, round(side / divisor)) * divisor for side in size)
        raise ValueError(
            f"data.size: expected multiples of {divisor} for this network, got {size[0]}x{size[1]}; "
            f"the nearest is {height}x{width}"
        )


def _in_features(decoder: nn.Module) -> tuple[Feature, ...]:
    assert isinstance(decoder.in_features, tuple), f"{type(decoder).__name__}.in_features"
    return decoder.in_features


def _size_divisor(decoder: nn.Module) -> int:
    assert isinstance(decoder.size_divisor, int), f"{type(decoder).__name__}.size_divisor"
    return decoder.size_divisor
