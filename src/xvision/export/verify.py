"""Proof that a file computes what was trained: the integer codes of simulation and runtime, tensor by tensor."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import torch
from torch import Tensor, fx, nn

from xvision.export.onnx import CODES
from xvision.export.runtime import LEVELS, Level, OnnxModel, open_session
from xvision.quant.fake import Quantizer

OFF: Level = "off"


@dataclass
class LevelParity:
    """What was found at one optimisation level; `tensors` were compared."""

    max_lsb: int = 0
    agreement: float = 1.0
    tensors: int = 0


@dataclass
class Parity:
    """How far a runtime is from the simulation.

    `max_lsb` is the largest difference of integer codes at any tensor and level (of class ids where the file ends in an
    argmax), `agreement` the smallest share of equal answers (the class of largest score where a head has several
    channels), `first_difference` the first
    tensor in the order of the graph that differs, in the first batch where one does.
    """

    levels: dict[str, LevelParity] = field(default_factory=dict)
    first_difference: str | None = None
    images: int = 0

    @property
    def max_lsb(self) -> int:
        return max((level.max_lsb for level in self.levels.values()), default=0)

    @property
    def agreement(self) -> float:
        return min((level.agreement for level in self.levels.values()), default=1.0)

    @property
    def ok(self) -> bool:
        return self.max_lsb == 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a JSON file."""
        return {"ok": self.ok, "max_lsb": self.max_lsb, "agreement": self.agreement} | asdict(self)


def verify(q: nn.Module, file: str | Path, batches: Iterable[tuple[Tensor, ...] | Tensor]) -> Parity:
    """Compare a quantized network with its ONNX file on ONNX Runtime, optimisations off, basic and all.

    Without optimisations every integer tensor of the file is compared, with them the heads (looking inside would
    change what is optimised).

    Raises: ValueError if `q` is not quantized, the file is not its export, or there is no batch.
    """
    if not isinstance(q, fx.GraphModule) or not any(isinstance(m, Quantizer) for m in q.modules()):
        raise ValueError(
            f"{file}: expected a quantized network to compare with, got a float one; quantize it first"
        )
    models: dict[Level, OnnxModel] = {level: OnnxModel(file, level=level) for level in LEVELS}
    looking_inside = _Insides(Path(file))
    simulation = _Simulation(q)
    _refuse_another_network(simulation, models[OFF], looking_inside.names)
    parity = Parity({level: LevelParity() for level in LEVELS})
    equal: dict[Level, list[float]] = {level: [] for level in LEVELS}
    for batch in batches:
        planes = (batch,) if isinstance(batch, Tensor) else tuple(batch)
        outputs = {level: model(*planes) for level, model in models.items()}
        simulation.run_once(planes)
        parity.images += len(planes[0])
        found = looking_inside.codes(planes)
        _compare_insides(simulation.codes, found, parity, file)
        for level, heads in outputs.items():
            _compare_heads(simulation, heads, parity, level, len(found))
            equal[level].append(_share_of_equal_answers(simulation.outputs, heads) * len(planes[0]))
    if not parity.images:
        raise ValueError(f"{file}: expected at least one batch to compare on, got none")
    for level, shares in equal.items():
        parity.levels[level].agreement = sum(shares) / parity.images
    return parity


class _Simulation(fx.Interpreter):
    """The quantized network, remembering the codes of every quantizer it calls."""

    def __init__(self, q: fx.GraphModule) -> None:
        super().__init__(q)
        self.codes: dict[str, Tensor] = {}
        self.outputs: dict[str, Tensor] = {}
        self.inputs = [str(node.target) for node in q.graph.nodes if node.op == "placeholder"]
        self.tensors = {node.all_input_nodes[0].name for node in q.graph.nodes if self._quantizer(node)}
        (heads,) = q.graph.output_node().args
        assert isinstance(heads, dict)
        self.heads = {name: cast(Quantizer, q.get_submodule(node.target)) for name, node in heads.items()}

    def run_once(self, planes: tuple[Tensor, ...]) -> None:
        with torch.no_grad():
            self.outputs = self.run(*planes)

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        quantizer = self._quantizer(n)
        if quantizer:
            self.codes[n.all_input_nodes[0].name] = quantizer.codes(result)
        return result

    def _quantizer(self, n: fx.Node) -> Quantizer | None:
        module = self.submodules.get(str(n.target)) if n.op == "call_module" else None
        return module if isinstance(module, Quantizer) else None


