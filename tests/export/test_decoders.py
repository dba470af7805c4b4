"""Decoders as int8 files: resize, concatenation and addition lose nothing."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from onnx import numpy_helper

import xvision as xv
from tests.models.outputs import outputs_by_task
from tests.quant.patterns import planes_for, with_statistics
from xvision.models.backbones import backbone
from xvision.models.build import build_model
from xvision.models.decoders import decoder
from xvision.models.outputs import OutputSpec
from xvision.models.settings import Net

CASES = [(name, {}) for name in sorted(decoder.builders().keys() - {"classifier"}, reverse=True)] + [
    ("fpn_lite", {"upsample_mode": mode})
    for mode in ("nearest", "transposed", "conv", "depthwise_conv", "pixel_shuffle")
]


@pytest.mark.parametrize(
    ("name", "settings"), CASES, ids=lambda x: x if isinstance(x, str) else "-".join(x.values())
)
def test_a_decoder_is_exact(name: str, settings: dict[str, str], tmp_path: Path) -> None:
    torch.manual_seed(0)
    bb = backbone.timm(model="regnetx_002" if "fpn" in name and not settings else "resnet10t")
    net = Net(backbone=bb, decoder=decoder.part(name, {"width": 0.25, **settings}))
    model = build_model(net, outputs_by_task({"map": 3}), (128, 128))
    planes = planes_for(model, size=128, batch=2)
    q = xv.quantize(with_statistics(model, planes), [planes], method="ptq")
    file = xv.export(q, tmp_path / "model.onnx")
    parity = xv.verify(q, file, [planes])
    assert parity.ok, (parity.max_lsb, parity.first_difference)
    scales = {scale for node_scales in resize_scales(file) for scale in node_scales}
    assert scales <= {1, 2, 4}
    assert scales or settings, "decoders upsample by Resize unless they are told otherwise"


@pytest.mark.parametrize("name", ["bifpn_lite", "fpn_lite", "pan_lite"])
def test_maps_and_pyramids_of_one_decoder_are_exact_each_with_a_scale_of_its_own(
    name: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    settings = {"width": 0.25} | ({"extra_levels": 0} if name == "bifpn_lite" else {})
    part = decoder.part(name, settings)
    net = Net(backbone=backbone.timm(model="mobilenetv2_035"), decoder=part, shared_decoder=True)
    detection = (OutputSpec("scores", 3, "pyramid", (8, 16)), OutputSpec("boxes", 4, "pyramid", (8, 16)))
    model = build_model(net, outputs_by_task({"labels": 3, "depth": 1}) | {"detection": detection}, (64, 64))
    planes = planes_for(model, size=64, batch=2)
    q = xv.quantize(with_statistics(model, planes), [planes], method="ptq")
    file = xv.export(q, tmp_path / "model.onnx")
    parity = xv.verify(q, file, [planes])
    assert parity.ok, (parity.max_lsb, parity.first_difference)
    scales = {tensor.name for tensor in onnx.load(file).graph.initializer}
    pyramid = "decoders_labels_heads_pyramid_predict"
    assert {f"{pyramid}_{key}_1.scale" for output in detection for key in output.names} <= scales


def resize_scales(file: Path) -> list[list[float]]:
    """The constant scales of every Resize of a file; a size that is computed or no scale fails."""
    graph = onnx.load(file).graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    return [constants[node.input[2]].tolist() for node in graph.node if node.op_type == "Resize"]


def test_planes_that_are_joined_and_layers_that_join_have_scales_of_their_own(tmp_path: Path) -> None:
    """The exporter calls both `cat`."""
    torch.manual_seed(0)
    net = Net(
        backbone=backbone.timm(model="mobilenetv2_035"),
        decoder=decoder.deeplabv3_lite(width=0.25),
        pixels="nv12",
    )
    model = build_model(net, outputs_by_task({"map": 3}), (64, 64))
    planes = planes_for(model, size=64, batch=2)
    q = xv.quantize(with_statistics(model, planes), [planes], method="ptq")
    file = xv.export(q, tmp_path / "model.onnx")
    scales = {tensor.name for tensor in onnx.load(file).graph.initializer}
    assert {"y+uv.scale", "decoders_map_aspp_cat.scale"} <= scales
    assert xv.verify(q, file, [planes]).ok
