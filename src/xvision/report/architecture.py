"""A drawing of a network, made from the network itself: inputs, levels, heads and outputs with their sizes and cost.

The same network gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from xvision.report.numbers import count as short
from xvision.report.part_text import part_text

if TYPE_CHECKING:
    from xvision.graph.cost import Cost, Layer
    from xvision.models.model import Model


@dataclass(frozen=True)
class DrawnStage:
    """The layers of a backbone at one resolution."""

    stride: int
    shape: tuple[int, int, int]  # of its last level: channels, height, width
    macs: int


@dataclass(frozen=True)
class Head:
    """A decoder: which stages it reads, what it adds to the network, the outputs it gives with their shapes."""

    decoder: str
    strides: tuple[int, ...]
    macs: int
    params: int
    outputs: tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True)
class DrawnStream:
    """What enters through one stem: planes with their shapes, and the MACs of a stem of its own."""

    planes: tuple[tuple[str, tuple[int, ...]], ...]
    macs: int


@dataclass(frozen=True)
class Architecture:
    """What a drawing shows of a network."""

    title: str
    streams: tuple[DrawnStream, ...]
    stages: tuple[DrawnStage, ...]
    heads: tuple[Head, ...]


def describe(model: Model, title: str) -> Architecture:
    """The parts of a network, measured without computing anything."""
    from xvision.graph.cost import count
    from xvision.graph.shapes import run_on_meta
    from xvision.models.outputs import tensor_names
    from xvision.models.streams import stem_of

    cost = count(model, model.size)
    ends = [la for la in cost.layers if la.name.startswith("backbone.") and len(la.output) == 1]
    outputs = run_on_meta(model, *model.inputs.example(model.size, device="meta"))
    heads = []
    for key, decoder in model.decoders.items():
        read = [model.features[i] for i in model.routes[key]]
        strides = {model.levels[-1 if feature == "logits" else feature].stride for feature in read}
        shapes = tuple((name, tuple(outputs[name].shape[1:])) for name in tensor_names(model.outputs_of(key)))
        layers = [la for la in cost.layers if la.name.startswith(f"decoders.{key}.")]
        layers += ends if "logits" in read else []
        macs, params = sum(la.macs for la in layers), sum(la.params for la in layers)
        heads.append(Head(type(decoder).__name__, tuple(sorted(strides)), macs, params, shapes))
    stems = {s.name: f"backbone.{stem_of(s.name)}" for s in model.inputs.streams[1:]}
    streams = tuple(
        DrawnStream(
            tuple((p.name, p.shape(model.size)) for p in stream.planes),
            sum(
                la.macs
                for la in cost.layers
                if stream.name in stems and la.name.startswith(stems[stream.name])
            ),
        )
        for stream in model.inputs.streams
    )
    total = f"{title}: {short(cost.macs)} MACs, {short(cost.params)} parameters"
    return Architecture(total, streams, _stages(model, tuple(stems.values())), tuple(heads))


def _encoder(cost: Cost, stems: tuple[str, ...]) -> list[Layer]:
    """The backbone's layers without those of other inputs' stems and those after the last map, a classifier's."""
    inside = [layer for layer in cost.layers if layer.name.startswith("backbone.")]
    return [layer for layer in inside if not layer.name.startswith(stems or "-") and len(layer.output) != 1]


