"""The command line: exit codes, one clear message, JSON alone on standard output, quick answers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.conftest import write_images
from tests.pipeline.results import FILE, FLOAT, INT8, of_json
from xvision.cli import main
from xvision.recipes.describe import described

SMALL = [
    "data.size=32x32",
    "net.backbone=timm:resnet10t",
    "train.max_steps=4",
    "train.batch_size=8",
    "train.workers=0",
    "train.threads=1",
]


def call(*arguments: str) -> int:
    """The exit code of `xvision ARGUMENTS`, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["xvision", *arguments])
        try:
            main()
        except SystemExit as done:
            return int(done.code or 0)
    return 0


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = write_images(tmp_path_factory.mktemp("images") / "colours")
    out = tmp_path_factory.mktemp("runs") / "run"
    assert (
        call("run", "classification", "data=image_folder", f"data.root={root}", *SMALL, "--out", str(out))
        == 0
    )
    return root, out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--version") == 0
    assert capsys.readouterr().out == "0.1.0\n"


def test_list_and_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("list") == 0
    assert "cifar10_classification" in capsys.readouterr().out
    assert call("list", "datasets", "--json") == 0
    assert "image_folder" in json.loads(capsys.readouterr().out)["dataset"]
    assert call("show", "classification", "train.epochs=3", "--json") == 0
    assert json.loads(capsys.readouterr().out)["train"]["epochs"] == 3
    assert call("show", "sgd") == 0
    assert "momentum: float" in capsys.readouterr().out
    assert call("show", "image_mask_folder") == 0
    assert "Ids count from 0, 255 is unknown" in capsys.readouterr().out, "settings are explained"
    assert call("show", "train") == 0
    shown = capsys.readouterr().out
    assert (
        "section train: How the weights are found.\n  epochs: int = 10\n      0: none, the weights of"
        in shown
    )
    assert "optimizer: Part = 'sgd'  (its settings: xvision show sgd)" in shown
    assert call("show", "train.decay") == 0
    shown = capsys.readouterr().out
    assert shown.startswith(
        "setting train.decay: Literal['all', 'weights'] = 'all'\n\n  What weight decay reaches"
    )
    assert call("show", "net") == 0
    assert "heads: dict[str, Part] = {}" in capsys.readouterr().out
    assert call("show", "data.augment", "--json") == 0
    augment = json.loads(capsys.readouterr().out)["section"]["settings"]
    assert augment["hflip"] == {
        "type": "Ratio", "default": 0.5, "help": "Probability of swapping left and right.",
    }  # fmt: skip


def test_every_setting_of_a_section_is_explained() -> None:
    for name in ("data", "data.augment", "net", "train", "quant", "export"):
        assert all(one.help for one in described(name, {})["section"].settings.values()), name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "clasification"], "did you mean 'classification'?"),
        (["run", "classification", "train.epocs=1", "data=cifar1"], "did you mean 'train.epochs'?"),
        (["show", "sdg"], "did you mean 'sgd'?"),
        (["show", "trian"], "did you mean 'train'?"),
        (["show", "sgd", "a=1"], "only a recipe takes key=value"),
        (["list", "dataste"], "did you mean 'dataset'?"),
        (["train"], "expected a recipe, or --resume RUN"),
        (["report", "nowhere"], "nowhere: not a run folder"),
        (["val", "nowhere"], "nowhere"),
        (["predict", "nowhere.onnx", "a.jpg"], "nowhere.onnx"),
    ],
)
def test_usage_errors_are_one_message_and_exit_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""


def test_data_errors_exit_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    code = call(
        "run",
        "classification",
        "data=image_folder",
        f"data.root={tmp_path / 'empty'}",
        "--out",
        str(tmp_path / "r"),
    )
    assert code == 3
    assert "empty" in capsys.readouterr().err


def test_damaged_files_of_both_splits_are_named_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = write_images(tmp_path / "colours"), tmp_path / "r"
    damaged = [f"{split}/red/00.png" for split in ("train", "val")]
    for name in damaged:
        (root / name).write_bytes(b"no image")
    assert (
        call("run", "classification", "data=image_folder", f"data.root={root}", *SMALL, "--out", str(out))
        == 3
    )
    error = capsys.readouterr().err
    assert all(name in error for name in damaged)
    assert not (out / ".staging").exists()


