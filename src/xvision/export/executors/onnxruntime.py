"""ONNX Runtime on the CPU, without optimisations, with the basic ones, or with all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import torch
from onnxruntime import GraphOptimizationLevel, InferenceSession, SessionOptions
from torch import Tensor

from xvision.export.contract import Executor, FileError, Grid, groups, installed
from xvision.export.executors import executor
from xvision.export.onnx_graph import CODES, SCORES
from xvision.export.onnx_in_float import computed_in_float
from xvision.export.settings import SESSION
from xvision.quant.islands import FloatOperator
from xvision.quant.ops import steps

Level = Literal["off", "basic", "all"]
LEVELS: dict[Level, GraphOptimizationLevel] = {
    "off": GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "all": GraphOptimizationLevel.ORT_ENABLE_ALL,
}

Array = np.ndarray[tuple[int, ...], np.dtype[np.generic]]


@dataclass(frozen=True)
class Port:
    """One input or output of a file: free dimensions are strings."""

    name: str
    kind: str
    shape: tuple[int | str, ...]


class OnnxRuntime(Executor):
    """An ONNX file. Its integer tensors are seen without optimisations only: looking would change what is optimised.

    Raises: FileError if the file is not one that ONNX Runtime can run, OSError if it is missing.
    """

    name = "onnxruntime"
    version = installed("onnxruntime")
    rounding = "half_even"

    def __init__(self, path: str | Path, level: Level = "all") -> None:
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file; export the network first")
        self.path, self.level = path, level
        try:
            self._tensors = self._integer_tensors() if level == "off" else []
            self._session = self._open()
        except Exception as error:  # ONNX Runtime has a dozen classes and no common one
            reason = str(error).split("\n")[0]
            raise FileError(
                f"{path}: expected an ONNX file, ONNX Runtime cannot load it ({reason}); export the network again"
            ) from error
        self.input_ports = _ports(self._session.get_inputs())
        self.output_ports = _ports(self._session.get_outputs())[: -len(self._tensors) or None]
        self.input_names = tuple(port.name for port in self.input_ports)
        sizes = [port.shape[0] for port in self.input_ports if port.shape]
        self.batch = sizes[0] if sizes and isinstance(sizes[0], int) else None
        self.metadata = dict(self._session.get_modelmeta().custom_metadata_map)

    def __str__(self) -> str:
        return str(self.path)

    def outputs(self, inputs: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Of any number of images: a file of a fixed batch takes them group by group.

        Raises: ValueError if number, type or shape of the inputs differs from what the file takes.
        """
        names = [port.name for port in self.output_ports]
        if self.batch is None:
            return self._run(names, inputs)
        found = [self._run(names, group) for group in groups(inputs, self.batch)]
        return {name: torch.cat([one[name] for one in found])[: len(inputs[0])] for name in names}

    def codes(self, inputs: tuple[Tensor, ...]) -> dict[str, Tensor]:
        found = self._run(self._tensors, inputs) if self._tensors else {}
        return {name.removesuffix(CODES): codes for name, codes in found.items()}

    def grids(self) -> dict[str, Grid]:
        graph = onnx.load(self.path).graph
        stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
        pairs = [node for node in graph.node if node.op_type == "DequantizeLinear"]
        inputs = {node.output[0].removesuffix(SCORES): list(node.input) for node in pairs}
        names = [port.name for port in self.output_ports if port.name in inputs]
        return {name: _grid(*(stored[source] for source in inputs[name][1:])) for name in names}

    def computed_in_float(self) -> list[FloatOperator]:
        return computed_in_float(self.path, self._open)

    def levels(self) -> dict[str, Executor]:
        return {level: self if level == self.level else OnnxRuntime(self.path, level) for level in LEVELS}

    def _integer_tensors(self) -> list[str]:
        names = [name for node in onnx.load(self.path).graph.node for name in node.output]
        return [name for name in names if name.endswith(CODES)]

    def _open(self, optimized: Path | None = None) -> InferenceSession:
        """A session whose integer arithmetic is right on every processor, with torch's number of threads.

        What it makes of the file is written to `optimized`.
        """
        options = SessionOptions()
        if optimized is not None:
            options.optimized_model_filepath = str(optimized)
        options.graph_optimization_level = LEVELS[self.level]
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # its warnings are about its own optimizations
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        for key, value in SESSION.items():
            options.add_session_config_entry(key, value)
        model: str | bytes = str(self.path)
        if self._tensors:
            proto = onnx.load(self.path)
            proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in self._tensors)
            model = proto.SerializeToString()
        return InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def _run(self, names: list[str], inputs: tuple[Tensor, ...]) -> dict[str, Tensor]:
        if len(inputs) != len(self.input_ports):
            takes = f"{len(self.input_ports)} planes ({', '.join(self.input_names)})"
            raise ValueError(f"{self.path}: expected {takes}, got {len(inputs)}")
        pairs = zip(self.input_ports, inputs, strict=True)
        results = self._session.run(names, {port.name: self._checked(port, plane) for port, plane in pairs})
        return {name: torch.from_numpy(result) for name, result in zip(names, results, strict=True)}

    def _checked(self, port: Port, plane: Tensor) -> Array:
        array: Array = plane.detach().cpu().numpy()
        kind = {"float32": "tensor(float)"}.get(array.dtype.name, f"tensor({array.dtype.name})")
        fits = len(array.shape) == len(port.shape) and all(
            not isinstance(want, int) or want == got
            for want, got in zip(port.shape, array.shape, strict=True)
        )
        if kind != port.kind or not fits:
            wanted = "x".join("N" if isinstance(d, str) else str(d) for d in port.shape)
            raise ValueError(
                f"{self.path}: input '{port.name}': expected {port.kind} of shape {wanted}, got {kind} of shape "
                f"{'x'.join(map(str, array.shape))}; resize or convert the images"
            )
        return array


def _grid(scale: np.ndarray[Any, Any], zero_point: np.ndarray[Any, Any]) -> Grid:
    limits, zero = np.iinfo(zero_point.dtype), int(zero_point)
    low, high = int(limits.min) - zero, int(limits.max) - zero
    return lambda values: (steps(values.cpu(), torch.tensor(scale), low, high) + zero).to(torch.int32)


def _ports(arguments: Sequence[Any]) -> tuple[Port, ...]:
    return tuple(Port(one.name, one.type, tuple(one.shape)) for one in arguments)


@executor
def onnxruntime(path: Path, *, level: Level = "all") -> OnnxRuntime:
    """An ONNX file in ONNX Runtime on the CPU.

    `level`: which optimisations are made before it runs. Integer tensors inside can be seen without any only.
    """
    return OnnxRuntime(path, level)
