"""Checkpoints: safetensors and JSON, each whole or absent, never two of them mixed.

`last` lets a training resume bit by bit; `best` is the network to use. A safetensors file carries its manifest in its
header, so renaming that one file into place is what makes a checkpoint exist; `best.json` is a copy of that of `best`.
Optimizer state and moving average are bigger than the weights and lie beside them in `last.state-0` or
`last.state-1`, whichever the checkpoint before does not use: a crash at any moment leaves one complete checkpoint.

Random numbers need no state: each step seeds its generators (see `xvision.train.learner.seed_step`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field, TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn
from torch.optim import Optimizer

from xvision.config.messages import explain
from xvision.files import replacing, write_json
from xvision.models.inputs import Inputs
from xvision.train.errors import CheckpointError

Tensors = Mapping[str, Tensor]
HASH = "sha256"  # in the header, of all else there and of the tensors
STATE_FILES = ("last.state-0.safetensors", "last.state-1.safetensors")


@dataclass
class Manifest:
    """Everything of a checkpoint that is not a tensor."""

    identity: str
    """Digest of what the training depends on; another one cannot continue from here."""
    step: Annotated[int, Field(ge=0)]
    epoch: float
    num_steps: int = 0
    """Of the whole training."""
    validated_step: int = -1
    """The last step at the end of an epoch after which the network was validated, or did not have to be."""
    best_step: int = -1
    best: dict[str, float] = field(default_factory=dict)
    """Metrics of the best validation so far."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """One entry per validation."""
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    num_samples: int = 0
    """Images trained on, and the seconds that took alone."""
    train_seconds: float = 0.0
    state_file: str = ""
    scalars: dict[str, Any] = field(default_factory=dict)
    """Optimizer and loss-scaler state that is plain numbers."""


_MANIFEST = TypeAdapter(Manifest)


def write_tensors(path: Path, tensors: Tensors, manifest: Mapping[str, Any]) -> None:
    """One safetensors file with `manifest` in its header, atomically, and the hash of both."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps({**manifest, HASH: _digest(plain, manifest)})
    content = to_bytes(plain, metadata={"manifest": text})  # of several entries the order would be random
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and manifest of a safetensors file; CheckpointError names the file when it is broken or changed."""
    with _reading(path) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        manifest = _header(file)
        written = manifest.pop(HASH, None)
        if written is not None and written != _digest(tensors, manifest):
            raise ValueError("expected what xvision wrote, got a changed file")
        return tensors, manifest


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a safetensors file, without its tensors; CheckpointError as `read_tensors`."""
    with _reading(path) as file:
        return _header(file)


def _digest(tensors: Tensors, manifest: Mapping[str, Any]) -> str:
    """sha256 of a manifest and the bytes of all tensors."""
    found = hashlib.sha256(json.dumps(manifest).encode())
    for name in sorted(tensors):
        found.update(name.encode())
        found.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, "pt") as file:
            yield file
    except (OSError, ValueError, RecursionError, SafetensorError) as e:
        raise CheckpointError(f"{path}: cannot be read as safetensors ({e}); {_cure(path.parent)}") from e


def _header(file: Any) -> dict[str, Any]:
    manifest = json.loads((file.metadata() or {}).get("manifest", "{}"))
    if not isinstance(manifest, dict):
        raise ValueError(f"expected a manifest of keys and values in its header, got {str(manifest)[:80]}")
    return manifest


def _cure(folder: Path) -> str:
    return f"remove the folder {folder} and the training starts again, or run with --fresh"


