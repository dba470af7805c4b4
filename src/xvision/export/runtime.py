"""ONNX Runtime on the CPU as a callable like a network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime
import torch
from torch import Tensor

from xvision.config.messages import nearest

Level = Literal["off", "basic", "all"]
LEVELS: dict[Level, onnxruntime.GraphOptimizationLevel] = {
    "off": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
}


class FileError(ValueError):
    """A file that is no network of ours; `exit_code` is what the command returns."""

    exit_code = 4


@dataclass(frozen=True)
class Port:
    """One input or output of a file: free dimensions are strings."""

    name: str
    kind: str
    shape: tuple[int | str, ...]


def open_session(model: str | bytes, level: Level) -> onnxruntime.InferenceSession:
    """A session whose integer arithmetic is right on every processor, with torch's number of threads."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = LEVELS[level]
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # its warnings are about its own optimizations
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # without VNNI, x86 adds pairs of products in 16 bits and saturates; this asks for the slower, exact way
    options.add_session_config_entry("session.x64quantprecision", "1")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class OnnxModel:
    """An ONNX file as a callable: planes in, dict of named outputs out, as the network it was exported from.

    Raises: ValueError if the file is not one that ONNX Runtime can run, OSError if it is missing.
    """

    def __init__(self, path: str | Path, *, level: Level = "all") -> None:
        self.path = Path(path)
        if level not in LEVELS:
            raise ValueError(f"level: no optimisation level is called '{level}'; {nearest(level, LEVELS)}")
        if not self.path.is_file():
            raise FileNotFoundError(f"{path}: no such file; export the network first")
        try:
            self._session = open_session(str(self.path), level)
        except Exception as error:  # ONNX Runtime has a dozen classes and no common one
            reason = str(error).split("\n")[0]
            raise FileError(
                f"{path}: expected an ONNX file, ONNX Runtime cannot load it ({reason}); export the network again"
            ) from error
        self.inputs = tuple(Port(i.name, i.type, tuple(i.shape)) for i in self._session.get_inputs())
        self.outputs = tuple(Port(o.name, o.type, tuple(o.shape)) for o in self._session.get_outputs())
        self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)

    def __call__(self, *planes: Tensor) -> dict[str, Tensor]:
        """Shapes: the planes of the file's inputs, in order.

        Raises: ValueError if number, type or shape of the planes differs from what the file takes.
        """
        if len(planes) != len(self.inputs):
            raise ValueError(
                f"{self.path}: expected {len(self.inputs)} planes {self._names()}, got {len(planes)}"
            )
        feed = {
            port.name: self._checked(port, plane) for port, plane in zip(self.inputs, planes, strict=True)
        }
        results = self._session.run(None, feed)
        return {port.name: torch.from_numpy(r) for port, r in zip(self.outputs, results, strict=True)}

    def _names(self) -> str:
        return f"({', '.join(port.name for port in self.inputs)})"

    def _checked(self, port: Port, plane: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
        array: np.ndarray[tuple[int, ...], np.dtype[np.generic]] = plane.detach().cpu().numpy()
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
