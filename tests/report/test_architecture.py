"""Drawings of networks: all of the network is in them, and those of the docs are fresh."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import xvision as xv
from tools.architecture import drawing, main
from xvision.graph.cost import count
from xvision.report.architecture import describe, draw

FIGURES = Path(__file__).parents[2] / "docs/figures"
DRAWN = ("segmentation", "depth", "motion", "segmentation+depth", "segmentation+depth+motion")


@pytest.mark.parametrize("name", DRAWN)
def test_figures_of_the_docs_are_fresh(name: str) -> None:
    """After a change: python -m tools.architecture RECIPE docs/figures/RECIPE.svg"""
    text = drawing(xv.recipe(name))
    assert (FIGURES / f"{name}.svg").read_text(encoding="utf-8") == text
    assert len(text) < 60_000


NETWORKS = {
    "maps": ("segmentation", "net.backbone=timm:mobilenetv3_small_050"),  # with squeeze-excite
    "scores": ("classification", "net.backbone=timm:resnet10t", "data.size=32x32"),
    "small maps": ("classification", "net.backbone=timm:mobilenetv3_small_050", "data.size=32x32"),
    "from stride 1": ("classification", "net.backbone=resnet9", "data.size=32x32"),
    "kept stride": ("segmentation", "net.backbone.output_stride=16"),
    "own decoders": ("segmentation+depth", "net.heads.depth=lraspp_lite"),
    "shared decoder": ("segmentation+depth", "net.shared_decoder=true"),
    "two streams": ("motion", "net.inputs=image+flow+confidence", "net.pixels=nv12"),
}


@pytest.mark.parametrize("words", NETWORKS.values(), ids=NETWORKS)
def test_the_parts_of_a_drawing_make_up_the_network(words: tuple[str, ...]) -> None:
    model = xv.build(xv.recipe(*words))
    found = describe(model, "a <title> & more")
    parts = [*found.stages, *found.heads, *found.streams]
    assert sum(part.macs for part in parts) == count(model, model.size).macs
    assert all(stage.macs > 0 for stage in found.stages)
    assert [name for head in found.heads for name, _ in head.outputs] == list(model.outputs)
    assert [name for stream in found.streams for name, _ in stream.planes] == [
        p.name for p in model.inputs.planes
    ]
    read = {stride for head in found.heads for stride in head.strides}
    assert read <= {stage.stride for stage in found.stages}

    text = draw(found)
    assert text == draw(describe(model, "a <title> & more"))
    svg = ET.fromstring(text)
    texts = [node.text for node in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[0] is not None
    assert texts[0].startswith("a <title> & more: ")
    assert {head.decoder for head in found.heads} <= set(texts)
    width, height = float(svg.attrib["width"]), float(svg.attrib["height"])
    for rect in list(svg.iter("{http://www.w3.org/2000/svg}rect"))[1:]:
        x, y, w, h = (float(rect.attrib[key]) for key in ("x", "y", "width", "height"))
        assert min(x, y, w, h) >= 0
        assert x + w <= width
        assert y + h <= height


def test_the_command(tmp_path: Path) -> None:
    main(["segmentation", str(tmp_path / "new/net.svg"), "net.backbone=timm:resnet10t"])
    assert "timm:resnet10t at 128x128" in (tmp_path / "new/net.svg").read_text(encoding="utf-8")
    with pytest.raises(SystemExit, match=r"usage: python -m tools\.architecture"):
        main(["segmentation"])
