from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest
import torch
from safetensors.torch import save as to_bytes
from tiny import TinyNet
from torch import Tensor

from xvision.train.checkpoint import (
    Checkpoints,
    Manifest,
    load_weights,
    pack_optimizer,
    read_tensors,
    unpack_optimizer,
    write_tensors,
)
from xvision.train.errors import CheckpointError
from xvision.train.optimizers import optimizer


def save(checkpoints: Checkpoints, step: int, size: int = 4) -> None:
    """A checkpoint in which every tensor says which step it is of."""
    tensors = {"weight": torch.full((size,), float(step))}
    checkpoints.save_last(
        Manifest("me", step=step, epoch=step / 2, validated_step=step, best={"top1": 50.0}),
        tensors,
        {"momentum": tensors["weight"]},
    )


def steps_in(folder: Path) -> set[float]:
    found = Checkpoints(folder).load_last()
    assert found is not None
    manifest, weights, state = found
    return {manifest.step, *weights["weight"].tolist(), *state["momentum"].tolist()}


def test_a_checkpoint_is_read_as_it_was_written(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save(Checkpoints(tmp_path), step)
        assert steps_in(tmp_path) == {step}
    assert len(list(tmp_path.glob("last.state-*"))) == 1, "the state of older checkpoints is removed"


@pytest.mark.parametrize("renames", range(3))
def test_a_crash_never_mixes_two_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    save(Checkpoints(tmp_path), 1)
    replace, done = os.replace, []

    def crash(source: Path, target: Path) -> None:
        if len(done) == renames:
            raise KeyboardInterrupt
        done.append(target)
        replace(source, target)

    monkeypatch.setattr(os, "replace", crash)
    if renames < 2:
        with pytest.raises(KeyboardInterrupt):
            save(Checkpoints(tmp_path), 2)
    else:
        save(Checkpoints(tmp_path), 2)
    monkeypatch.undo()
    assert steps_in(tmp_path) == ({1} if renames < 2 else {2})
    save(Checkpoints(tmp_path), 3)
    assert steps_in(tmp_path) == {3}


def test_a_full_disk_keeps_the_checkpoint_before(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))  # as a full disk: write() fails half-way
    try:
        message = (
            r"last\.state-1\.safetensors: cannot be written.*the last good checkpoint is .*last\.safetensors "
        )
        with pytest.raises(CheckpointError, match=message + r"\(step 1\); free some space") as caught:
            save(checkpoints, 2, size=100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.exit_code == 4
    assert steps_in(tmp_path) == {1}
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "last.safetensors",
        "last.state-0.safetensors",
    ], "nothing half-written is left"


def test_broken_files_are_named(tmp_path: Path) -> None:
    file = tmp_path / "last.safetensors"
    file.write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match=r"last\.safetensors: cannot be read as safetensors"):
        Checkpoints(tmp_path).load_last()
    write_tensors(file, {"weight": torch.ones(1)}, {})
    with pytest.raises(
        CheckpointError, match=r"last\.safetensors: expected the manifest of a training.*identity: "
    ):
        Checkpoints(tmp_path).load_last()


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("step", "x", "step: should be a valid integer"),
        ("step", -1, "step: should be greater than or equal to 0"),
        ("step", 8, "it is of step 8, last.state-0.safetensors of 1"),
        ("best", None, "best: should be a valid dictionary"),
        ("scalars", 5, "scalars: should be a valid dictionary"),
        ("state_file", "../../other.safetensors", "state_file: expected last.state-0.safetensors or "),
        ("seconds", "x", "seconds: should be a valid number"),
    ],
)
def test_a_foreign_manifest_is_refused_by_name(tmp_path: Path, key: str, value: object, why: str) -> None:
    save(Checkpoints(tmp_path), 1)
    last = tmp_path / "last.safetensors"
    tensors, manifest = read_tensors(last)
    write_tensors(last, tensors, manifest | {key: value})
    with pytest.raises(
        CheckpointError, match=r"last\.safetensors: expected the manifest.* and the training starts"
    ) as caught:
        Checkpoints(tmp_path).load_last()
    assert why in str(caught.value)


@pytest.mark.parametrize("name", ["last.safetensors", "last.state-0.safetensors"])
def test_a_flipped_bit_is_refused_by_name(tmp_path: Path, name: str) -> None:
    save(Checkpoints(tmp_path), 1)
    content = bytearray((tmp_path / name).read_bytes())
    content[-1] ^= 1
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=f"{name}: .*got a changed file.*the training starts again"):
        Checkpoints(tmp_path).load_last()


@pytest.mark.parametrize("text", ["[1]", "{", "[" * 100_000])
def test_a_header_that_holds_no_manifest_is_refused_by_name(tmp_path: Path, text: str) -> None:
    file = tmp_path / "last.safetensors"
    file.write_bytes(to_bytes({"weight": torch.ones(1)}, metadata={"manifest": text}))
    with pytest.raises(CheckpointError, match=r"last\.safetensors: cannot be read as safetensors"):
        read_tensors(file)


def test_a_state_of_no_parameter_is_refused() -> None:
    sgd = torch.optim.SGD(TinyNet().parameters(), lr=0.1)
    for name in ("optimizer.99.momentum_buffer", "optimizer.x.momentum_buffer"):
        with pytest.raises(CheckpointError, match=rf"{name}: expected a state of 8 parameters"):
            unpack_optimizer(sgd, {name: torch.ones(1)}, {})


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "best.safetensors"
    tensors: dict[str, Tensor] = dict(TinyNet().state_dict())
    tensors["head.bias"] = torch.zeros(5)
    tensors["tail.bias"] = tensors.pop("conv1.bias")
    write_tensors(file, tensors, {"step": 1})
    with pytest.raises(CheckpointError, match=r"best\.safetensors: not of this network") as caught:
        load_weights(TinyNet(), file)
    assert "conv1.bias is missing" in str(caught.value)
    assert "tail.bias is not part of the network" in str(caught.value)
    assert "head.bias has shape (5,), the network (3,)" in str(caught.value)


@pytest.mark.parametrize("name", sorted(optimizer.builders()))
def test_the_state_of_every_optimizer_survives(tmp_path: Path, name: str) -> None:
    def steps(model: TinyNet, optimizer: torch.optim.Optimizer, num: int) -> None:
        for i in range(num):
            optimizer.zero_grad()
            image = torch.randint(0, 255, (4, 3, 8, 8), generator=torch.Generator().manual_seed(i))
            model(image)["class"].square().sum().backward()
            optimizer.step()

    def build(model: TinyNet) -> torch.optim.Optimizer:
        built: torch.optim.Optimizer = optimizer.part(name, {"lr": 0.01}).build(
            [{"params": model.parameters()}]
        )
        return built

    nets = [TinyNet(dropout=0).to(memory_format=torch.channels_last) for _ in range(2)]
    first, second = (build(net) for net in nets)
    steps(nets[0], first, 2)
    tensors, scalars = pack_optimizer(first)
    write_tensors(tmp_path / "state.safetensors", tensors, {})
    nets[1].load_state_dict(nets[0].state_dict())
    unpack_optimizer(second, read_tensors(tmp_path / "state.safetensors")[0], scalars)
    steps(nets[0], first, 2)
    steps(nets[1], second, 2)
    for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert torch.equal(a, b)
