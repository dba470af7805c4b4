"""Heads of several tasks: own or shared decoders, and the layers that all of them depend on."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import Tensor

import xvision as xv
from xvision.models.blocks import Enlarge
from xvision.models.build import build_model
from xvision.models.decoders import decoder
from xvision.models.model import Model, Shared
from xvision.models.settings import Net
from xvision.runs.run import Run, SettingError

MAPS = decoder.builders().keys() - {"classifier"}
OUTPUTS = {"segmentation": 3, "depth": 1, "class": 2}
OWNERS = {"segmentation": "segmentation", "depth": "depth", "class": "classification"}


def net(**changes: object) -> Net:
    decoder = {"fpn_lite": {"width": 0.25}}
    return Net.model_validate({"backbone": "timm:mobilenetv2_035", "decoder": decoder, **changes})


def build(outputs: dict[str, int] = OUTPUTS, size: tuple[int, int] = (64, 64), **changes: object) -> Model:
    torch.manual_seed(0)
    heads = {"heads": {"classification": "classifier"}} if "class" in outputs else {}
    return build_model(net(**{**heads, **changes}), outputs, size, OWNERS).eval()


def image() -> Tensor:
    return torch.randint(
        0, 256, (2, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


def test_each_task_has_a_head_of_its_own() -> None:
    model = build()
    assert model.outputs == tuple(OUTPUTS)
    assert model.map_outputs == ("segmentation", "depth")
    with torch.no_grad():
        shapes = {name: tuple(value.shape) for name, value in model(image()).items()}
    assert shapes == {"segmentation": (2, 3, 64, 64), "depth": (2, 1, 64, 64), "class": (2, 2)}


def test_heads_are_named_by_tasks() -> None:
    model = build(heads={"classification": "classifier", "depth": {"unet_lite": {"width": 0.25}}})
    kinds = {name: type(head).__name__ for name, head in model.heads.items()}
    assert list(kinds) == list(OUTPUTS)
    assert len(set(kinds.values())) == 3
    by_output = build_model(net(heads={"depth": "unet_lite"}), {"depth": 1}, (64, 64))
    assert type(by_output.heads["depth"]).__name__ == kinds["depth"]


def test_a_shared_decoder_gives_each_output_its_channels() -> None:
    model = build(shared_decoder=True)
    assert list(model.heads) == ["segmentation+depth", "class"]
    assert set(model.outputs) == OUTPUTS.keys()
    assert model.map_outputs == ("segmentation", "depth")
    shared = model.heads["segmentation+depth"]
    assert isinstance(shared, Shared)
    with torch.no_grad():
        found = model(image())
        features = model.backbone(model.pixels(image()))
        whole = shared.decoder(*(features[i] for i in model.routes["segmentation+depth"]))
    assert whole.shape[1] == 4
    assert torch.equal(found["segmentation"], whole[:, :3])
    assert torch.equal(found["depth"], whole[:, 3:])
    separate = sum(p.numel() for p in build().parameters())
    assert sum(p.numel() for p in model.parameters()) < separate


def test_one_map_task_shares_with_none() -> None:
    model = build({"depth": 1}, shared_decoder=True)
    assert list(model.heads) == ["depth"]
    own = build(shared_decoder=True, heads={"classification": "classifier", "depth": "unet_lite"})
    assert list(own.heads) == list(OUTPUTS)


@pytest.mark.parametrize("shared", [False, True])
def test_sizes_must_fit_every_head(shared: bool) -> None:
    with pytest.raises(ValueError, match=r"data.size: expected multiples of 32 .*the nearest is 64x64"):
        build_model(net(shared_decoder=shared), {"segmentation": 3, "depth": 1}, (64, 80 - 7))


def test_a_head_of_no_task_is_an_error() -> None:
    with pytest.raises(
        ValueError, match=r"net.heads.dpth: no task of this network is called so; did you mean 'depth'\?"
    ):
        build(heads={"classification": "classifier", "dpth": "unet_lite"})


# ------------------------------------------------------------------------------------------------ what is shared


def names_of(model: Model, parameters: list[Tensor]) -> list[str]:
    known = {id(p): name for name, p in model.backbone.named_parameters()}
    return [known[id(p)] for p in parameters]


def test_shared_layers_are_those_of_every_head() -> None:
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


@pytest.mark.parametrize("enlarge_by", get_args(Enlarge))
@pytest.mark.parametrize("name", sorted(MAPS))
def test_what_a_shared_decoder_shares_depends_on_no_number_of_channels(name: str, enlarge_by: str) -> None:
    """The last common layer has the channels of no output, even where their number is that of an inner layer."""
    outputs = {"segmentation": 15, "depth": 1}
    settings = {"enlarge_by": enlarge_by} | ({"width": 0.0625} if name == "fpn_lite" else {"width": 0.25})
    model = build(outputs, (128, 128), decoder={name: settings}, shared_decoder=True)
    head = model.heads["segmentation+depth"]
    assert isinstance(head, Shared)
    own = [p for layer in head.decoder.last for p in layer.parameters()]
    common = head.common_parameters()
    assert len(own) + len(common) == len(list(head.parameters()))
    (last,) = model.shared_parameters("last")
    assert last is [p for p in common if p.ndim > 1][-1]
    assert all(len(p) % 16 == 0 for p in own)


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
            "net.decoder: segmentation needs maps, classifier gives class scores; choose",
        ),
        (
            "segmentation+depth",
            "net.heads.depth=classifier",
            "depth needs maps, classifier gives class scores.*for depth alone: net.heads.depth=NAME",
        ),
        (
            "segmentation",
            "task=segmentation+classification",
            "classification needs class scores, fpn_lite gives maps.*alone: net.heads.classification=NAME",
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
        Run(tmp_path, xv.recipe("segmentation+depth", *texts)).check_settings()