class _Insides:
    """A copy of the file whose integer tensors are outputs too."""

    def __init__(self, file: Path) -> None:
        model = onnx.load(file)
        self.names = [name for node in model.graph.node for name in node.output if name.endswith(CODES)]
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in self.names)
        self._session = open_session(model.SerializeToString(), OFF)
        self._inputs = [i.name for i in self._session.get_inputs()]

    def codes(self, planes: tuple[Tensor, ...]) -> dict[str, np.ndarray[Any, Any]]:
        feed = {name: plane.cpu().numpy() for name, plane in zip(self._inputs, planes, strict=True)}
        results = self._session.run(self.names, feed)
        return {name.removesuffix(CODES): codes for name, codes in zip(self.names, results, strict=True)}


def _refuse_another_network(simulation: _Simulation, model: OnnxModel, tensors: list[str]) -> None:
    inputs, outputs = ([port.name for port in ports] for ports in (model.inputs, model.outputs))
    unknown = [name for name in tensors if name.removesuffix(CODES) not in simulation.tensors]
    if not tensors:
        problem = "it has no integer tensors"
    elif inputs != simulation.inputs:
        problem = f"its inputs are {', '.join(inputs)} and not {', '.join(simulation.inputs)}"
    elif set(outputs) != set(simulation.heads):
        problem = f"its outputs are {', '.join(outputs)} and not {', '.join(simulation.heads)}"
    elif unknown:
        problem = f"it has an unknown tensor '{unknown[0].removesuffix(CODES)}'"
    else:
        return
    raise ValueError(f"{model.path}: expected the export of this network, {problem}; export again")


def _compare_insides(
    simulated: dict[str, Tensor], found: dict[str, np.ndarray[Any, Any]], parity: Parity, file: str | Path
) -> None:
    for name, codes in found.items():
        if tuple(simulated[name].shape) != codes.shape:
            shapes = ("x".join(map(str, shape)) for shape in (codes.shape, simulated[name].shape))
            raise ValueError(
                f"{file}: expected the export of this network, tensor '{name}' is {' and not '.join(shapes)}; "
                "export again"
            )
        _note(parity, OFF, name, int(np.abs(simulated[name].cpu().numpy().astype(np.int64) - codes).max()))


def _compare_heads(
    simulation: _Simulation, outputs: dict[str, Tensor], parity: Parity, level: Level, num_insides: int
) -> None:
    for name, quantizer in simulation.heads.items():
        simulated, got = simulation.outputs[name], outputs[name].to(simulation.outputs[name].device)
        if got.is_floating_point():
            difference = quantizer.codes(simulated) - quantizer.codes(got)
        else:
            difference = simulated.argmax(1, keepdim=True) - got.long()
        _note(parity, level, name, int(difference.abs().max()))
    parity.levels[level].tensors = num_insides if level == OFF else len(simulation.heads)


def _note(parity: Parity, level: Level, name: str, lsb: int) -> None:
    here = parity.levels[level]
    here.max_lsb = max(here.max_lsb, lsb)
    if lsb and parity.first_difference is None:
        parity.first_difference = name


def _share_of_equal_answers(simulated: dict[str, Tensor], outputs: dict[str, Tensor]) -> float:
    shares = []
    for name, x in simulated.items():
        a, b = x.cpu(), outputs[name]
        if a.ndim > 1 and a.shape[1] > 1:
            a = a.argmax(1)
            b = b.argmax(1) if b.is_floating_point() else b[:, 0]
        shares.append(float((a == b).double().mean()))
    return min(shares)
