"""The examples of docs/adding.md are parts that work; the files that the pages name are there."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import xvision as xv
from tests.quant.patterns import planes_for, trained
from xvision.config.parts import Part, Registry
from xvision.data.datasets import dataset
from xvision.export.contract import Contents
from xvision.export.executors import executor
from xvision.export.formats import export_format
from xvision.fields import FIELDS
from xvision.models.backbones import backbone
from xvision.models.build import build_model
from xvision.models.decoders import decoder
from xvision.models.outputs import OutputSpec
from xvision.models.settings import Net
from xvision.pipeline.stage import Stage
from xvision.quant.insert import scheme_of
from xvision.quant.methods import method
from xvision.quant.rungs import rung
from xvision.quant.schemes import scheme
from xvision.recipes import recipe
from xvision.recipes.schema import Recipe
from xvision.tasks import task
from xvision.tasks.losses import depth_loss
from xvision.train.balancing import balancing

PAGE = (Path(__file__).parents[1] / "docs/adding.md").read_text(encoding="utf-8")
EXAMPLES: dict[str, str] = {
    section.partition("\n")[0]: "\n".join(re.findall(r"```python\n(.*?)```", section, re.DOTALL))
    for section in PAGE.split("\n## ")[1:]
}
REGISTRIES: dict[str, Registry] = {
    "Dataset": dataset, "Backbone": backbone, "Decoder": decoder, "Loss": depth_loss, "Task": task, "Scheme": scheme,
    "Method": method, "Rung": rung, "Format": export_format, "Executor": executor, "Balancing": balancing,
    "Recipe": recipe,
}  # fmt: skip


@pytest.fixture
def example(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The example of a section as a module."""
    for registry in REGISTRIES.values():
        monkeypatch.setattr(registry, "_own", {})
    name = f"example_{request.param.lower()}"
    (tmp_path / f"{name}.py").write_text("from __future__ import annotations\n" + EXAMPLES[request.param])
    monkeypatch.syspath_prepend(tmp_path)
    return importlib.import_module(name)


def added(kind: str) -> Part:
    """The one part that the example has registered, with its default settings."""
    (name,) = REGISTRIES[kind]._own
    return REGISTRIES[kind].part(name)


def of(kind: str) -> Callable[[Any], Any]:
    """A test of a section's example."""

    def mark(test: Any) -> Any:
        return pytest.mark.usefixtures("example")(
            pytest.mark.parametrize("example", [kind], indirect=True)(test)
        )

    return mark


@of("Dataset")
def test_dataset() -> None:
    made = added("Dataset").build()
    for split in made.splits.values():
        sample = split.load(1)
        assert {key: value.dtype for key, value in sample.items()} == {
            key: np.dtype(FIELDS[key].dtype) for key in made.fields
        }
        assert re.fullmatch("[0-9a-f]{64}", split.digest())


@of("Backbone")
def test_backbone() -> None:
    made = added("Backbone").build(3, (64, 64))
    assert [level.stride for level in made.levels][-1] == 32