def _stages(model: Model, stems: tuple[str, ...]) -> tuple[DrawnStage, ...]:
    """The backbone's layers by the resolution of what they give, as deep as a head reads.

    A layer that gives one pixel, as squeeze-excite does, belongs to the stage around it; where the deepest level itself
    is one pixel, resolutions are those of an image four times as large.
    """
    from xvision.graph.cost import count

    height, width = model.size
    factor = 4 if min(model.size) < 2 * max(level.stride for level in model.levels) else 1
    last = {level.stride: level.channels for level in model.levels}  # of several levels of a stride the last
    read = max(model.levels[-1 if feature == "logits" else feature].stride for feature in model.features)
    macs = {stride: 0 for stride in sorted(last) if stride <= read}
    now = min(macs)
    layers = _encoder(count(model, model.size), stems)
    shapes = _encoder(count(model, (factor * height, factor * width)), stems)
    for layer, seen in zip(layers, shapes, strict=True):
        if len(seen.output) == 3 and seen.output[1] * seen.output[2] > 1:
            stride = round(factor * height / seen.output[1])
            now = stride if stride in macs else now
        macs[now] += layer.macs
    return tuple(
        DrawnStage(stride, (last[stride], -(-height // stride), -(-width // stride)), macs[stride])
        for stride in macs
    )


# ------------------------------------------------------------------------------------------- drawing

INK, MUTED, RULE, PAPER = "#1c2430", "#5b6673", "#b9c2cc", "#ffffff"
SHADES = ("#e8f0f8", "#d6e4f2", "#c2d7ec", "#adc9e5", "#97bade")  # of stages, from the image down
COLOURS = ("#c05621", "#2f855a", "#6b46c1", "#b7791f", "#2b6cb0", "#97266d")  # of heads
COLUMN, GAP, LEFT, TOP = 112, 22, 24, 64  # px
TALLEST, SHORTEST = 118, 66  # of stages
SIDE = 146  # width of inputs and outputs
BAR = 58  # height of heads
LINE = 17  # between lines of text


def draw(found: Architecture) -> str:
    """The drawing as SVG text: stages from left to right, heads below them, each under the stages that it reads."""
    stages = found.stages
    further = found.streams[1:]
    floor = TOP + TALLEST + len(further) * (BAR + GAP)
    first_x = LEFT + SIDE + 2 * GAP
    x_of = {stage.stride: first_x + i * (COLUMN + GAP) for i, stage in enumerate(stages)}
    right = first_x + len(stages) * (COLUMN + GAP) - GAP
    width = right + 2 * GAP + SIDE + LEFT
    height = floor + 40 + len(found.heads) * (BAR + GAP + 8)
    body = [_text(LEFT, 34, found.title, size=15, weight=600)]

    for i, stream in enumerate(further):
        y = TOP + i * (BAR + GAP)
        at = max((s for s in x_of if s <= 4), default=stages[0].stride)
        end = x_of[at] + COLUMN / 2
        body += [
            _box(LEFT, y, SIDE, BAR, "#f3f4f6", _lines(stream.planes)),
            _arrow(LEFT + SIDE, y + BAR / 2, first_x, y + BAR / 2, MUTED),
            _box(first_x, y, end + COLUMN / 2 - first_x, BAR, SHADES[1], ["stem of its own", _macs(stream.macs)]),
            _arrow(end, y + BAR, end, floor - _height(stages, at) - 1, MUTED),
        ]  # fmt: skip
    middle = floor - SHORTEST / 2
    body += [
        _box(LEFT, floor - SHORTEST - 20, SIDE, SHORTEST + 20, "#f3f4f6", _lines(found.streams[0].planes)),
        _arrow(LEFT + SIDE, middle, first_x, middle, MUTED),
    ]
    for i, stage in enumerate(stages):
        x, tall = x_of[stage.stride], _height(stages, stage.stride)
        if i:
            body.append(_arrow(x - GAP, middle, x, middle, MUTED))
        lines = [f"stride {stage.stride}", _shape(stage.shape), _macs(stage.macs)]
        body.append(_box(x, floor - tall, COLUMN, tall, SHADES[min(i, len(SHADES) - 1)], lines))

    tops = [floor + 40 + i * (BAR + GAP + 8) for i in range(len(found.heads))]
    for i, (head, y) in enumerate(zip(found.heads, tops, strict=True)):
        shift = 14 * (i - (len(found.heads) - 1) / 2)
        body += [
            _arrow(
                x_of[s] + COLUMN / 2 + shift,
                floor,
                x_of[s] + COLUMN / 2 + shift,
                y,
                COLOURS[i % len(COLOURS)],
            )
            for s in head.strides
        ]
    for i, (head, y) in enumerate(zip(found.heads, tops, strict=True)):
        colour = COLOURS[i % len(COLOURS)]
        start = min(x_of[head.strides[0]], right - 2 * COLUMN - GAP)
        lines = [head.decoder, f"{_macs(head.macs)}, {short(head.params)} parameters"]
        body += [
            _box(start, y, right - start, BAR, "#fbfcfd", lines, edge=colour),
            _arrow(right, y + BAR / 2, right + 2 * GAP, y + BAR / 2, colour),
            _box(right + 2 * GAP, y, SIDE, BAR, "#f3f4f6", _lines(head.outputs), edge=colour),
        ]  # fmt: skip
    return _svg(width, height, body, found.title)


def _height(stages: Sequence[DrawnStage], stride: int) -> float:
    """Of a stage's box, less with every halving."""
    place = [stage.stride for stage in stages].index(stride)
    return TALLEST - (TALLEST - SHORTEST) * place / max(1, len(stages) - 1)


def _lines(tensors: Sequence[tuple[str, tuple[int, ...]]]) -> list[str]:
    """Names and shapes: of one tensor below each other, of several side by side."""
    if len(tensors) == 1:
        return [tensors[0][0], _shape(tensors[0][1])]
    return [f"{name}  {_shape(shape)}" for name, shape in tensors]


def _shape(shape: Sequence[int]) -> str:
    """
    >>> _shape((24, 32, 64)), _shape((10,))
    ('24 × 32×64', '10')
    """
    channels, *size = shape
    return f"{channels} × {'×'.join(map(str, size))}" if size else str(channels)


def _macs(macs: int) -> str:
    return f"{short(macs)} MACs"


def _svg(width: float, height: float, body: Sequence[str], title: str) -> str:
    drawn = "\n".join(body)
    heads = "".join(_arrow_head(c) for c in (MUTED, *COLOURS) if f"#a{c[1:]})" in drawn)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_n(width)} {_n(height)}" width="{_n(width)}" '
        f'height="{_n(height)}" font-family="system-ui, Helvetica, Arial, sans-serif" role="img" '
        f'style="max-width:100%;height:auto">\n'
        f"<title>{escape(title)}</title>\n<defs>{heads}</defs>\n"
        f'<rect width="100%" height="100%" rx="8" fill="{PAPER}"/>\n{drawn}\n</svg>\n'
    )


def _arrow_head(colour: str) -> str:
    box = 'viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto"'
    return f'<marker id="a{colour[1:]}" {box}><path d="M0 0L8 4L0 8z" fill="{colour}"/></marker>'


def _box(
    x: float, y: float, width: float, height: float, fill: str, lines: Sequence[str], edge: str = RULE
) -> str:
    start = y + height / 2 - LINE * (len(lines) - 1) / 2 + 4.5
    text = [
        _text(x + width / 2, start + LINE * i, line, anchor="middle", weight=600 if i == 0 else 400)
        for i, line in enumerate(lines)
    ]
    place = f'x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}"'
    return f'<rect {place} rx="6" fill="{fill}" stroke="{edge}"/>' + "".join(text)


def _text(x: float, y: float, text: str, *, size: int = 13, anchor: str = "start", weight: int = 400) -> str:
    return (
        f'<text x="{_n(x)}" y="{_n(y)}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" fill="{INK}">'
        f"{escape(text)}</text>"
    )


def _arrow(x0: float, y0: float, x1: float, y1: float, colour: str) -> str:
    return (
        f'<path d="M{_n(x0)} {_n(y0)}L{_n(x1)} {_n(y1)}" stroke="{colour}" stroke-width="1.6" fill="none" '
        f'marker-end="url(#a{colour[1:]})"/>'
    )


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def title(recipe: Mapping[str, Any]) -> str:
    """What the drawing of a recipe is called: network, decoder and size."""
    net, size = recipe["net"], recipe["data"]["size"]
    return f"{recipe['name']}, {part_text(net['backbone']).split(' ')[0]} at {size}"
