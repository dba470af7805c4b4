"""Runs of every framing: what a file's metadata says of it leads from an image to the right map of that image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import xvision as xv
from tests.pipeline.results import FLOAT, figures, of_json
from tests.test_cli import call
from xvision.runs.run import Run

HEIGHT, WIDTH, SIDE = 64, 128, 64
KINDS = ("crop", "stretch", "letterbox")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wide pictures, and some depth."""
    root = tmp_path_factory.mktemp("wide")
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 3)):
        for i in range(count):
            coarse = rng.integers(20, 235, (4, 8), np.uint8)
            gray = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
            for kind, values in (("images", gray), ("depth", 2000 + 20 * gray.astype(np.uint16))):
                (root / split / kind).mkdir(parents=True, exist_ok=True)
                assert cv2.imwrite(str(root / split / kind / f"{i}.png"), values)
    return root


@pytest.fixture(scope="module", params=KINDS)
def run(request: pytest.FixtureRequest, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("runs")
    words = (
        "depth", "data=image_depth_folder", f"data.root={data}", f"data.framing={request.param}",
        f"data.size={SIDE}x{SIDE}", "train.epochs=0", "train.batch_size=4", "train.workers=0", "quant.num_images=4",
        "net.backbone=timm:mobilenetv2_035", "net.decoder.width=0.25",
    )  # fmt: skip
    weights = write_weights(folder / "weights.safetensors", xv.build(xv.recipe(*words)))
    return xv.run(xv.recipe(*words, f"net.weights={weights}"), folder / request.param)


def write_weights(file: Path, model: nn.Module) -> Path:
    """A network that nobody has trained, yet whose log depth differs from place to place by about 0.5."""
    torch.manual_seed(0)
    noise = torch.nn.functional.interpolate(255 * torch.rand(8, 3, 8, 8), size=SIDE, mode="bicubic")
    images = noise.clamp(0, 255).byte()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the mean over what it sees
    with torch.no_grad():
        model.train()(images)
        (last,) = [m for m in model.decoders.modules() if isinstance(m, nn.Conv2d) and m.out_channels == 1]
        last.weight.mul_(0.5 / model.eval()(images)["depth"].std())
    save_file(model.state_dict(), file, metadata={"manifest": "{}"})
    return file


def prepared(image: np.ndarray[Any, Any], framing: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """By hand, as a user of the file would: the input, and where it shows pixels (x, y) of the image."""
    if framing == "stretch":
        shown, left, top, scale = (
            cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA),
            0,
            0,
            (0.5, 1),
        )
    elif framing == "letterbox":
        small = cv2.resize(image, (SIDE, SIDE // 2), interpolation=cv2.INTER_AREA)
        shown, left, top, scale = np.full((SIDE, SIDE, 3), 128, np.uint8), 0, 16, (0.5, 0.5)
        shown[16:48] = small
    else:
        assert framing == "crop", framing
        shown, left, top, scale = np.ascontiguousarray(image[:, 32:96]), -32, 0, (1, 1)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32) + 0.5
    return shown, np.stack([x * scale[0] + left, y * scale[1] + top], -1)


def test_a_map_of_the_file_lies_where_its_metadata_says(
    run: Run, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = run.folder / "export/int8/model.onnx"
    metadata = {p.key: p.value for p in onnx.load(file).metadata_props}
    (frame,) = [one for one in json.loads(metadata["preprocessing"])["steps"] if one["operation"] == "frame"]
    framing = frame["framing"]
    assert json.loads(metadata["recipe"])["data"]["framing"] == framing == run.recipe.data.framing
    photo = data / "val/images/0.png"
    image = cv2.cvtColor(cv2.imread(str(photo)), cv2.COLOR_BGR2RGB)
    shown, places = prepared(image, framing)
    options = onnxruntime.SessionOptions()  # some CPUs saturate sums of products in optimised int8 kernels
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    (raw,) = session.run(None, {session.get_inputs()[0].name: shown.transpose(2, 0, 1)[None]})
    by_hand = cv2.remap(
        np.exp(raw[0, 0]), *np.moveaxis(places.astype(np.float32) - 0.5, -1, 0), cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip

    assert call("predict", str(file), str(photo), "--out", str(tmp_path / "found"), "--json") == 0
    capsys.readouterr()
    written = cv2.imread(str(tmp_path / "found/0000_0_depth.png"), cv2.IMREAD_UNCHANGED)
    assert written.shape == (HEIGHT, WIDTH)
    spread_m = np.ptp(by_hand)
    assert spread_m > 0.05, "a flat map would be right anywhere"
    np.testing.assert_allclose(written / 1000, by_hand, atol=0.02 * spread_m)  # remap's weights have 5 bits


def test_predictions_in_files_score_as_the_network_that_wrote_them(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever the framing, both are measured on whole labels at their own resolution."""
    out = str(tmp_path / "found")
    places = (f"data.root={run.recipe.places['image_depth_folder']}",)
    assert call("predict", str(run.folder), *places, "--out", out) == 0
    capsys.readouterr()
    assert call("val", "--predictions", out, "--json") == 0
    scored = next(iter(of_json(json.loads(capsys.readouterr().out)).values()))
    measured = figures(run.record)
    int8 = next(values for key, values in measured.items() if key != FLOAT)
    assert scored["depth/abs_rel"] == pytest.approx(int8["depth/abs_rel"], rel=1e-3)
