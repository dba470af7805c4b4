"""What each task costs: its own layers, and the end of the backbone that only it reads."""

from __future__ import annotations

import pytest

from tests.models.test_heads import MAPS, build
from xvision.analysis.heads import head_costs
from xvision.graph.cost import count


def test_costs_are_those_of_the_layers_that_would_go() -> None:
    model = build()
    cost = count(model, (64, 64))
    heads = head_costs(model, cost)
    assert list(heads) == ["segmentation", "depth", "classification"]
    for key, decoder in model.decoders.items():
        params = sum(p.numel() for p in decoder.parameters())
        if key == "classification":
            tail = [model.backbone.get_submodule(name) for name in ("conv_head", "bn2", "classifier")]
            params = sum(p.numel() for module in tail for p in module.parameters())
        assert heads[key][1] == params, key
    maps_alone = count(build({"segmentation": 3, "depth": 1}), (64, 64))
    assert cost.macs - heads["classification"][0] == maps_alone.macs
    assert cost.params - heads["classification"][1] == maps_alone.params


@pytest.mark.parametrize("decoder", sorted(MAPS))
def test_a_task_of_a_shared_decoder_costs_its_channels(decoder: str) -> None:
    width = 1.0 if decoder == "unet_lite" else 0.25  # a narrow UNet-Lite is as wide as its outputs ask for
    size, settings = (128, 128), {"decoder": {decoder: {"width": width}}, "shared_decoder": True}
    model = build(size=size, **settings)
    cost = count(model, size)
    heads = head_costs(model, cost)
    one_more = count(build({"segmentation": 3, "depth": 2, "class": 2}, size, **settings), size)
    assert list(heads) == ["segmentation", "depth", "classification"]
    assert heads["depth"] == (one_more.macs - cost.macs, one_more.params - cost.params)
    assert heads["segmentation"] == tuple(3 * n for n in heads["depth"])


def test_a_single_task_needs_all_that_there_is() -> None:
    model = build({"segmentation": 3})
    cost = count(model, (64, 64))
    assert head_costs(model, cost) == {"segmentation": (cost.macs, cost.params)}


def test_levels_that_one_decoder_alone_reads_are_its_own() -> None:
    """The backbone's last stages are the classifier's where the maps end at stride 16."""
    decoder = {"lraspp_lite": {}}
    model = build(decoder=decoder)
    without = build({"segmentation": 3, "depth": 1}, decoder=decoder)
    cost, maps_alone = count(model, (64, 64)), count(without, (64, 64))
    macs, params = head_costs(model, cost)["classification"]
    assert (cost.macs - macs, cost.params - params) == (maps_alone.macs, maps_alone.params)