def about(inputs: Inputs, classes: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """What a manifest says so that another network can take the weights: pixel format, and names of classes."""
    return {"pixels": inputs.format, "yuv_range": inputs.yuv_range, "classes": classes}


def load_weights(model: nn.Module, path: Path) -> dict[str, Any]:
    """Fill `model` with the weights of a checkpoint of the same network and return its manifest.

    Raises CheckpointError naming the file and every key that is missing, extra or of another shape.
    """
    tensors, manifest = read_tensors(path)
    fill(model, tensors, path)
    return manifest


def fill(model: nn.Module, tensors: Tensors, path: Path) -> None:
    own = model.state_dict()
    problems = [f"{k} is missing" for k in own if k not in tensors]
    problems += [f"{k} is not part of the network" for k in tensors if k not in own]
    problems += [
        f"{k} has shape {tuple(tensors[k].shape)}, the network {tuple(v.shape)}"
        for k, v in own.items()
        if k in tensors and tensors[k].shape != v.shape
    ]
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise CheckpointError(f"{path}: not of this network: {'; '.join(problems[:5])}{more}")
    model.load_state_dict(dict(tensors))


class Checkpoints:
    """The folder `checkpoints` of a run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.last = folder / "last.safetensors"
        self.best = folder / "best.safetensors"
        self.saved_step = -1  # of `last`, for messages

    def save_last(self, manifest: Manifest, weights: Tensors, state: Tensors) -> None:
        """Replace `last`; CheckpointError (a full disk, say) leaves the one before in place."""
        before = read_manifest(self.last).get("state_file") if self.last.exists() else None
        manifest.state_file = STATE_FILES[before == STATE_FILES[0]]
        try:
            write_tensors(self.folder / manifest.state_file, state, {"step": manifest.step})
            write_tensors(self.last, weights, asdict(manifest))
            self.tidy(manifest)
        except OSError as e:
            raise CheckpointError(
                f"{e}; {self.describe()}; free some space and run the same command again"
            ) from e
        self.saved_step = manifest.step

    def tidy(self, manifest: Manifest) -> None:
        """Remove the state that `last` does not use; after a kill a training that resumes does it."""
        for name in STATE_FILES:
            if name != manifest.state_file:
                (self.folder / name).unlink(missing_ok=True)

    def save_best(self, manifest: Mapping[str, Any], weights: Tensors) -> None:
        try:
            write_tensors(self.best, weights, manifest)
            write_json(self.best.with_suffix(".json"), manifest)
        except OSError as e:
            raise CheckpointError(
                f"{e}; {self.describe()}; free some space and run the same command again"
            ) from e

    def read_manifest(self) -> Manifest | None:
        """Of `last`, without its tensors; None if there is no checkpoint."""
        return self._manifest(read_manifest(self.last)) if self.last.exists() else None

    def load_last(self) -> tuple[Manifest, dict[str, Tensor], dict[str, Tensor]] | None:
        """Manifest, weights and state to resume from; None if there is no checkpoint."""
        if not self.last.exists():
            return None
        weights, plain = read_tensors(self.last)
        manifest = self._manifest(plain)
        state, of_state = read_tensors(self.folder / manifest.state_file)
        if of_state.get("step") != manifest.step:
            raise self._broken(
                f"it is of step {manifest.step}, {manifest.state_file} of {of_state.get('step')}"
            )
        self.saved_step = manifest.step
        return manifest, weights, state

    def _manifest(self, plain: Mapping[str, Any]) -> Manifest:
        """Of the header of `last`. Raises: CheckpointError for one that no training wrote."""
        try:
            manifest = _MANIFEST.validate_python(dict(plain))
        except ValidationError as e:
            raise self._broken("; ".join(explain(e))) from e
        if manifest.state_file not in STATE_FILES:
            raise self._broken(
                f"state_file: expected {' or '.join(STATE_FILES)}, got {manifest.state_file!r}"
            )
        return manifest

    def _broken(self, why: str) -> CheckpointError:
        return CheckpointError(
            f"{self.last}: expected the manifest of a training in its header, got another one ({why[:400]}); "
            f"{_cure(self.folder)}"
        )

    def set_aside(self) -> Path:
        """Rename the folder: its checkpoints are of another training."""
        n = 1
        while (old := self.folder.with_name(f"{self.folder.name}.old-{n}")).exists():
            n += 1
        self.folder.rename(old)
        self.saved_step = -1
        return old

    def describe(self) -> str:
        """The last good checkpoint, for error messages."""
        if self.saved_step < 0:
            return "no checkpoint was written before"
        return f"the last good checkpoint is {self.last} (step {self.saved_step})"


def pack_optimizer(optimizer: Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The optimizer's state as tensors and numbers with flat names; its settings come from the recipe."""
    tensors: dict[str, Tensor] = {}
    scalars: dict[str, Any] = {}
    for index, entry in optimizer.state_dict()["state"].items():
        for key, value in entry.items():
            (tensors if isinstance(value, Tensor) else scalars)[f"optimizer.{index}.{key}"] = value
    return tensors, scalars


def unpack_optimizer(optimizer: Optimizer, tensors: Tensors, scalars: Mapping[str, Any]) -> None:
    """Undo `pack_optimizer`, with the strides of the parameters: kernels round differently for other strides."""
    params = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    for name, value in {**tensors, **scalars}.items():
        if name.startswith("optimizer."):
            index, _, key = name.removeprefix("optimizer.").partition(".")
            if not index.isdecimal() or int(index) >= len(params):
                raise CheckpointError(
                    f"{name}: expected a state of {len(params)} parameters, got another name"
                )
            param = params[int(index)]
            if isinstance(value, Tensor) and value.shape == param.shape:
                value = torch.empty_like(param, dtype=value.dtype, device="cpu").copy_(value)
            state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
