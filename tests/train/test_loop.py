from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import TinyNet, places, tiny_loader, tiny_task
from torch import Tensor, nn

from xvision.console import Console
from xvision.data.batches import Batch
from xvision.data.loader import Loader
from xvision.data.resources import ResourceError
from xvision.models.inputs import Inputs
from xvision.tasks.classification import Classification
from xvision.tasks.contract import Outputs, Task
from xvision.train.checkpoint import read_tensors
from xvision.train.errors import Interrupted, NonFiniteLossError, TrainingError
from xvision.train.learner import seed_step
from xvision.train.loop import Trained, evaluate, train
from xvision.train.settings import Train

QUIET = Console(quiet=True)


class Calling:
    """A loader that does something before it gives its batch number `at`, counted over all epochs."""

    def __init__(self, loader: Loader, at: int, action: Any) -> None:
        self.loader, self.at, self.action = loader, at, action
        self.given = 0
        self.num_samples = loader.num_samples

    def __len__(self) -> int:
        return len(self.loader)

    def epoch(self, epoch: int, start_batch: int = 0, sizes: Any = None) -> Iterator[Batch]:
        for batch in self.loader.epoch(epoch, start_batch, sizes):
            self.given += 1
            if self.given == self.at:
                self.action()
            yield batch


def interrupting(loader: Loader, at: int, signum: int = signal.SIGTERM) -> Any:
    return Calling(loader, at, lambda: os.kill(os.getpid(), signum))


def tiny_train(folder: Path, **changes: Any) -> Trained:
    """Three epochs of five steps on forty images, unless `changes` say otherwise."""
    given = {
        "model": changes.pop("model", None) or TinyNet(),
        "task": changes.pop("task", None) or tiny_task(),
        "train_loader": changes.pop("train_loader", None) or tiny_loader(),
        "val_loader": changes.pop("val_loader", None) or tiny_loader(13, train=False),
        "console": changes.pop("console", QUIET),
        "identity": changes.pop("identity", ""),
    }
    settings = Train(**{"epochs": 3, "optimizer": "sgd:0.05", "threads": 1, "log_every": 2, **changes})
    return train(settings=settings, places=places(folder), seed=0, **given)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def same_weights(a: Path, b: Path) -> bool:
    one, two = read_tensors(a)[0], read_tensors(b)[0]
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


# ---------------------------------------------------------------------------------------------- it trains


def test_it_learns_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = TinyNet()
    trained = tiny_train(tmp_path, model=model, epochs=6, console=Console())
    assert trained.best["classification/top1"] > 90
    assert trained.best == max(
        (h["metrics"] for h in trained.history), key=lambda m: m["classification/top1"]
    )
    assert (trained.steps, len(trained.history)) == (30, 6)
    assert trained.seconds > 0
    assert trained.cpu_seconds > 0
    assert trained.img_per_s > 0
    best = read_tensors(trained.best_path)[0]
    assert all(torch.equal(v.cpu(), best[k]) for k, v in model.state_dict().items()), (
        "the model ends with the best"
    )
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1].startswith("epoch 6/6  step 30  loss ")
    assert "\x1b" not in "".join(printed)


def test_metrics_have_a_line_per_logged_step_and_per_epoch(tmp_path: Path) -> None:
    tiny_train(tmp_path)
    steps = [line for line in lines(tmp_path) if "val" not in line]
    epochs = [line for line in lines(tmp_path) if "val" in line]
    assert [line["step"] for line in steps] == [2, 4, 5, 6, 8, 10, 12, 14, 15]
    assert [(line["step"], line["epoch"]) for line in epochs] == [(5, 1), (10, 2), (15, 3)]
    assert steps[0].keys() == {"step", "epoch", "lr", "loss", "terms", "img_per_s"}
    assert steps[0]["terms"].keys() == {"classification/cross_entropy"}
    assert steps[0]["lr"] == pytest.approx(0.05, rel=0.02)
    assert "classification/top1" in epochs[0]["val"]


def test_validation_may_be_rarer_than_epochs(tmp_path: Path) -> None:
    trained = tiny_train(tmp_path, epochs=5, validate_every=2)
    assert [h["step"] for h in trained.history] == [10, 20, 25]
    assert trained.best_path.exists()


