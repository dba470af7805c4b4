"""Several quantizations of one run side by side: rows, files, proofs and report keep all of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import xvision as xv
from tests.conftest import write_images
from tests.pipeline.results import FILE, FLOAT, INT8, everything, figures, of_json
from tests.pipeline.test_failures import failing
from tests.test_cli import call
from xvision.console import Console
from xvision.files import sha256
from xvision.recipes.schema import Recipe
from xvision.runs.files import ChangedFileError
from xvision.runs.run import Run

EIGHT, EIGHT_FILE = ("w8-h8", "simulation"), ("w8-h8", "onnxruntime")
NAME = "w8-h8"
OF_INT8, OF_EIGHT = (
    [f"{step} {name}" for step in ("quantize", "export", "verify")] for name in ("int8", NAME)
)
REST = ["record", "report"]

Folders = tuple[Path, Path]
Copied = Callable[[], Path]


def tiny(root: Path, *texts: str) -> Recipe:
    fixed = (
        "data=image_folder", f"data.root={root}", "data.size=32x32", "net.backbone=resnet9",
        "net.backbone.widths=8,8,8,8", "train.batch_size=8", "train.workers=0", "train.threads=1",
        "train.max_steps=2", "quant.num_images=32",
    )  # fmt: skip
    changed = {text.partition("=")[0] for text in texts}
    return xv.recipe("classification", *(t for t in fixed if t.partition("=")[0] not in changed), *texts)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """Images, and a finished run with a second quantization that was made, exported and verified by itself."""
    root = write_images(tmp_path_factory.mktemp("images") / "colours", 16)
    out = tmp_path_factory.mktemp("runs") / "two"
    xv.run(tiny(root), out)
    assert call("quantize", str(out), "quant.head_bits=8", "--as", NAME) == 0
    assert call("verify", str(out), "--as", NAME) == 0
    assert call("report", str(out)) == 0
    return root, out


@pytest.fixture
def copied(made: Folders, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made[1], tmp_path / "run"))


def executed(capsys: pytest.CaptureFixture[str], recipe: Recipe, out: Path, **how: Any) -> list[str]:
    """The stages that a run really executes."""
    capsys.readouterr()
    xv.run(recipe, out, console=Console(), **how)
    return stages_of(capsys.readouterr().out)


def stages_of(said: str) -> list[str]:
    return [line.removesuffix(" …") for line in said.splitlines() if line.endswith(" …")]


# ---------------------------------------------------------------------------------------- what is kept of both


def test_rows_files_and_proofs_of_both(made: Folders) -> None:
    _, out = made
    record = Run(out).record
    found = figures(record)
    assert list(found) == [FLOAT, INT8, FILE, EIGHT, EIGHT_FILE]
    assert (found[INT8], found[EIGHT]) == (found[FILE], found[EIGHT_FILE])
    assert [(row.network, row.file, row.ok, row.max_lsb) for row in record.parity] == [
        ("int8", "quant/int8/model.safetensors", True, 0),
        ("int8", "export/int8/model.onnx", True, 0),
        (NAME, f"quant/{NAME}/model.safetensors", True, 0),
        (NAME, f"export/{NAME}/model.onnx", True, 0),
    ]
    assert {"export/int8/model.onnx", f"export/{NAME}/model.onnx", f"quant/{NAME}/quant.yaml"} <= set(
        record.artefacts
    )
    assert set(record.stages) == {"train", *OF_INT8, *OF_EIGHT}
    bits = {name: one.quant["scheme"]["pow2"]["head_bits"] for name, one in record.quantization.items()}
    assert bits == {"int8": 16, NAME: 8}
    assert record.recipe["quant"] == record.quantization["int8"].quant, "recipe.yaml keeps the default one's"


def test_each_network_has_its_own_numbers(made: Folders) -> None:
    root, out = made
    run = Run(out)
    assert run.networks == ("float", "int8", NAME)
    assert {name: quant.scheme.value("head_bits") for name, quant in run.quantizations.items()} == {
        "int8": 16,
        NAME: 8,
    }
    assert run.quantized is run.network("int8")
    planes = next(run.planes("val"))
    with torch.no_grad():
        scores = [run.network(name)(*planes)["class"] for name in run.networks]
    assert not torch.equal(scores[1], scores[2])
    by_name = xv.load(out, network=NAME)
    assert list(by_name.executors) == [EIGHT]
    assert torch.equal(by_name.executors[EIGHT](*planes)["class"], scores[2])
    assert xv.load(out).column == INT8, "int8 answers where no network is named"
    photo = root / "val/red/00.png"
    assert by_name.predict(photo) == xv.load(out / f"export/{NAME}/model.onnx").predict(photo)


def test_the_file_says_how_it_was_made_wherever_it_lies(made: Folders, tmp_path: Path) -> None:
    _, out = made
    for name, column, bits in (("int8", FILE, 16), (NAME, EIGHT_FILE, 8)):
        alone = shutil.copy(out / f"export/{name}/model.onnx", tmp_path / f"{name}.onnx")
        opened = xv.load(alone)
        assert list(opened.executors) == [column]
        assert opened.recipe.quant.scheme.value("head_bits") == bits
        (said,) = opened.executors.values()
        assert json.loads(said.metadata["recipe_id"]) == Run(out).recipe_of(name).id


def test_the_report_says_scheme_and_method_of_both(made: Folders) -> None:
    page = (made[1] / "report.html").read_text()
    for name, bits in (("int8", 16), (NAME, 8)):
        assert f"<h3>{name}</h3>" in page
        assert f"pow2:tensor head_bits={bits}</dd>" in page
        assert f"export/{name}/model.onnx in onnxruntime against simulation" in page
        assert f"{name}: exported file" in page
    assert f"{NAME}<br>onnxruntime" in page
    assert "the int8 network finds" in page


def test_show_lists_them(made: Folders, capsys: pytest.CaptureFixture[str]) -> None:
    _, out = made
    assert call("show", str(out)) == 0
    said = capsys.readouterr().out
    assert f"# {Run(out).recipe.id}\n" in said
    lines = [line.split() for line in said.partition("quantizations:")[2].splitlines() if line]
    assert [line[:5] for line in lines] == [
        [name, "pow2:tensor", f"head_bits={bits},", "ptq", "num_images=32"]
        for name, bits in (("int8", 16), (NAME, 8))
    ]
    assert "outputs in 16 bits" in " ".join(lines[0])
    assert "not there" not in said
    assert call("show", str(out), "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["recipe"]["quant"] == shown["quantizations"]["int8"]
    assert list(shown["quantizations"]) == ["int8", NAME]
    assert call("show", str(out), "quant.head_bits=8") == 2
    assert "is a run folder; only a recipe takes key=value" in capsys.readouterr().err


# --------------------------------------------------------------------------------------------------- --as


def test_val_measures_all_or_one(made: Folders, capsys: pytest.CaptureFixture[str]) -> None:
    root, out = made
    known = figures(Run(out).record)
    for words, columns in (
        ([], [FLOAT, INT8, EIGHT]),
        (["--as", NAME], [EIGHT]),
        (["--as", "float"], [FLOAT]),
    ):
        assert call("val", str(out), *words, "--json") == 0
        assert of_json(json.loads(capsys.readouterr().out)) == {column: known[column] for column in columns}
    assert call("val", str(out / f"export/{NAME}/model.onnx"), f"data.root={root}", "--json") == 0
    assert of_json(json.loads(capsys.readouterr().out)) == {EIGHT_FILE: known[EIGHT_FILE]}


def test_predict_uses_the_network_named(
    made: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = made
    found = {}
    for name in (None, "int8", NAME, "float"):
        chosen = [] if name is None else ["--as", name]
        folder = str(tmp_path / f"found_{name}")
        assert call("predict", str(out), str(root / "val"), *chosen, "--out", folder, "--json") == 0
        found[name] = json.loads(capsys.readouterr().out)
    assert found[None] == found["int8"]
    assert len({json.dumps(one) for one in found.values()}) == 3
    words = ("predict", str(out), str(root / "val"), "--out", str(tmp_path / f"found_{NAME}"))
    assert call(*words, "--as", NAME) == 0, "the same call"
    assert call(*words) == 2, "another network's pictures are not written over these"


def test_a_verb_touches_the_quantization_named_alone(
    copied: Path, made: Folders, capsys: pytest.CaptureFixture[str]
) -> None:
    before = everything(copied)
    capsys.readouterr()
    assert call("quantize", str(copied), "quant.num_images=8", "--as", NAME, "--json") == 0
    captured = capsys.readouterr()
    assert stages_of(captured.err) == [f"quantize {NAME}", "record"]
    said = json.loads(captured.out)
    assert list(of_json(said)) == [FLOAT, INT8, FILE, EIGHT]
    assert list(said["exported"]) == ["int8"]
    assert said["quantizations"][NAME]["method"]["ptq"]["num_images"] == 8
    assert said["quantizations"][NAME]["scheme"]["pow2"]["head_bits"] == 8, "it keeps what it was made with"
    after = everything(copied)
    own = (f"quant/{NAME}/", f"export/{NAME}/", "record.json", "report.html", "samples/", "status", "evalu")
    kept = {name: content for name, content in before.items() if not name.startswith(own)}
    assert kept == {name: content for name, content in after.items() if name in kept}
    assert not (copied / f"export/{NAME}/model.onnx").exists(), "of other numbers"
    assert call("export", str(copied), "--as", NAME, "--json") == 0
    captured = capsys.readouterr()
    assert stages_of(captured.err) == [f"export {NAME}", "record"]
    assert json.loads(captured.out)["exported"][NAME] == {"onnx": f"{copied}/export/{NAME}/model.onnx"}
    capsys.readouterr()
    assert call("report", str(copied), "--as", NAME) == 0
    assert stages_of(capsys.readouterr().out) == [f"verify {NAME}", *REST]
    assert executed(capsys, tiny(made[0]), copied) == []


def test_a_run_of_several_executes_what_changed(
    copied: Path, made: Folders, capsys: pytest.CaptureFixture[str]
) -> None:
    root, _ = made
    assert executed(capsys, tiny(root), copied) == []
    assert executed(capsys, tiny(root, "quant.num_images=8"), copied) == [*OF_INT8, *REST]
    assert Run(copied).recipe.quant.method.value("num_images") == 8
    assert Run(copied).quantizations[NAME].method.value("num_images") == 32
    eight = tiny(root, "quant.num_images=8", "quant.head_bits=8", "quant.weights=channel")
    assert executed(capsys, eight, copied, quantization=NAME) == [*OF_EIGHT, *REST]
    assert Run(copied).recipe.quant == tiny(root, "quant.num_images=8").quant
    assert {row.network: row.ok for row in Run(copied).record.parity} == {"int8": True, NAME: True}
    shared = tiny(root, "quant.num_images=8", "export.batch=1")
    steps = ("export", "verify")
    both = [f"{step} {name}" for step in steps for name in ("int8", NAME)]
    assert executed(capsys, shared, copied) == [*both, *REST]


def test_a_retrained_network_makes_all_stale_and_run_makes_them_again(
    copied: Path, made: Folders, capsys: pytest.CaptureFixture[str]
) -> None:
    root, _ = made
    edited = Path(shutil.copytree(root, copied.parent / "edited"))
    recipe = tiny(edited)
    assert xv.run(recipe, copied, until="train").networks == ("float", "int8", NAME), "moved, and the same"
    shutil.copy(edited / "train/red/00.png", edited / "train/blue/00.png")
    run = xv.run(recipe, copied, until="train")
    assert run.networks == ("float",)
    assert list(figures(run.record)) == [FLOAT]
    assert not list(copied.glob("export/*/*"))
    assert not list(copied.glob("quant/*/*"))
    capsys.readouterr()
    assert call("val", str(copied), "--as", NAME) == 2
    assert f"expected one of float, got '{NAME}'; quantize with `xvision quantize {copied} --as {NAME}`" in (
        capsys.readouterr().err
    )
    again = executed(capsys, recipe, copied, until="quantize")
    assert again == ["quantize int8", f"quantize {NAME}", "record"]
    assert Run(copied).record.quantization[NAME].quant["scheme"]["pow2"]["head_bits"] == 8


def test_a_new_run_may_begin_with_a_named_one(
    made: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, first = made
    recipe = tiny(root, "train.epochs=0", "train.max_steps=0", f"net.weights={first}", "quant.head_bits=8")
    out = tmp_path / "run"
    first = executed(capsys, recipe, out, quantization="w8", until="quantize")
    assert first == ["train", "quantize w8", "record"]
    assert Run(out).networks == ("float", "w8")
    assert xv.load(out).column == ("w8", "simulation"), "there is no int8"
    assert call("quantize", str(out), "quant.head_bits=16") == 0
    assert Run(out).networks == ("float", "int8", "w8")


# ------------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize("name", ["float", "Float", "a/b", "", "-x", "a" * 33, "ü", "INT8"])
def test_names_that_cannot_be(name: str, made: Folders, capsys: pytest.CaptureFixture[str]) -> None:
    before = everything(made[1])
    assert call("quantize", str(made[1]), f"--as={name}") == 2
    error = capsys.readouterr().err
    taken = name.casefold() in ("float", "int8")
    expected = "expected a name of its own" if taken else "expected a name of letters, digits, - and _"
    assert f"--as: {expected}" in error
    assert f"'{name}'" in error
    assert everything(made[1]) == before


@pytest.mark.parametrize(
    ("words", "known"),
    [
        (["export"], "int8, w8-h8"),
        (["verify"], "int8, w8-h8"),
        (["report"], "int8, w8-h8"),
        (["val"], "float, int8, w8-h8"),
        (["predict", "a.png"], "float, int8, w8-h8"),
    ],
)
def test_an_unknown_name_is_told_with_those_that_are_known(
    words: list[str], known: str, made: Folders, capsys: pytest.CaptureFixture[str]
) -> None:
    verb, *more = words
    assert call(verb, str(made[1]), *more, "--as", "w3") == 2
    message = f"expected one of {known}, got 'w3'; quantize with `xvision quantize {made[1]} --as w3`"
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["export", "{run}", "export.batch=1", "--as", NAME], "export.batch: expected 'free', which all networks of "),
        (["quantize", "{run}", "export.batch=1"], "got 1; change it with `xvision export "),
        (["report", "{run}", "--out", "x", "--as", NAME], "--as: --out writes a report of what is there"),
        (["val", "{run}/export/int8/model.onnx", "--as", NAME], "--as: expected a run folder to choose a network of"),
        (["val", "--predictions", "x", "--as", NAME], "--as: expected a run folder to choose a network of"),
    ],
)  # fmt: skip
def test_where_it_means_nothing(
    words: list[str], message: str, made: Folders, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*(word.format(run=made[1]) for word in words)) == 2
    assert message in capsys.readouterr().err


def test_an_edited_section_is_refused(copied: Path, made: Folders) -> None:
    file = copied / f"quant/{NAME}/quant.yaml"
    file.write_text(file.read_text().replace("head_bits: 8", "head_bits: 16"))
    with pytest.raises(ChangedFileError, match=r"quant.yaml: expected the file that xvision wrote"):
        xv.run(tiny(made[0]), copied)
    file.unlink()
    xv.run(tiny(made[0]), copied)
    assert "head_bits: 8" in file.read_text()


# ------------------------------------------------------------------------------------------ kills, old folders


def attempt(recipe: Recipe, out: Path, at: int) -> str:
    """What a third quantization says that fails at a change of the file system."""
    with failing(out, at):
        try:
            xv.run(recipe, out, quantization="third", until="quantize")
        except (ValueError, OSError) as e:
            return str(e)
    return ""


def test_a_second_quantization_that_fails_leaves_the_first(
    made: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At changes of the file system all over it; the same command then continues."""
    root, first = made
    third = tiny(root, "quant.head_bits=8", "quant.num_images=8")
    names = ("quant/", "export/", "checkpoints/", "recipe.yaml", "status.json", "evaluation.json")
    failed = 0
    for at in (1, 6, 14):
        out = Path(shutil.copytree(first, tmp_path / f"run{at}"))
        before = {name: content for name, content in everything(out).items() if name.startswith(names)}
        error = attempt(third, out, at)
        assert "No space left on device" in error or not error
        failed += bool(error)
        if "third" not in Run(out).quantizations:
            assert {name: content for name, content in everything(out).items() if name in before} == before
        others = executed(capsys, tiny(root), out)
        assert not [stage for stage in others if stage.endswith((" int8", f" {NAME}"))], "they are whole"
        run = xv.run(third, out, quantization="third")
        assert {row.network: row.max_lsb for row in run.record.parity} == {"int8": 0, NAME: 0, "third": 0}
        assert not list(out.glob(".quantizing*"))
    assert failed >= 2


