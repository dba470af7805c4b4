"""Stage: pictures of what the networks find, and the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from xvision.pipeline.stage import Left, Stage
from xvision.runs.contents import Sample
from xvision.runs.files import REPORT, SAMPLES
from xvision.runs.names import answering

if TYPE_CHECKING:
    from xvision.runs.run import Run

NUM_SAMPLES = 12


def _execute(run: Run) -> Left:
    from xvision.report.html import page

    _write_samples(run)
    run.files.write(REPORT, page(run.files))
    return Left()


def _write_samples(run: Run) -> None:
    """Pictures of the first validation images, with what each network finds in them."""
    import torch

    from xvision.data.framing import spanning
    from xvision.data.images import write_png
    from xvision.tasks.missing_labels import rows_of
    from xvision.tasks.visualize import side_by_side, titled

    task, names = run.task, run.networks
    batch = next(run.loader("val", framed=True).epoch(0))  # all as the network sees it
    batch = rows_of(batch, range(min(NUM_SAMPLES, len(batch["name"]))))
    images = batch["image"]
    inverses = [spanning((images.shape[2], images.shape[3]))] * len(images)
    with torch.inference_mode():
        planes = run.inputs.encode(batch)
        found = {name: task.decode(run.network(name)(*planes), inverses) for name in names}
    shown, rows = found[answering(names)], []
    for i, (image, label) in enumerate(zip(images, task.ground_truth(batch), strict=True)):
        name = f"sample_{i:02}.png"
        picture = task.view.draw(image.permute(1, 2, 0).contiguous().numpy(), shown[i], label)
        beside = [titled(field, seen) for field, seen in _second_input(batch, i).items()]
        write_png(run.files.new(SAMPLES).with_name(name), side_by_side([*beside, picture]))
        texts = {key: task.view.caption(of_one[i]) for key, of_one in found.items()}
        correct = task.view.is_right(shown[i], label)
        rows.append(Sample(image=name, label=task.view.caption(label), found=texts, correct=correct))
    run.files.write(SAMPLES, [row.model_dump() for row in rows])


def _second_input(batch: Mapping[str, Any], i: int) -> dict[str, Any]:
    """A picture of what the network sees beside image i, by its field: the flow, or the previous frame."""
    from xvision.tasks.palette import flow_picture
    from xvision.tasks.visualize import legible

    pictures = {"flow": flow_picture, "previous": legible}
    field = next((field for field in pictures if field in batch), None)
    return {field: pictures[field](batch[field][i].permute(1, 2, 0).contiguous().numpy())} if field else {}


STAGE = Stage("report", _execute, keys=(), exit_code=5, after=("record",))