def test_few_steps_are_told() -> None:
    assert Train(epochs=1, accumulate=2).advice(40, batches=10) == [
        "5 steps are few: with 40 training samples take a smaller train.batch_size and more train.epochs"
    ]
    assert Train(epochs=1, max_steps=5).advice(40, batches=10) == []  # as asked for
    assert Train(epochs=20).advice(40, batches=10) == []
    assert Train(epochs=0).advice(40, batches=10) == []


def test_max_steps_ends_epochs_and_schedules(tmp_path: Path) -> None:
    trained = tiny_train(tmp_path, max_steps=7, schedule="poly", log_every=1)
    assert trained.steps == 7
    assert [h["step"] for h in trained.history] == [5, 7]
    assert lines(tmp_path)[-2]["lr"] == pytest.approx(0.05 * (1 / 7) ** 0.9)


def test_the_same_training_twice_gives_the_same_bits(tmp_path: Path) -> None:
    for name in "ab":
        tiny_train(tmp_path / name)
    assert same_weights(
        tmp_path / "a/checkpoints/last.safetensors", tmp_path / "b/checkpoints/last.safetensors"
    )


def test_accumulated_batches_equal_one_large_batch(tmp_path: Path) -> None:
    for name, batch_size, accumulate in (("large", 8, 1), ("small", 4, 2)):
        tiny_train(
            tmp_path / name,
            model=TinyNet(norm=False, dropout=0),
            train_loader=tiny_loader(batch_size=batch_size),
            accumulate=accumulate,
            log_every=1,
        )
    large, small = (
        [line["loss"] for line in lines(tmp_path / n) if "loss" in line] for n in ("large", "small")
    )
    assert large == pytest.approx(small, abs=1e-3 if torch.cuda.is_available() else 1e-6)  # TF32


def test_an_epoch_may_end_with_fewer_batches_to_accumulate(tmp_path: Path) -> None:
    trained = tiny_train(tmp_path, accumulate=2)  # five batches: steps of 2, 2 and 1
    assert [h["step"] for h in trained.history] == [3, 6, 9]


def test_clipping_bounds_the_step(tmp_path: Path) -> None:
    before = TinyNet().state_dict()
    optimizer = {"sgd": {"lr": 1.0, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0}}
    tiny_train(tmp_path, max_steps=1, clip_norm=0.01, optimizer=optimizer)
    after = read_tensors(tmp_path / "checkpoints/last.safetensors")[0]
    moved = [(after[k] - before[k]).square().sum() for k, _ in TinyNet().named_parameters()]
    assert torch.stack(moved).sum().sqrt() == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize(("decay", "shrinks"), [("all", True), ("weights", False)])
def test_weight_decay_reaches_norms_unless_told_otherwise(tmp_path: Path, decay: str, shrinks: bool) -> None:
    optimizer = {"sgd": {"lr": 0.1, "momentum": 0.0, "nesterov": False, "weight_decay": 1.0}}
    tiny_train(tmp_path, task=Silent(), max_steps=1, decay=decay, optimizer=optimizer)
    after = read_tensors(tmp_path / "checkpoints/last.safetensors")[0]
    assert (after["norm.weight"] < 0.99).all() == shrinks
    assert torch.allclose(after["conv1.weight"], TinyNet().conv1.weight * 0.9)


