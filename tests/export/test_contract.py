"""What every executor and every export format promises; one that is added is tested here."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import xvision as xv
from tests.quant.patterns import trained
from tests.train.tiny import TinyNet, tiny_loader, tiny_task
from xvision.export.contract import Contents, Executor, FileError, Format
from xvision.export.executors import executor
from xvision.export.export import find_format, format_of
from xvision.export.formats import export_format
from xvision.models.inputs import Inputs
from xvision.train.evaluation import evaluate

FORMATS = list(export_format.builders())
METADATA = {"task": "both", "classes": '{"class": ["a", "ä"]}'}


def _taken(made: Format) -> str:
    """Which of `networks` a format takes."""
    return "int8" if made.quantized else "float"


@pytest.fixture(scope="module")
def networks() -> dict[str, nn.Module]:
    """A network of two planes, a map and class scores, in float and quantized."""
    model, planes = trained("two_heads")
    return {"float": model, "int8": xv.quantize(model, [planes])}


@pytest.fixture(scope="module")
def planes() -> tuple[Tensor, ...]:
    return trained("two_heads")[1]


@pytest.fixture(scope="module")
def files(
    networks: Mapping[str, nn.Module], planes: tuple[Tensor, ...], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """A file of each format."""
    folder = tmp_path_factory.mktemp("contract")
    found = {}
    for name in FORMATS:
        made: Format = export_format.part(name).build()
        found[name] = folder / made.file_name
        made.write(networks[_taken(made)], found[name], Contents(planes, metadata=METADATA))
    return found


Executors = dict[str, Executor]


@pytest.fixture(scope="module")
def executors(networks: Mapping[str, nn.Module], files: Mapping[str, Path]) -> Executors:
    """Each executor by its name, on the quantized network or on the first file of a format that it runs."""
    found: Executors = {}
    for name, file in files.items():
        runs = export_format.part(name).build().executor(file)
        found.setdefault(runs.name, runs)
    for name, builder in executor.builders().items():
        if next(iter(inspect.signature(builder.load()).parameters)) == "network":
            found[name] = executor.part(name).build(networks["int8"])
    return found


# ---------------------------------------------------------------------------------------------- executors


def test_every_executor_takes_a_network_or_is_that_of_a_format(executors: Executors) -> None:
    assert executors.keys() == executor.builders().keys()
    assert all(made.name == name for name, made in executors.items())
    assert all(re.fullmatch(r"\w+ \d+\.\d+\S*", made.version) for made in executors.values())


@pytest.mark.parametrize("name", list(executor.builders()))
def test_an_executor_gives_named_outputs_and_integer_codes(
    name: str, executors: Executors, networks: Mapping[str, nn.Module], planes: tuple[Tensor, ...]
) -> None:
    for made in executors[name].levels().values():
        assert made.name == name
        assert made.input_names == ("y", "uv")
        outputs = made.outputs(planes)
        with torch.no_grad():
            wanted = networks["int8"](*planes)
        assert outputs.keys() == wanted.keys()
        assert {key: value.shape for key, value in outputs.items()} == {k: v.shape for k, v in wanted.items()}
        assert not any(value.requires_grad for value in outputs.values())
        codes = made.codes(planes)
        assert not any(value.is_floating_point() for value in codes.values())
        _equal(made(*planes), outputs)
        _equal(made.run(planes)[0], outputs)
        _equal(made.run(planes)[1], codes)
        for key, grid in made.grids().items():
            counted = grid(outputs[key])
            assert not counted.is_floating_point()
            assert counted.unique().numel() == outputs[key].unique().numel() > 1


def _equal(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> None:
    assert list(a) == list(b)
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("one", list(executor.builders()))
@pytest.mark.parametrize("other", list(executor.builders()))
def test_any_two_executors_of_one_network_can_be_compared(
    one: str, other: str, executors: Executors, planes: tuple[Tensor, ...]
) -> None:
    a, b = executors[one], executors[other]
    parity = xv.verify(a, b, [planes])
    assert (parity.reference, parity.executor) == (one, other)
    assert list(parity.levels) == list(b.levels())
    assert parity.ok, (parity.max_lsb, parity.max_error, parity.first_difference)
    if a.codes(planes) and any(made.codes(planes) for made in b.levels().values()):
        assert max(level.tensors for level in parity.levels.values()) > len(a.outputs(planes))


@pytest.mark.parametrize("name", list(executor.builders()))
def test_an_executor_is_found_out_when_it_computes_something_else(
    name: str, executors: Executors, networks: Mapping[str, nn.Module], planes: tuple[Tensor, ...]
) -> None:
    parity = xv.verify(networks["float"], executors[name], [planes])
    assert not parity.ok
    assert parity.max_lsb > 1 or parity.max_error > 0.001


# ------------------------------------------------------------------------------------------------ formats


def test_the_name_of_a_file_says_its_format() -> None:
    made = [export_format.part(name).build() for name in FORMATS]
    assert [one.name for one in made] == FORMATS
    assert len({one.suffix for one in made}) == len(made)
    for one in made:
        assert one.suffix.rpartition(".")[1] == "."
        assert one.file_name == f"model{one.suffix}"
        assert format_of(Path("runs/a.b") / one.file_name).name == one.name


def test_names_that_say_no_format(networks: Mapping[str, nn.Module], tmp_path: Path) -> None:
    assert find_format(tmp_path / "model.bin") is None
    with pytest.raises(
        ValueError, match=r"model\.bin: expected a name that ends like a file of a format: \.onnx \(onnx\)"
    ):
        xv.export(networks["int8"], tmp_path / "model.bin")
    xv.export(networks["int8"], tmp_path / "model.bin", format="onnx")
    assert xv.verify(networks["int8"], executor.onnxruntime().build(tmp_path / "model.bin"), _zeros()).ok
    with pytest.raises(ValueError, match=r"no export_format is called 'onx'; did you mean 'onnx'\?"):
        xv.export(networks["int8"], tmp_path / "model.bin", format="onx")


def _zeros() -> list[tuple[Tensor, ...]]:
    return [tuple(torch.zeros(1, *size, dtype=torch.uint8) for size in ((1, 24, 24), (12, 12, 2)))]


@pytest.fixture(params=FORMATS)
def made(request: pytest.FixtureRequest) -> Format:
    found: Format = export_format.part(request.param).build()
    return found


def test_a_file_computes_what_its_network_does_for_any_batch(
    made: Format, files: Mapping[str, Path], networks: Mapping[str, nn.Module], planes: tuple[Tensor, ...]
) -> None:
    batches = [planes, tuple(plane[:1] for plane in planes)]
    parity = xv.verify(networks[_taken(made)], files[made.name], batches)
    assert parity.ok, (parity.max_lsb, parity.max_error, parity.first_difference)
    assert parity.images == len(planes[0]) + 1


def test_a_file_keeps_its_metadata_and_is_the_same_when_written_again(
    made: Format,
    files: Mapping[str, Path],
    networks: Mapping[str, nn.Module],
    planes: tuple[Tensor, ...],
    tmp_path: Path,
) -> None:
    runs = made.executor(files[made.name])
    assert (runs.metadata, runs.version, str(runs)) == (METADATA, made.version, str(files[made.name]))
    network = networks[_taken(made)]
    before = {key: value.clone() for key, value in network.state_dict().items()}
    made.write(network, tmp_path / "deep" / made.file_name, Contents(planes, metadata=METADATA))
    assert (tmp_path / "deep" / made.file_name).read_bytes() == files[made.name].read_bytes()
    _equal(network.state_dict(), before)


def test_class_ids_in_place_of_scores(
    made: Format, networks: Mapping[str, nn.Module], planes: tuple[Tensor, ...], tmp_path: Path
) -> None:
    made.write(networks[_taken(made)], tmp_path / made.file_name, Contents(planes, ("class",)))
    found = made.executor(tmp_path / made.file_name)(*planes)
    with torch.no_grad():
        wanted = networks[_taken(made)](*planes)
    assert found.keys() == wanted.keys()
    assert found["class"].dtype == torch.uint8
    assert torch.equal(found["class"].long(), wanted["class"].argmax(1, keepdim=True))
    with pytest.raises(ValueError, match=r"argmax: expected outputs among .*, got 'none'"):
        made.write(networks[_taken(made)], tmp_path / f"other{made.suffix}", Contents(planes, ("none",)))
    assert not (tmp_path / f"other{made.suffix}").exists()


def test_what_cannot_be_written_is_named_and_leaves_nothing_behind(
    made: Format, networks: Mapping[str, nn.Module], planes: tuple[Tensor, ...], tmp_path: Path
) -> None:
    file = tmp_path / made.file_name
    file.mkdir()
    with pytest.raises(OSError, match=rf"{made.file_name}: cannot be written \(Is a directory\)"):
        made.write(networks[_taken(made)], file, Contents(planes))
    assert list(tmp_path.iterdir()) == [file]


def test_files_that_are_none(made: Format, tmp_path: Path) -> None:
    file = tmp_path / made.file_name
    with pytest.raises(FileNotFoundError, match=rf"{made.file_name}: no such file; export the network first"):
        made.executor(file)
    file.write_bytes(b"garbage")
    with pytest.raises(FileError, match=rf"{made.file_name}: expected an? .* file, .*; export") as caught:
        made.executor(file)
    assert caught.value.exit_code == 4


# --------------------------------------------------------------------------------------------- validation


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Executor]:
    """Each executor by its name, on a network of the tiny task."""
    model, loader = TinyNet(), tiny_loader(train=False)
    q = xv.quantize(model, [model.inputs.encode(batch) for batch in loader.epoch(0)])
    file = xv.export(q, tmp_path_factory.mktemp("tiny") / "model.onnx")

    def make(name: str) -> Executor:
        given = {"pytorch": model, "simulation": q, "onnxruntime": file}
        found: Executor = executor.part(name).build(given[name])
        return found

    return make


def test_validation_measures_any_executor(tiny: Callable[[str], Executor]) -> None:
    loader = tiny_loader(13, train=False)
    found = {
        name: evaluate(tiny(name), tiny_task(), loader, inputs=Inputs())
        for name in ("pytorch", "simulation", "onnxruntime")
    }
    assert found["simulation"] == found["onnxruntime"]
    assert found["pytorch"] == evaluate(TinyNet(), tiny_task(), loader)
