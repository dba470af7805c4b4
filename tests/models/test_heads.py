"""Networks of several tasks: own or shared decoders, and the layers that all tasks depend on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import Tensor

import xvision as xv
from tests.models.outputs import outputs_by_task
from xvision.models.blocks import UpsampleMode
from xvision.models.build import build_model
from xvision.models.decoders import decoder
from xvision.models.model import Model
from xvision.models.outputs import OutputSpec
from xvision.models.settings import Net
from xvision.runs.build import SettingError
from xvision.runs.checks import check_settings
from xvision.runs.run import Run

MAPS = decoder.builders().keys() - {"classifier"}
OUTPUTS = {"segmentation": 3, "depth": 1, "class": 2}


def net(**changes: object) -> Net:
    decoder = {"fpn_lite": {"width": 0.25}}
    return Net.model_validate({"backbone": "timm:mobilenetv2_035", "decoder": decoder, **changes})


def build(outputs: Mapping[str, int] = OUTPUTS, size: tuple[int, int] = (64, 64), **changes: object) -> Model:
    torch.manual_seed(0)
    heads = {"heads": {"classification": "classifier"}} if "class" in outputs else {}
    return build_model(net(**{**heads, **changes}), outputs_by_task(outputs), size).eval()


def image() -> Tensor:
    return torch.randint(
        0, 256, (2, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


def test_each_task_has_a_decoder_of_its_own() -> None:
    model = build()
    assert model.outputs == tuple(OUTPUTS)
    assert list(model.decoders) == ["segmentation", "depth", "classification"]
    with torch.no_grad():
        shapes = {name: tuple(value.shape) for name, value in model(image()).items()}
    assert shapes == {"segmentation": (2, 3, 64, 64), "depth": (2, 1, 64, 64), "class": (2, 2)}


def test_decoders_of_single_tasks_are_named_by_them() -> None:
    model = build(heads={"classification": "classifier", "depth": {"unet_lite": {"width": 0.25}}})
    kinds = {task: type(decoder).__name__ for task, decoder in model.decoders.items()}
    assert kinds == {"segmentation": "fpn_lite", "depth": "unet_lite", "classification": "classifier"}


def test_a_shared_decoder_gives_each_output_its_channels() -> None:
    model = build(shared_decoder=True)
    assert model.decoder_of == {
        "segmentation": "segmentation",
        "depth": "segmentation",
        "classification": "classification",
    }
    assert model.outputs == tuple(OUTPUTS)
    last: list[Tensor] = []
    model.decoders["segmentation"].heads.maps.upsample.register_forward_hook(  # type: ignore[union-attr]
        lambda module, args, out: last.append(out)
    )
    with torch.no_grad():
        found = model(image())
    assert last[0].shape[1] == 4
    assert torch.equal(found["segmentation"], last[0][:, :3])
    assert torch.equal(found["depth"], last[0][:, 3:])
    separate = sum(p.numel() for p in build().parameters())
    assert sum(p.numel() for p in model.parameters()) < separate


def test_a_task_alone_shares_with_none() -> None:
    model = build({"depth": 1}, shared_decoder=True)
    assert model.tasks_of("depth") == ("depth",)
    own = build(shared_decoder=True, heads={"classification": "classifier", "depth": "unet_lite"})
    assert list(own.decoders) == ["segmentation", "depth", "classification"]


@pytest.mark.parametrize("shared", [False, True])
def test_sizes_must_fit_every_decoder(shared: bool) -> None:
    with pytest.raises(ValueError, match=r"data.size: expected multiples of 32 .*the nearest is 64x64"):
        build({"segmentation": 3, "depth": 1}, (64, 80 - 7), shared_decoder=shared)


def test_a_decoder_of_no_task_is_an_error() -> None:
    with pytest.raises(
        ValueError, match=r"net.heads.dpth: no task of this network is called so; did you mean 'depth'\?"
    ):
        build(heads={"classification": "classifier", "dpth": "unet_lite"})


def test_outputs_of_one_name_are_an_error() -> None:
    boxes = {
        "detection": (OutputSpec("boxes", 4, "pyramid", (8,)),),
        "faces": outputs_by_task({"boxes_8": 4})["boxes_8"],
    }
    with pytest.raises(ValueError, match="expected outputs with names of their own, got 'boxes_8' twice"):
        build_model(net(), boxes, (64, 64))


def test_a_backbone_has_one_classifier_which_tasks_may_share() -> None:
    two = {name: (OutputSpec(name, count, "scores"),) for name, count in (("weather", 2), ("place", 3))}
    with pytest.raises(
        ValueError, match=r"has one classifier, which two decoders ask for; set net\.shared_decoder"
    ):
        build_model(net(decoder="classifier"), two, (64, 64))
    model = build_model(net(decoder="classifier", shared_decoder=True), two, (64, 64)).eval()
    with torch.no_grad():
        assert {name: x.shape[1] for name, x in model(image()).items()} == {"weather": 2, "place": 3}
    (last,) = names_of(model, model.shared_parameters("last"))
    assert last == "conv_head.weight"
    assert "classifier.weight" not in names_of(model, model.shared_parameters("all"))


# ------------------------------------------------------------------------------------------------ what is shared


def names_of(model: Model, parameters: list[Tensor]) -> list[str]:
    known = {id(p): name for name, p in model.backbone.named_parameters()}
    return [known[id(p)] for p in parameters]


def test_shared_layers_are_those_of_every_task() -> None:
    """A classifier's last convolution is in the backbone, but no gradient of a map reaches it."""
    model = build()
    assert model.shared_parameters("none") == []
    shared = names_of(model, model.shared_parameters("all"))
    of_the_classifier = ("conv_head.", "bn2.", "classifier.")
    assert set(shared) == {
        n for n in dict(model.backbone.named_parameters()) if not n.startswith(of_the_classifier)
    }
    (last,) = names_of(model, model.shared_parameters("last"))
    assert last == "blocks.6.0.conv_pwl.weight"
    maps = build({"segmentation": 3, "depth": 1})
    assert names_of(maps, maps.shared_parameters("last")) == [last]
    assert set(names_of(maps, maps.shared_parameters("all"))) == set(shared)
    model.backbone.get_parameter("conv_stem.weight").requires_grad_(False)
    assert set(shared) - set(names_of(model, model.shared_parameters("all"))) == {"conv_stem.weight"}


