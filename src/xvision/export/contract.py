"""What executors and formats are: something that runs, and a kind of file.

An *executor* runs a network or a file. Verification compares any two, validation measures any. A *format* writes a
network as a file and knows what runs it. Each is one file in `executors/` or `formats/`.
"""

from __future__ import annotations

import importlib.metadata
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from xvision.export.settings import OPSET
from xvision.quant.islands import FloatOperator

Grid = Callable[[Tensor], Tensor]  # float values to integer codes
Computed = tuple[dict[str, Tensor], dict[str, Tensor]]  # outputs, and codes of integer tensors


class FileError(ValueError):
    """A file that is no network of ours; `exit_code` is what the command returns."""

    exit_code = 4


class Executor(ABC):
    """Runs a network or a file; a callable like the network itself."""

    name: str
    """The name of its builder: what measurements call it."""
    version: str
    """What computes, such as "onnxruntime 1.27.0": measurements and proofs hold for this version."""
    input_names: tuple[str, ...] = ()
    """Its inputs in order; empty if they have no names."""
    metadata: Mapping[str, str] = {}
    """What the file says of itself."""
    batch: int | None = None
    """How many images it takes at once; None if any number. `outputs` takes any number, `codes` and `run` this one."""
    tolerance_lsb: int = 0
    """By how many codes an operator of other executors may be off, where the network's quantization scheme says so."""
    rounding: str = ""
    """How it rounds an accumulator to a code; empty where it has none."""
    given_by_floats: Collection[str] = ()
    """Its integer tensors that are rounded from what an operator in float gives."""
    wide: Sequence[str] = ()
    """Layers whose sums may go beyond 2^24, where a float32 is not exact."""
    sqnr_db: Mapping[str, float] = {}
    """Signal to quantization noise of each output, where it was measured against the float network."""
    float_operators: Sequence[FloatOperator] = ()
    """What a quantized network computes in float."""
    macs_ratio: Mapping[str, float] = {}
    """Each layer's share of the network's multiply-accumulates, where that is known."""
    device: torch.device = torch.device("cpu")
    """Where it takes its inputs from."""

    @abstractmethod
    def outputs(self, inputs: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """The network's outputs by name: float values, or class ids where a file ends in an argmax."""

    def codes(self, inputs: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Every integer tensor by name; empty where there are none or none can be seen."""
        return {}

    def run(self, inputs: tuple[Tensor, ...]) -> Computed:
        """`outputs` and `codes`, of one pass where that is cheaper."""
        return self.outputs(inputs), self.codes(inputs)

    def each_operator(self, inputs: tuple[Tensor, ...], codes: Mapping[str, Tensor]) -> Computed | None:
        """As `run`, but each operator computes from the given codes of its inputs, such as another executor's.

        A difference is then of one operator alone. None from a runtime that cannot be asked.
        """
        return None

    def beyond_float32(self, inputs: tuple[Tensor, ...]) -> Collection[str]:
        """The integer tensors of layers whose sums do go beyond 2^24 on these inputs."""
        return ()

    def grids(self) -> Mapping[str, Grid]:
        """The quantization grid of each output that has one."""
        return {}

    def computed_in_float(self) -> Sequence[FloatOperator]:
        """What a runtime computes in float of a file of integers, whatever the network says."""
        return ()

    def levels(self) -> Mapping[str, Executor]:
        """The same at every optimisation level, all of which are verified; itself alone if there are none."""
        return {self.name: self}

    def __call__(self, *inputs: Tensor) -> dict[str, Tensor]:
        return self.outputs(inputs)

    def __str__(self) -> str:
        return self.name


def groups(planes: tuple[Tensor, ...], batch: int | None) -> Iterator[tuple[Tensor, ...]]:
    """Planes in groups of `batch` images; in the last one the last image stands for those that are missing.

    >>> [group.flatten().tolist() for (group,) in groups((torch.arange(3),), 2)]
    [[0, 1], [2, 2]]
    """
    if batch is None:
        yield planes
        return
    for start in range(0, len(planes[0]), batch):
        places = torch.arange(start, start + batch).clamp(max=len(planes[0]) - 1)
        yield tuple(plane[places.to(plane.device)] for plane in planes)


@dataclass(frozen=True)
class Contents:
    """What a file holds besides the network.

    `inputs` are examples that fix sizes and types. Outputs in `argmax` give the id of the largest score. `batch` is the
    number of images that the file takes at once, None if it is free; `opset` is what an ONNX file is written in.
    """

    inputs: tuple[Tensor, ...]
    argmax: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    batch: int | None = None
    opset: int = OPSET


class Format(ABC):
    """A kind of file that networks are exported to."""

    name: str
    """The name of its builder."""
    suffix: str
    """How its files end, such as ``.onnx``; no two formats share one, the longest that fits decides."""
    quantized: bool = True
    """Whether it takes the quantized networks of a run, or the float one."""
    version: str
    """That of the executor of its files."""

    @property
    def file_name(self) -> str:
        """What the file of a run is called."""
        return f"model{self.suffix}"

    def requires(self, contents: Contents) -> dict[str, Any]:
        """What runs its files, for their metadata: names of standards and runtimes, with the oldest version."""
        return {}

    @abstractmethod
    def write(self, network: nn.Module, path: Path, contents: Contents) -> None:
        """Write a network, whole or not at all; it is left as it was.

        Raises: ValueError if the network cannot be expressed, OSError naming the file if it cannot be written.
        """

    @abstractmethod
    def executor(self, path: Path) -> Executor:
        """What runs a file of this format.

        Raises: FileError if the file is none, OSError if it is missing.
        """


def installed(package: str) -> str:
    """A package and its version, without importing it."""
    return f"{package} {importlib.metadata.version(package)}"