def make_old(out: Path) -> None:
    """The folder as it was written before quantizations had names."""
    for new, old in (("quant/int8", "quant"), ("export/int8", "export")):
        for file in (out / new).iterdir():
            if file.name != "quant.yaml":
                shutil.move(file, out / old / file.name)
        shutil.rmtree(out / new)
        shutil.rmtree(out / old / NAME)
    status = json.loads((out / "status.json").read_text())
    del status["quantizations"]
    stages = {name.removesuffix(" int8"): one for name, one in status["stages"].items() if NAME not in name}
    for name in ("quantize", "export", "verify"):
        outputs = {key.replace("/int8/", "/"): value for key, value in stages[name]["outputs"].items()}
        outputs.pop("quant/quant.yaml", None)
        stages[name]["outputs"] = outputs
    evaluation = json.loads((out / "evaluation.json").read_text())
    for key in ("measurements", "confusions"):
        evaluation[key] = [row for row in evaluation[key] if row["network"] != NAME]
    (out / "evaluation.json").write_text(json.dumps(evaluation))
    status["evaluation"] = sha256(out / "evaluation.json")
    record = json.loads((out / "record.json").read_text())
    record["quantization"] = {k: v for k, v in record["quantization"]["int8"].items() if k != "quant"}
    (out / "record.json").write_text(json.dumps(record))
    stages["record"]["outputs"]["record.json"] = sha256(out / "record.json")
    (out / "status.json").write_text(json.dumps(status | {"stages": stages}))