@pytest.mark.parametrize("mode", get_args(UpsampleMode))
@pytest.mark.parametrize("name", sorted(MAPS))
def test_what_a_shared_decoder_shares_depends_on_no_number_of_channels(name: str, mode: str) -> None:
    """The last common layer has the channels of no output, even where their number is that of an inner layer."""
    outputs = {"segmentation": 15, "depth": 1}
    settings = {"upsample_mode": mode} | ({"width": 0.0625} if name == "fpn_lite" else {"width": 0.25})
    model = build(outputs, (128, 128), decoder={name: settings}, shared_decoder=True)
    shared = model.decoders["segmentation"]
    layers = shared.prediction_layers
    assert layers["segmentation"] == layers["depth"]  # type: ignore[index]
    own = {id(p): p for layer in layers["depth"] for p in layer.parameters()}  # type: ignore[index]
    common = [p for p in shared.parameters() if id(p) not in own]
    assert len(own) + len(common) == len(list(shared.parameters()))
    (last,) = model.shared_parameters("last")
    assert last is [p for p in common if p.ndim > 1][-1]
    assert all(len(p) % 16 == 0 for p in own.values())


def test_every_task_pulls_at_what_is_shared() -> None:
    model = build().train()
    for scope in ("last", "all"):
        parameters = model.shared_parameters(scope)
        for output in model(image()).values():
            found = torch.autograd.grad(output.square().sum(), parameters, retain_graph=True)
            assert all(gradient is not None for gradient in found)


def test_a_single_classifier_shares_the_whole_backbone() -> None:
    model = build({"class": 2}, heads={}, decoder="classifier")
    assert len(model.shared_parameters("all")) == len(list(model.backbone.parameters()))
    assert names_of(model, model.shared_parameters("last")) == ["classifier.weight"]


# ------------------------------------------------------------------------------------- the kind of what comes out


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "segmentation+depth",
            "net.decoder=classifier",
            "net.decoder: segmentation needs maps, classifier gives class scores; choose .*fpn_lite or lraspp_lite",
        ),
        (
            "segmentation+depth",
            "net.heads.depth=classifier",
            "net.heads.depth: depth needs maps, classifier gives.*for depth alone: net.heads.depth=NAME",
        ),
        (
            "segmentation",
            "task=segmentation+classification",
            "classification needs class scores, fpn_lite gives maps.*; choose classifier; for classification alone: "
            "net.heads.classification=NAME",
        ),
        (
            "segmentation+depth",
            "net.heads.motion=unet_lite",
            "net.heads.motion: no task of this network is called so; known: depth, segmentation",
        ),
    ],
)
def test_a_decoder_of_the_wrong_kind_is_named(name: str, text: str, message: str, tmp_path: Path) -> None:
    small = ["data.num_train=2", "data.num_val=2", "data.size=64x64", "net.backbone=timm:mobilenetv2_035"]
    run = Run(tmp_path, xv.recipe(name, *small, text))
    with pytest.raises(SettingError, match=message):
        run.build()


def test_a_balancing_that_does_not_fit_is_said_before_training(tmp_path: Path) -> None:
    texts = ["data.num_train=2", "data.num_val=2", "train.balancing.weights=dpth:2"]
    with pytest.raises(
        SettingError, match=r"train.balancing.weights: no task is called 'dpth'; did you mean 'depth'"
    ):
        check_settings(Run(tmp_path, xv.recipe("segmentation+depth", *texts)))