def test_a_report_goes_into_a_folder_or_a_file(
    finished: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, file in (("mail", "mail/report.html"), ("deep/mine.html", "deep/mine.html")):
        assert call("report", str(finished[1]), "--out", str(tmp_path / name)) == 0
        assert (tmp_path / file).is_file()


def test_predict_says_when_it_is_the_float_network_and_leaves_no_empty_folder(
    finished: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = finished
    trained = tmp_path / "trained"
    shutil.copytree(out, trained)
    shutil.rmtree(trained / "quant")
    note = f"by the float network; `xvision quantize {trained}` makes the int8 one"
    for run, is_float in ((out, False), (trained, True)):
        assert call("predict", str(run), str(root / "val/red/00.png")) == 0
        assert (note in capsys.readouterr().out) == is_float
    (tmp_path / "notes.txt").write_text("no image")
    assert call("predict", str(out), str(tmp_path / "notes.txt"), "--out", str(tmp_path / "found")) == 3
    assert not (tmp_path / "found").exists()


def test_json_is_one_object_on_standard_output(
    finished: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    _, out = finished
    assert call("report", str(out), "--json") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["report"] == str(out / "report.html")
    assert "up to date" in captured.err


def test_val_gives_the_same_metric_for_the_run_and_its_file(
    finished: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = finished
    assert call("val", str(out), "--json") == 0
    run = of_json(json.loads(capsys.readouterr().out))
    assert call("val", str(out / "export/int8/model.onnx"), f"data.root={root}", "--json") == 0
    file = of_json(json.loads(capsys.readouterr().out))
    assert file == {FILE: run[INT8]}
    assert set(run) == {FLOAT, INT8}


def test_predict_gives_the_same_for_the_run_and_its_file(
    finished: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = finished
    found = []
    for target in (out, out / "export/int8/model.onnx"):
        words = (str(target), str(root / "val"), "--out", str(tmp_path / "p"), "--fresh")
        assert call("predict", *words, "--json") == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0] == found[1]
    assert len(found[0]["images"]) == 12
    assert json.loads((tmp_path / "p/predictions.json").read_text())["images"] == found[1]["images"]
    assert len(list((tmp_path / "p").glob("**/*.png"))) == 12


def test_a_garbage_onnx_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "garbage.onnx").write_bytes(b"not an onnx file")
    assert call("val", str(tmp_path / "garbage.onnx"), "data=scenes") == 4
    assert "garbage.onnx" in capsys.readouterr().err


def test_quantize_takes_only_keys_of_quant(
    finished: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    _, out = finished
    assert call("quantize", str(out), "train.epochs=99") == 2
    assert "train.epochs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "limit_s"), [(["--help"], 0.3), (["list"], 1.0), (["show", "demo"], 1.0)]
)
def test_answers_without_importing_torch(arguments: list[str], limit_s: float) -> None:
    """The limit itself is measured by benchmarks/startup.py; here: nothing heavy is imported."""
    code = textwrap.dedent(f"""
        import sys
        sys.argv = ["xvision", *{arguments!r}]
        from xvision.cli import main
        try:
            main()
        except SystemExit as e:
            assert not e.code
        assert not {{"torch", "timm", "cv2", "torchvision", "numpy"}} & set(sys.modules)
    """)
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_the_pipeline_opens_no_socket(tmp_path: Path) -> None:
    """Nothing phones home: the demonstration runs where every socket to a network raises."""
    code = textwrap.dedent(f"""
        import socket, sys
        real = socket.socket
        class Blocked(real):
            def __init__(self, family=socket.AF_INET, *rest, **named):
                if family != socket.AF_UNIX:
                    raise AssertionError("a network socket was opened")
                super().__init__(family, *rest, **named)
        socket.socket = Blocked
        socket.getaddrinfo = socket.create_connection = None
        import xvision as xv
        recipe = xv.recipe("demo", "data.num_train=32", "data.num_val=16", "train.max_steps=2", "train.threads=1")
        xv.run(recipe, {str(tmp_path / "run")!r})
    """)
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "XVISION_CACHE": str(tmp_path)}
    )
    assert (tmp_path / "run/report.html").is_file()