@of("Decoder")
def test_decoder() -> None:
    net = Net(backbone=backbone.timm(model="resnet10t"), decoder=added("Decoder"))
    outputs = (OutputSpec("labels", 3, "map"), OutputSpec("depth", 1, "map"))
    model = build_model(net, {"both": outputs}, (64, 64))
    out = model(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
    assert {key: tuple(value.shape) for key, value in out.items()} == {
        "labels": (1, 3, 64, 64), "depth": (1, 1, 64, 64),
    }  # fmt: skip


@of("Loss")
def test_loss() -> None:
    recipe = xv.recipe("depth", "task.losses=silog,absolute:0.5", "task.losses.absolute.cap_m=4")
    (terms,) = (part.value("losses") for part in recipe.task)
    loss = terms["absolute"].part.build()
    prediction, depth = torch.tensor([[[[3.0, 1.0, 9.0]]]]), torch.tensor([[[2.0, 0.0, 5.0]]])
    assert (terms["absolute"].weight, float(loss(prediction, depth))) == (0.5, 1.0)


@of("Task")
def test_task() -> None:
    made = added("Task").build({})
    out, batch = {"mean_depth": torch.tensor([[3.0]])}, {"depth": torch.tensor([[[2.0, 0.0]]])}
    metric = made.metric()
    metric.update(out, batch)
    assert metric.compute() == {"mean_depth/relative_error": 50}
    assert made.spec(made.primary).unit == "%"
    assert float(made.loss(out, batch)["smooth_l1"]) == 0.5
    (prediction,) = made.decode(out, [])
    assert made.view.caption(prediction) == "3 m"
    assert made.view.draw(np.zeros((8, 8, 3), np.uint8), prediction).shape[1] == 160


@of("Scheme")
def test_scheme(tmp_path: Path) -> None:
    model, planes = trained("add_relu")
    q = xv.quantize(model, [planes], scheme=added("Scheme"))
    parity = xv.verify(q, xv.export(q, tmp_path / "model.onnx"), [planes_for(model, seed=1)])
    assert (parity.ok, parity.tolerance_lsb) == (True, 1)


@of("Method")
def test_method() -> None:
    model, planes = trained("add_relu")
    q = xv.quantize(model, [planes], method=added("Method"))
    assert scheme_of(q).name == "pow2"


@of("Rung")
def test_rung() -> None:
    model, planes = trained("depthwise_relu6")
    q = xv.quantize(model, [planes], method=method.ptq(rungs="mse,first_biases"))
    quality = q.meta["quality"]  # type: ignore[union-attr]
    assert [one.kept for one in quality.rungs] == [True, True]
    assert [one.correction for one in quality.layers.values()][4:] == ["nothing"] * (len(quality.layers) - 4)


@of("Format")
def test_format(tmp_path: Path) -> None:
    made = added("Format").build()
    model, planes = trained("add_relu")
    made.write(model, tmp_path / made.file_name, Contents(planes, metadata={"task": "x"}))
    assert made.executor(tmp_path / made.file_name).metadata["task"] == "x"
    assert xv.verify(model, made.executor(tmp_path / made.file_name), [planes]).ok


@of("Executor")
def test_executor() -> None:
    model, planes = trained("add_relu")
    parity = xv.verify(model, added("Executor").build(model), [planes])
    assert (parity.ok, parity.executor) == (True, "interpreted")


@of("Balancing")
def test_balancing() -> None:
    made = added("Balancing").build(("a", "b"))
    for _ in range(50):
        made.combine({"a": torch.tensor(1.0), "b": torch.tensor(3.0)})
        made.step()
    assert made.weights.tolist() == pytest.approx([1.5, 0.5], abs=0.02)


@of("Stage")
def test_stage(example: ModuleType) -> None:
    assert isinstance(example.STAGE, Stage)
    assert set(example.STAGE.keys) <= set(Recipe.model_fields)


@of("Recipe")
def test_recipe() -> None:
    made = xv.recipe(added("Recipe").name)
    assert Recipe.model_validate(json.loads(json.dumps(made.to_dict()))) == made


def test_every_section_has_an_example_that_is_tested() -> None:
    assert {*REGISTRIES, "Stage"} == {kind for kind, code in EXAMPLES.items() if code}


def test_the_code_of_the_page_of_files_is_that_of_the_reader_that_is_tested() -> None:
    root = Path(__file__).parents[1]
    page = (root / "docs/exported_file.md").read_text(encoding="utf-8")
    reader = (root / "tests/exported_file.py").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 2
    assert all(block in reader for block in blocks)


def test_files_that_the_pages_name_are_there() -> None:
    root = Path(__file__).parents[1]
    tour = (root / "docs/tour.md").read_text(encoding="utf-8")
    named = {word for page in (PAGE, tour) for word in re.findall(r"`([\w/.]+\.py|[\w/]+/)`", page)}
    places = (root, root / "src/xvision", *(d for d in (root / "src/xvision").rglob("*") if d.is_dir()))
    assert len(named) > 60
    assert not [name for name in named if not any((place / name).exists() for place in places)]
