"""Weights of a run are matched by the names of their classes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from xvision.models.build import build_model
from xvision.models.model import Model
from xvision.models.outputs import OutputSpec
from xvision.models.settings import Net

KINDS = ("class", "segmentation")


def network(kind: str, classes: Sequence[str], weights: str = "none", **decoder: Any) -> Model:
    """Classification or segmentation into these classes."""
    heads = {"class": "classifier", "segmentation": {"fpn_lite": {"width": 0.25, **decoder}}}
    net = Net(
        backbone={"resnet9": {"widths": (8, 8, 16, 16)}}
        if kind == "class"
        else {"timm": {"model": "mobilenetv2_035"}},
        decoder=heads[kind],
        weights=weights,
    )
    spec = OutputSpec(kind, len(classes), "scores" if kind == "class" else "map", field=kind)
    model = build_model(net, {kind: (spec,)}, (64, 64), {kind: tuple(classes)})
    return model.eval()


def saved(folder: Path, model: Model, kind: str, classes: Sequence[str]) -> str:
    folder.mkdir()
    manifest = json.dumps({"classes": {kind: list(classes)}})
    state = {
        key: torch.randn_like(value) * 0.1 if value.ndim == 4 else value
        for key, value in model.state_dict().items()
    }
    model.load_state_dict(state)
    save_file(state, folder / "best.safetensors", metadata={"manifest": manifest})
    return str(folder / "best.safetensors")


def scores(model: Model) -> torch.Tensor:
    image = torch.randint(
        0, 256, (1, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    with torch.inference_mode():
        (found,) = model(image).values()
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_classes_in_another_order_give_the_same_scores_by_name(tmp_path: Path, kind: str) -> None:
    first = network(kind, ("a", "b", "c"))
    run = saved(tmp_path / "run", first, kind, ("a", "b", "c"))
    again = network(kind, ("c", "a", "b"), run)
    torch.testing.assert_close(scores(again), scores(first)[:, [2, 0, 1]])
    assert f"classes of '{kind}' by name: 3 of 3" in str(again.loaded)
    same = network(kind, ("a", "b", "c"), run)
    assert torch.equal(scores(same), scores(first))
    assert "by name" not in str(same.loaded)


@pytest.mark.parametrize("kind", KINDS)
def test_some_of_the_classes_are_taken_and_the_others_told(tmp_path: Path, kind: str) -> None:
    first = network(kind, ("a", "b", "c"))
    run = saved(tmp_path / "run", first, kind, ("a", "b", "c"))
    more = network(kind, ("z", "c", "a", "y"), run)
    torch.testing.assert_close(scores(more)[:, 1:3], scores(first)[:, [2, 0]])
    told = f"classes of '{kind}' by name: 2 of 4; not in the file: z, y; in the file only: b"
    assert str(more.loaded).count(told) == 1
    assert "other size" not in str(more.loaded)


def test_classes_that_nobody_has_named_are_taken_by_number(tmp_path: Path) -> None:
    first = network("class", ("a", "b", "c"))
    run = saved(tmp_path / "run", first, "class", ("a", "b", "c"))
    assert torch.equal(scores(network("class", ("class 0", "class 1", "class 2"), run)), scores(first))


def test_layers_that_mix_classes_begin_anew_and_that_is_told(tmp_path: Path) -> None:
    first = network("segmentation", ("a", "b"), upsample_mode="conv")
    run = saved(tmp_path / "run", first, "segmentation", ("a", "b"))
    again = network("segmentation", ("b", "a"), run, upsample_mode="conv")
    assert "layers behind the scores of segmentation mix the classes: they start from random values" in str(
        again.loaded
    )
    torch.manual_seed(0)
    same = network("segmentation", ("a", "b"), run, upsample_mode="conv")
    assert torch.equal(scores(same), scores(first))
