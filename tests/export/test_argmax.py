"""Class ids in place of scores: the same ids as the simulation finds, at every optimisation level."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor, nn

import xvision as xv
from tests.models.outputs import outputs_by_task
from tests.quant.patterns import planes_for, with_statistics
from xvision.export.executors.onnxruntime import OnnxRuntime
from xvision.models.backbones import backbone
from xvision.models.build import build_model
from xvision.models.decoders import decoder
from xvision.models.settings import Net

Networks = tuple[nn.Module, nn.Module, tuple[Tensor, ...]]


@pytest.fixture(scope="module")
def networks() -> Networks:
    """A small network with a map of classes and one of depth: float and quantized, and images."""
    torch.manual_seed(0)
    net = Net(
        backbone=backbone.timm(model="resnet10t"),
        decoder=decoder.part("lraspp_lite", {"width": 0.25}),
    )
    model = build_model(net, outputs_by_task({"segmentation": 5, "depth": 1}), (64, 64))
    planes = planes_for(model, size=64, batch=2)
    model = with_statistics(model, planes)
    return model, xv.quantize(model, [planes]), planes


def test_ids_are_those_of_the_simulation_and_depth_is_untouched(networks: Networks, tmp_path: Path) -> None:
    _, q, planes = networks
    file = xv.export(q, tmp_path / "ids.onnx", argmax=["segmentation"])
    parity = xv.verify(q, file, [planes])
    assert parity.ok
    assert parity.agreement == 1
    assert parity.levels["off"].tensors > 10
    with torch.no_grad():
        expected = q(*planes)
    found = OnnxRuntime(file)(*planes)
    assert list(found) == ["segmentation", "depth"]
    assert found["segmentation"].dtype == torch.uint8
    assert found["segmentation"].shape == (2, 1, 64, 64)
    assert torch.equal(found["segmentation"][:, 0].long(), expected["segmentation"].argmax(1))
    assert torch.equal(found["depth"], expected["depth"])
    outputs = {port.name: port.shape for port in OnnxRuntime(file).output_ports}
    assert outputs["segmentation"][1:] == (1, 64, 64)


def test_a_float_file_gives_ids_too(networks: Networks, tmp_path: Path) -> None:
    model, _, planes = networks
    file = xv.export(model, tmp_path / "float.onnx", inputs=planes, argmax=["segmentation"])
    with torch.no_grad():
        expected = model(*planes)["segmentation"].argmax(1)
    found = OnnxRuntime(file)(*planes)["segmentation"][:, 0].long()
    assert (found == expected).double().mean() > 0.999  # sums in another order


def test_the_first_of_equal_scores_wins_as_in_torch(tmp_path: Path) -> None:
    """A head without weights and with equal biases scores all classes alike."""
    model = nn.Sequential(nn.Conv2d(3, 4, 1))
    nn.init.zeros_(model[0].weight)
    with torch.no_grad():
        model[0].bias.copy_(torch.tensor([0.0, 1.0, 1.0, 1.0]))
    image = torch.randn(2, 3, 8, 8)
    q = xv.quantize(model, [image])
    file = xv.export(q, tmp_path / "ties.onnx", inputs=[image], argmax=["out0"])
    assert (OnnxRuntime(file)(image)["out0"] == 1).all()
    assert xv.verify(q, file, [image]).ok

    last = onnx.load(file)
    (largest,) = [node for node in last.graph.node if node.op_type == "ArgMax"]
    largest.attribute.remove(next(a for a in largest.attribute if a.name == "select_last_index"))
    largest.attribute.append(onnx.helper.make_attribute("select_last_index", 1))
    onnx.save(last, tmp_path / "last.onnx")
    parity = xv.verify(q, tmp_path / "last.onnx", [image])
    assert (parity.max_lsb, parity.agreement, parity.ok) == (1, 0, False)
    assert xv.verify(q, tmp_path / "last.onnx", [image], tolerance_lsb=1).ok  # equal scores may be so


def test_ids_of_a_float_file_are_compared_by_scores(networks: Networks, tmp_path: Path) -> None:
    model, _, planes = networks
    file = xv.export(model, tmp_path / "float.onnx", inputs=planes, argmax=["segmentation"])
    parity = xv.verify(model, file, [planes])
    assert parity.ok
    assert 0 < parity.max_error < 1e-4
    changed = xv.verify(model, smallest_wins(file), [planes])
    assert not changed.ok
    assert changed.first_difference == "segmentation"


def smallest_wins(file: Path) -> Path:
    """The file with its scores negated before the argmax."""
    model = onnx.load(file)
    (largest,) = [node for node in model.graph.node if node.op_type == "ArgMax"]
    scores, largest.input[0] = largest.input[0], "negative"
    at = list(model.graph.node).index(largest)
    model.graph.node.insert(at, onnx.helper.make_node("Neg", [scores], ["negative"]))
    onnx.save(model, file)
    return file


def test_other_ids_are_found(networks: Networks, tmp_path: Path) -> None:
    _, q, planes = networks
    file = xv.export(q, tmp_path / "ids.onnx", argmax=["segmentation"])
    parity = xv.verify(q, smallest_wins(file), [planes])
    assert not parity.ok
    assert parity.max_lsb > 100
    assert parity.first_difference == "segmentation"
    assert parity.agreement < 1


def test_outputs_that_are_no_class_scores_are_refused(networks: Networks, tmp_path: Path) -> None:
    _, q, _ = networks
    with pytest.raises(ValueError, match=r"argmax: expected outputs among segmentation, depth, got 'flow'"):
        xv.export(q, tmp_path / "a.onnx", argmax=["flow"])
    with pytest.raises(
        ValueError, match=r"argmax: expected an output of 2 to 256 class scores .* got 'depth' of"
    ):
        xv.export(q, tmp_path / "a.onnx", argmax=["depth"])
    assert not (tmp_path / "a.onnx").exists()
