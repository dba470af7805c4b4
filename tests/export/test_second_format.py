"""A second export format in one file: it appears in record, report and command line, and nothing else is edited."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from onnxruntime import InferenceSession
from torch import Tensor, nn

from tests.pipeline.results import FLOAT, of_json
from tests.test_cli import call
from xvision.export.contract import Contents, Executor, FileError, Format, installed
from xvision.export.executors import executor
from xvision.export.formats import export_format

SMALL = (
    "data.num_train=16", "data.num_val=5", "data.size=64x64", "train.max_steps=2", "train.batch_size=4",
    "train.workers=0", "train.threads=1", "quant.num_images=4", "net.backbone=timm:mobilenetv2_035",
    "net.decoder.width=0.25",
)  # fmt: skip

# ------------------------------------------------------------------------- what the one new file would hold


class PlainRuntime(Executor):
    """An ONNX file as it is, without integer tensors."""

    name = "plain_runtime"
    version = installed("onnxruntime")

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._session = InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
        except RuntimeError as error:
            raise FileError(f"{path}: expected an ONNX file, got something else; export again") from error
        self.input_names = tuple(port.name for port in self._session.get_inputs())
        self.metadata = dict(self._session.get_modelmeta().custom_metadata_map)

    def outputs(self, inputs: tuple[Tensor, ...]) -> dict[str, Tensor]:
        names = [port.name for port in self._session.get_outputs()]
        feed = {name: plane.numpy() for name, plane in zip(self.input_names, inputs, strict=True)}
        return dict(zip(names, map(torch.from_numpy, self._session.run(names, feed)), strict=True))


class PlainFloat(Format):
    name = "plain_float"
    suffix = ".plain.onnx"
    quantized = False
    version = PlainRuntime.version

    def write(
        self,
        network: nn.Module,
        path: Path,
        contents: Contents,
    ) -> None:
        export_format.onnx().build().write(network, path, contents)

    def executor(self, path: Path) -> Executor:
        runtime: Executor = executor.plain_runtime().build(path)
        return runtime


def plain_runtime(path: Path) -> Executor:
    """An ONNX file in ONNX Runtime as it comes."""
    return PlainRuntime(path)


def plain_float() -> Format:
    """The float network as ONNX."""
    return PlainFloat()


# ---------------------------------------------------------------------------------------------------- the run

COLUMN = ("float", "plain_runtime")


@pytest.fixture(scope="module", autouse=True)
def _registered() -> Iterator[None]:
    """Only here: the contract tests of the formats that the package has go through the registries."""
    with pytest.MonkeyPatch.context() as patch:
        for registry, builder in ((executor, plain_runtime), (export_format, plain_float)):
            patch.setattr(registry, "_own", {})
            registry(builder)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("formats") / "run"
    words = ("run", "segmentation", *SMALL, "export.format=onnx+plain_float+onnx_float", "--out", str(out))
    assert call(*words) == 0
    return out


def test_both_files_are_there_and_in_the_record(run: Path) -> None:
    assert sorted(file.relative_to(run / "export").as_posix() for file in run.glob("export/*/*.onnx")) == [
        "float/model.plain.onnx",
        "float/model_float.onnx",
        "int8/model.onnx",
    ]
    record = json.loads((run / "record.json").read_text())
    assert {"export/int8/model.onnx", "export/float/model.plain.onnx"} <= record["artefacts"].keys()
    assert record["recipe"]["export"]["format"] == {"onnx": {}, "plain_float": {}, "onnx_float": {}}
    figures = of_json(record)
    assert figures[COLUMN] == pytest.approx(figures[FLOAT], abs=1)
    (proof,) = [row for row in record["parity"] if row["executor"] == "plain_runtime"]
    assert (proof["network"], proof["reference"], proof["file"]) == (
        "float",
        "pytorch",
        "export/float/model.plain.onnx",
    )
    assert proof["ok"]
    assert 0 < proof["max_error"] < 1e-3
    assert proof["levels"].keys() == {"plain_runtime"}


def test_the_report_has_a_column_for_it(run: Path) -> None:
    page = (run / "report.html").read_text()
    assert "plain_runtime" in page
    assert "export/float/model.plain.onnx" in page


def test_the_command_line_knows_it(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("list", "export_format", "--json") == 0
    assert json.loads(capsys.readouterr().out)["export_format"]["plain_float"] == "The float network as ONNX."
    assert call("list", "executors") == 0
    assert "plain_runtime" in capsys.readouterr().out
    assert call("run", "segmentation", *SMALL, "export.format=plain_flot") == 2
    assert "no export_format is called 'plain_flot'; did you mean 'plain_float'?" in capsys.readouterr().err
    assert call("verify", str(run), "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert of_json(shown)[COLUMN] == of_json(json.loads((run / "record.json").read_text()))[COLUMN]
    assert shown["exported"] == {
        "float": {
            "plain.onnx": str(run / "export/float/model.plain.onnx"),
            "float.onnx": str(run / "export/float/model_float.onnx"),
        },
        "int8": {"onnx": str(run / "export/int8/model.onnx")},
    }


def test_its_file_can_be_measured_and_used(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = run / "export/float/model.plain.onnx"
    assert call("val", str(file), "--json") == 0
    measured = of_json(json.loads(capsys.readouterr().out))
    assert measured == {COLUMN: of_json(json.loads((run / "record.json").read_text()))[COLUMN]}
    assert call("predict", str(file), "data=scenes", "--out", str(tmp_path / "p")) == 0
    assert (tmp_path / "p/predictions.json").is_file()


def test_a_format_that_computes_something_else_fails_verification(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_wrong(
        self: Format,
        network: nn.Module,
        path: Path,
        contents: Contents,
    ) -> None:
        export_format.onnx().build().write(network, path, contents)
        model = onnx.load(path)
        weight = model.graph.initializer[0]
        weight.CopyFrom(numpy_helper.from_array(np.negative(numpy_helper.to_array(weight)), weight.name))
        onnx.save(model, path)

    monkeypatch.setattr(PlainFloat, "write", write_wrong)
    copy = shutil.copytree(run, tmp_path / "copy")
    assert call("verify", str(copy), "export.format=plain_float") == 6
    assert "model.plain.onnx computes something else than" in capsys.readouterr().err
