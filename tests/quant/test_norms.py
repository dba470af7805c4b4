"""Channels keep the mean and deviation that their folded batch norm gave them, while weights change."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, fx

from tests.quant.tiny_context import tiny_context
from xvision.quant.fake import QuantLayer
from xvision.quant.methods.ptq import ptq
from xvision.quant.norms import NAME, correct_norms, hold_norms, release_norms


def held(folder: Path) -> tuple[fx.GraphModule, QuantLayer, Tensor]:
    context = tiny_context(folder)
    planes = list(context.calibration())
    q = ptq(context, num_images=40)
    hold_norms(q, planes)
    layer = q.get_submodule("conv2")
    assert isinstance(layer, QuantLayer)
    return q, layer, torch.cat([images for (images,) in planes])


def test_a_channel_that_drifts_comes_back(tmp_path: Path) -> None:
    q, layer, images = held(tmp_path)
    wanted = layer.get_submodule(NAME).get_buffer("wanted").clone()
    with torch.no_grad():
        layer.weight *= torch.linspace(0.7, 1.4, 8).reshape(8, 1, 1, 1)
        layer.bias += torch.linspace(-0.3, 0.3, 8)
    q.train()(images)
    seen = layer.get_submodule(NAME).get_buffer("seen")
    assert (seen - wanted).abs().max() > 0.1
    for _ in range(60):
        correct_norms(q, 0.1)
        q(images)
    torch.testing.assert_close(seen, wanted, rtol=0.05, atol=0.02)


def test_one_step_corrects_the_share_that_is_asked_for(tmp_path: Path) -> None:
    q, layer, images = held(tmp_path)
    one = layer.get_submodule(NAME)
    wanted, seen = one.get_buffer("wanted"), one.get_buffer("seen")
    q.train()(images)
    seen.copy_(torch.stack([wanted[0] + 1, wanted[1] * 4]))
    weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    correct_norms(q, 0.5)
    torch.testing.assert_close(layer.weight.detach(), weight / 2)
    torch.testing.assert_close(layer.bias.detach(), (bias - wanted[0] - 1) / 2 + wanted[0] + 0.5)


def test_evaluation_does_not_watch_and_nothing_is_left(tmp_path: Path) -> None:
    q, layer, images = held(tmp_path)
    before = layer.get_submodule(NAME).get_buffer("seen").clone()
    q.eval()(images[:3])
    assert torch.equal(layer.get_submodule(NAME).get_buffer("seen"), before)
    release_norms(q)
    assert q.state_dict().keys() == ptq(tiny_context(tmp_path), num_images=40).state_dict().keys()
    q.train()(images)