def test_a_folder_of_an_older_version_is_told_and_made_again(
    copied: Path, made: Folders, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = made[0], copied
    make_old(out)
    weights = (out / "checkpoints/best.safetensors").read_bytes()
    message = (
        f"{out}: its int8 network was made by an older version of xvision, whose files lie elsewhere; "
        f"`xvision quantize {out}` makes it again"
    )
    capsys.readouterr()
    for words in (["val", str(out)], ["predict", str(out), str(root / "val/red/00.png")]):
        assert call(*words) == 2
        assert message in capsys.readouterr().err
    assert call("predict", str(out / "export/model.onnx"), str(root / "val/red/00.png")) == 0, (
        "the file is whole"
    )
    assert call("quantize", str(out), "--as", "w8", "quant.head_bits=8") == 0
    captured = capsys.readouterr()
    assert message in captured.out + captured.err
    assert (out / "export/model.onnx").is_file(), "another quantization does not make it stale"
    assert call("quantize", str(out)) == 0
    assert not (out / "export/model.onnx").exists()
    assert not (out / "quant/model.safetensors").exists()
    rest = executed(capsys, tiny(root), out, until="export")
    assert rest == ["export int8", "export w8", "record"]
    assert list(figures(Run(out).record)) == [FLOAT, INT8, ("w8", "simulation")]
    assert (out / "checkpoints/best.safetensors").read_bytes() == weights, "it is not trained again"
