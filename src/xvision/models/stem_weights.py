"""Weights for the stems of further streams: those of the image's stem, as far as they mean the same.

A previous frame is a picture too, so its stem takes all of them. Flow is none: its first convolution, with the batch
norm that measured what that convolution gives, keeps its own weights, and the layers after it are shared.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from xvision.models.folding import first_layers
from xvision.models.matching import COUNTER, Match, Shapes, match
from xvision.models.model import Model
from xvision.models.streams import FUSE, stem_of


@dataclass(frozen=True)
class StreamMatch(Match):
    """`shared` says of each further stream what it took, in a line."""

    shared: tuple[str, ...] = ()


def stream_match(own: Shapes, given: Shapes, inner: str, model: Model) -> StreamMatch:
    """`match`, and for stems that the file does not know the tensors of the image's stem.

    `inner` is what the names of the backbone begin with in `own`.
    """
    streams = model.inputs.streams[1:]
    stems = {stream.name: f"{inner}{stem_of(stream.name)}" for stream in streams}
    added = (*stems.values(), f"{inner}{FUSE}.")
    if not streams or any(key.startswith(added) for key in given):
        return StreamMatch(**vars(match(own, given)))
    found = match({key: shape for key, shape in own.items() if not key.startswith(added)}, given)
    pairs, missing, lines = dict(found.pairs), [*found.missing], []
    for number, stream in enumerate(streams, start=1):
        prefix = stems[stream.name]
        fresh = () if stream.is_camera else _first(model, number, inner)
        keys = [key for key in own if key.startswith(prefix) and not key.endswith(COUNTER)]
        taken = {}
        for key in keys:
            theirs = found.pairs.get(f"{inner}{key.removeprefix(prefix)}")
            if theirs and given[theirs] == own[key] and not key.startswith(fresh):
                taken[key] = theirs
        pairs |= taken
        missing += [key for key in keys if key not in taken]
        lines.append(f"{stream.name} stem: {len(taken)} of {len(keys)} tensors, the same as the image's")
    missing += [key for key in own if key.startswith(f"{inner}{FUSE}.") and not key.endswith(COUNTER)]
    return StreamMatch(**vars(replace(found, pairs=pairs, missing=tuple(missing))), shared=tuple(lines))


def _first(model: Model, number: int, inner: str) -> tuple[str, ...]:
    """What the names of a stream's first layers begin with."""
    layers = first_layers(model.backbone, number)
    return tuple(f"{inner}{path}." for layer in layers for path in (layer.conv, layer.norm) if path)