class Silent(Classification):
    """A task without gradients."""

    def __init__(self) -> None:
        super().__init__(("red", "green", "blue"), 0.0)

    def loss(self, out: Outputs, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        return {name: value * 0 for name, value in super().loss(out, batch).items()}


def test_the_moving_average_is_what_is_validated_and_kept(tmp_path: Path) -> None:
    """After one step it lies between the weights of before and after: 9 / 11 of the way, of a decay of 2 / 11."""
    before = TinyNet()
    trained = tiny_train(tmp_path, ema=0.9, max_steps=1)
    raw, kept = TinyNet(), TinyNet()
    raw.load_state_dict(read_tensors(trained.last_path)[0])
    kept.load_state_dict(read_tensors(trained.best_path)[0])
    for start, end, found in zip(before.parameters(), raw.parameters(), kept.parameters(), strict=True):
        assert torch.allclose(found, start.lerp(end, 9 / 11), atol=1e-6)
    measured = [evaluate(net, tiny_task(), tiny_loader(13, train=False)).metrics for net in (raw, kept)]
    assert trained.best == measured[1] != measured[0]


class Masked(TinyNet):
    """Keeps the masks that its dropout draws."""

    def __init__(self) -> None:
        super().__init__(dropout=0.5)
        self.masks: list[tuple[float, ...]] = []

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        if self.training:
            self.masks.append(tuple(self.dropout(torch.ones(64)).tolist()))
        return super().forward(image)


def test_every_batch_draws_other_random_numbers(tmp_path: Path) -> None:
    model = Masked()
    tiny_train(tmp_path, model=model, accumulate=2)
    assert len(set(model.masks)) == len(model.masks) == 15


def test_random_numbers_follow_seed_step_and_process() -> None:
    def drawn(*key: int) -> float:
        seed_step(*key, torch.device("cpu"))
        return float(torch.rand(()))

    keys = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    assert len({drawn(*key) for key in keys}) == len(keys)
    assert [drawn(*key) for key in keys] == [drawn(*key) for key in keys]


def test_bf16_trains_and_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    model = TinyNet()
    assert tiny_train(tmp_path, model=model, precision="bf16", ema=0.5).best["classification/top1"] > 30
    assert model.conv1.weight.dtype == torch.float32
    assert "forward" not in vars(model), "mixed precision ends with the training"


def test_fp16_needs_a_gpu(tmp_path: Path) -> None:
    if torch.accelerator.is_available():
        pytest.skip("there is one")
    with pytest.raises(TrainingError, match=r"train\.precision: fp16 needs a GPU"):
        tiny_train(tmp_path, precision="fp16")


@pytest.mark.parametrize("channels_last", [True, False])
def test_weights_lie_as_asked(tmp_path: Path, channels_last: bool) -> None:
    model = TinyNet()
    tiny_train(tmp_path, model=model, max_steps=1, channels_last=channels_last)
    assert model.conv2.weight.is_contiguous(memory_format=torch.channels_last) == channels_last


# ------------------------------------------------------------------------------------- it stops and resumes


@pytest.mark.parametrize(
    ("stop", "settings"),
    [
        ([1], {}),
        ([3, 9], {"ema": 0.9, "clip_norm": 1.0}),
        ([5, 1, 6], {"optimizer": "adamw:0.01", "warmup_epochs": 1.0, "schedule": "step"}),
        ([2, 3], {"optimizer": "rmsprop:0.001", "accumulate": 2, "decay": "weights"}),
        ([7], {"optimizer": "adam:0.01", "precision": "bf16", "schedule": "exponential"}),
    ],
)
def test_an_interrupted_training_ends_with_the_same_bits(
    tmp_path: Path, stop: list[int], settings: dict[str, Any]
) -> None:
    whole = tiny_train(tmp_path / "whole", **settings)
    for at in stop:
        with pytest.raises(Interrupted):
            tiny_train(tmp_path / "parts", train_loader=interrupting(tiny_loader(), at), **settings)
    parts = tiny_train(tmp_path / "parts", **settings)
    assert same_weights(whole.last_path, parts.last_path)
    assert same_weights(whole.best_path, parts.best_path)
    assert parts.history == whole.history
    assert parts.best_step == whole.best_step
    vals = [[(v["step"], v["val"]) for v in lines(tmp_path / n) if "val" in v] for n in ("whole", "parts")]
    assert vals[0] == vals[1]


def test_it_goes_on_with_another_number_of_workers(tmp_path: Path) -> None:
    whole = tiny_train(tmp_path / "whole")
    with pytest.raises(Interrupted):
        tiny_train(tmp_path / "parts", train_loader=interrupting(tiny_loader(), 3))
    parts = tiny_train(tmp_path / "parts", train_loader=tiny_loader(workers=1))
    assert same_weights(whole.last_path, parts.last_path)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_finishes_the_step_saves_and_restores_handlers(
    tmp_path: Path, signum: signal.Signals, code: int
) -> None:
    before = signal.getsignal(signum)
    message = (
        f"{signum.name} after step 3 of 15; the state is saved in .*last.safetensors, and the same command"
    )
    with pytest.raises(Interrupted, match=message) as caught:
        tiny_train(tmp_path, train_loader=interrupting(tiny_loader(), 3, signum))
    assert caught.value.exit_code == code
    assert signal.getsignal(signum) is before
    assert read_tensors(tmp_path / "checkpoints/last.safetensors")[1]["step"] == 3


def test_a_signal_during_validation_saves_and_validates_again(tmp_path: Path) -> None:
    whole = tiny_train(tmp_path / "whole")
    with pytest.raises(Interrupted, match="SIGINT after step 5 of 15"):
        tiny_train(
            tmp_path / "parts", val_loader=interrupting(tiny_loader(13, train=False), 1, signal.SIGINT)
        )
    parts = tiny_train(tmp_path / "parts")
    assert parts.history == whole.history
    assert same_weights(whole.last_path, parts.last_path)


class Terminating(Console):
    """Sends SIGTERM when the last validation is told: then nothing but the last save is left to do."""

    def print(self, text: str = "") -> None:
        if text.startswith("epoch 1/1"):
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_in_the_last_save_ends_the_run_and_loses_nothing(tmp_path: Path) -> None:
    with pytest.raises(Interrupted, match="SIGTERM after step 5 of 5; the state is saved in") as caught:
        tiny_train(tmp_path, epochs=1, console=Terminating())
    assert caught.value.exit_code == 143
    again = tiny_train(tmp_path, epochs=1, train_loader=Calling(tiny_loader(), 1, pytest.fail))
    assert again.steps == 5


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    def twice() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        tiny_train(tmp_path, train_loader=Calling(tiny_loader(), 2, twice))
    assert not (tmp_path / "checkpoints").exists()


def test_a_finished_training_is_not_repeated(tmp_path: Path) -> None:
    first = tiny_train(tmp_path)
    model = TinyNet()
    second = tiny_train(tmp_path, model=model, train_loader=Calling(tiny_loader(), 1, pytest.fail))
    assert second == first
    assert torch.equal(model.conv1.weight.cpu(), read_tensors(first.best_path)[0]["conv1.weight"])


def test_a_save_that_was_killed_before_its_end_is_completed(tmp_path: Path) -> None:
    """`last.safetensors` was in its place, the state before it still there."""
    tiny_train(tmp_path)
    folder = tmp_path / "checkpoints"
    names = sorted(folder.iterdir())
    (used,) = folder.glob("last.state-*")
    unused = folder / f"last.state-{'01'['0' in used.name]}.safetensors"
    shutil.copy(used, unused)
    tiny_train(tmp_path)
    assert sorted(folder.iterdir()) == names


def test_it_saves_in_mid_epoch_when_the_time_has_come(tmp_path: Path) -> None:
    def crash() -> None:
        raise RuntimeError("crash")

    for minutes, step in ((1e-9, 3), (60.0, None)):
        folder = tmp_path / str(minutes)
        with pytest.raises(RuntimeError, match="crash"):
            tiny_train(folder, train_loader=Calling(tiny_loader(), 4, crash), checkpoint_minutes=minutes)
        last = folder / "checkpoints/last.safetensors"
        assert (read_tensors(last)[1]["step"] if last.exists() else None) == step


def test_metrics_after_the_checkpoint_are_forgotten(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        tiny_train(tmp_path, train_loader=interrupting(tiny_loader(), 7))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 8, "epoch": 1.6, "loss": 1.0}\n{"step": 9, "lo')  # a crash before the checkpoint
    tiny_train(tmp_path, log_every=1)
    steps = [line["step"] for line in lines(tmp_path) if "val" not in line]
    assert steps == [2, 4, 5, 6, 7, *range(8, 16)]


def test_checkpoints_of_another_training_are_set_aside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_train(tmp_path, identity="one")
    trained = tiny_train(tmp_path, identity="two", epochs=1)
    assert trained.steps == 5
    assert (tmp_path / "checkpoints.old-1/last.safetensors").exists()
    assert "the checkpoints are of another training; they are in " in capsys.readouterr().err
    assert lines(tmp_path)[-1]["step"] == 5


# ------------------------------------------------------------------------------------------- what goes wrong


class NanFor(Classification):
    """A task whose loss is not a number for one image."""

    def __init__(self, name: str) -> None:
        super().__init__(("red", "green", "blue"), 0.0)
        self.image = name

    def loss(self, out: Outputs, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        terms = super().loss(out, batch)
        return {k: v * torch.nan for k, v in terms.items()} if self.image in batch["name"] else terms


def test_a_loss_that_is_not_finite_names_step_files_and_checkpoint(tmp_path: Path) -> None:
    batches = [batch["name"] for epoch in range(2) for batch in tiny_loader().epoch(epoch)]
    bad = batches[6][3]
    first = next(i for i, names in enumerate(batches) if bad in names)
    with pytest.raises(NonFiniteLossError) as caught:
        tiny_train(tmp_path, task=NanFor(bad), log_every=5)
    message = str(caught.value)
    assert message.startswith(
        f"step {first + 1}: the loss is not finite (loss nan, classification/cross_entropy nan) for the batch "
    )
    assert ", ".join(batches[first]) in message
    assert "no checkpoint was written before; look at those samples" in message
    assert caught.value.exit_code == 4
    assert not (tmp_path / "checkpoints").exists(), "a broken state is never saved"


def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    tiny_train(tmp_path, epochs=1)
    good = read_tensors(tmp_path / "checkpoints/last.safetensors")[0]
    with pytest.raises(
        NonFiniteLossError, match=r"step 1: the weights became NaN or infinite for the batch image_"
    ):
        tiny_train(tmp_path / "b", optimizer="sgd:3e38", schedule="constant", max_steps=1)
    assert all(v.isfinite().all() for v in good.values())
    assert not (tmp_path / "b/checkpoints").exists()


class Greedy(TinyNet):
    def forward(self, image: Tensor) -> dict[str, Tensor]:
        torch.empty(2**50)
        return super().forward(image)


def test_out_of_memory_says_what_to_change(tmp_path: Path) -> None:
    message = r"images 8x3x8x8 .* does not fit .* halve train\.batch_size and double train\.accumulate"
    with pytest.raises(ResourceError, match=message) as caught:
        tiny_train(tmp_path, model=Greedy())
    assert caught.value.exit_code == 4


class Lost(Calling):
    """A loader whose worker is killed when it has given batch number `at`."""

    def __init__(self, loader: Loader, at: int) -> None:
        super().__init__(loader, at, self.kill)

    def kill(self) -> None:
        assert self.loader._processes is not None
        for worker in self.loader._processes._iterator._workers:  # type: ignore[union-attr]
            os.kill(worker.pid, signal.SIGKILL)


def test_a_killed_loader_process_is_one_sentence(tmp_path: Path) -> None:
    message = (
        r"a loader process \(worker\) was killed, as the system does when memory runs out; use a smaller"
    )
    with pytest.raises(ResourceError, match=message) as caught:
        tiny_train(tmp_path, train_loader=Lost(tiny_loader(400, workers=1), 3))
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("workers", [0, 1])
def test_samples_that_do_not_fit_into_memory_are_one_sentence(tmp_path: Path, workers: int) -> None:
    def load(i: int) -> Any:
        return {"image": np.empty((2**30, 2**20, 3), np.uint8), "class": np.asarray(0)}

    huge = tiny_loader(workers=workers)
    huge._batches.split = dataclasses.replace(huge._batches.split, load=load)
    with pytest.raises(ResourceError, match=r"a batch of 8 samples of 8x8 \(HxW\) does not fit into memory"):
        tiny_train(tmp_path, train_loader=huge)


def test_other_errors_of_a_network_pass_through(tmp_path: Path) -> None:
    model = TinyNet()
    model.head = nn.Linear(9, 3)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        tiny_train(tmp_path, model=model)


# ------------------------------------------------------------------------------------------------ evaluation


def test_evaluation_counts_every_sample_once_and_leaves_the_mode() -> None:
    model = TinyNet().train()
    result = evaluate(model, tiny_task(), tiny_loader(13, batch_size=4, train=False))
    assert sum(map(sum, result.confusions["class"])) == 13
    assert model.training


def test_evaluation_takes_anything_that_is_called_like_a_network() -> None:
    model = TinyNet().eval()
    loader = tiny_loader(13, train=False)
    assert evaluate(lambda image: model(image), tiny_task(), loader, inputs=Inputs()) == evaluate(
        model, tiny_task(), loader
    )


def test_a_task_is_all_the_engine_knows(tmp_path: Path) -> None:
    task: Task = tiny_task()
    assert tiny_train(tmp_path, task=task, epochs=1).best.keys() == {
        f"classification/{name}" for name in ("top1", "f1", "mean_class_accuracy")
    }
