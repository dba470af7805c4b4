"""The `train` section of a recipe."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from xvision.config.parts import Part, part_of
from xvision.train import balancing as methods
from xvision.train import optimizers, schedules

FREE = frozenset({"threads", "workers", "log_every", "checkpoint_minutes", "tensorboard", "compile"})
"""Settings that say how and not what to train: a run continues under other ones."""
FEW_STEPS = 100  # of an optimizer, too few for any network here


class Train(BaseModel):
    """How the weights are found.

    Every command that computes has glibc keep freed memory (peak memory and results stay), unless MALLOC_… or
    GLIBC_TUNABLES is set or another allocator is loaded; threads spin for 1000 turns while they wait, unless
    OMP_WAIT_POLICY or GOMP_SPINCOUNT is set, so that two trainings can share the cores.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: Annotated[int, Field(ge=0)] = 10
    """0: none, the weights of `net.weights` are kept as they are."""
    minutes: Annotated[float, Field(ge=0)] = 0.0
    """Train for so many minutes, validation included, in place of `epochs`: some steps are timed and thrown away, then
    the number of steps is fixed, and kept over interruptions; `max_steps` bounds it too (0: by epochs)."""
    max_steps: Annotated[int, Field(ge=0)] = 0
    """Stop after this many optimizer steps even if epochs are left; schedules end there (0: by epochs)."""
    batch_size: Annotated[int, Field(ge=1)] = 64
    """Samples per process and step."""
    accumulate: Annotated[int, Field(ge=1)] = 1
    """Batches per optimizer step."""
    optimizer: Annotated[Part, part_of(optimizers.optimizer)] = optimizers.optimizer.sgd()
    """What makes a step of a gradient, with the largest learning rate."""
    schedule: Annotated[Part, part_of(schedules.schedule)] = schedules.schedule.cosine()
    """How the learning rate falls."""
    balancing: Annotated[Part, part_of(methods.balancing)] = methods.balancing.fixed()
    """How the losses of several tasks are weighed against each other."""
    start_size_ratio: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Progressive resizing: the input of the first step as a fraction of `data.size`; it grows to the whole, on which
    the last quarter of the steps is trained (1: always whole)."""
    freeze_batch_norm: bool = False
    """Batch norm of the backbone keeps the statistics of its loaded weights, for fine-tuning in small batches;
    it needs a smaller learning rate."""
    warmup_epochs: Annotated[float, Field(ge=0)] = 0.0
    """Epochs in which the learning rate rises to its largest."""
    decay: Literal["all", "weights"] = "all"
    """What weight decay reaches: every parameter (quantization-friendly), or all but biases and norms."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay of the moving average of the weights that is validated and saved (0: none)."""
    clip_norm: Annotated[float, Field(ge=0)] = 0.0
    """Largest gradient norm (0: no clipping)."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """auto: bf16 on GPUs that have it, else fp32."""
    channels_last: bool = True
    """Tensors in memory with the channels of a pixel side by side."""
    compile: bool = False
    """torch.compile: faster steps after a slow first one; needs a C++ compiler."""
    validate_every: Annotated[int, Field(ge=1)] = 1
    """Epochs between validations; there is always one at the end."""
    threads: Annotated[int, Field(ge=0)] = 0
    """Compute threads of all stages (0: the cores at hand)."""
    workers: Annotated[int, Field(ge=0)] | Literal["auto"] = "auto"
    """Loader processes (auto: chosen from the cores at hand)."""
    log_every: Annotated[int, Field(ge=1)] = 20
    """Steps between two lines of metrics.jsonl; the loss is checked for NaN and infinity as often."""
    checkpoint_minutes: Annotated[float, Field(gt=0)] = 5.0
    """A checkpoint is written at the end of each epoch, and in between when this long passed."""
    tensorboard: bool = False
    """Write TensorBoard event files too (needs the extra `tensorboard`)."""

    def steps_per_epoch(self, batches: int) -> int:
        """Optimizer steps of an epoch of so many batches."""
        return -(-batches // self.accumulate)

    def num_steps(self, batches: int) -> int:
        """Optimizer steps of the whole training."""
        of_epochs = self.epochs * self.steps_per_epoch(batches)
        return min(of_epochs, self.max_steps) if self.max_steps else of_epochs

    def advice(self, num_samples: int, batches: int) -> list[str]:
        """What a training of so many samples, in so many batches an epoch, makes worth changing."""
        steps = self.num_steps(batches)
        if self.max_steps or self.minutes or not 0 < steps < FEW_STEPS:
            return []
        return [
            f"{steps} steps are few: with {num_samples} training samples take a smaller train.batch_size and more "
            "train.epochs"
        ]
