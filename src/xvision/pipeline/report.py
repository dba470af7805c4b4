"""What is kept of a run beside its networks: the record, and pictures of what it finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from xvision.files import read_json, write_json, write_text
from xvision.runs.run import Run, read_status


def write_record(run: Run) -> None:
    """record.json: what this run achieved so far, with everything needed to repeat it; cost.json and
    architecture.svg: its layers and a drawing of them."""
    from xvision.analysis.heads import head_costs
    from xvision.graph.cost import count
    from xvision.report.architecture import describe, draw, title
    from xvision.runs.record import Artefact, Complexity, HeadCost, Record, SplitData, Stage, environment

    recipe, folder = run.recipe, run.folder
    cost = count(run.model, recipe.data.size)
    heads = head_costs(run.model, cost) if len(run.task.parts) > 1 else {}
    write_json(folder / "cost.json", [asdict(layer) for layer in cost.layers])
    write_text(folder / "architecture.svg", draw(describe(run.model, title(recipe.to_dict()))))
    evaluation = run.evaluation()
    stages = read_status(folder)["stages"]
    before = [
        stage for name, stage in stages.items() if name != "report"
    ]  # its outputs are about to be replaced
    files = {name: sha for stage in before for name, sha in stage["outputs"].items()}
    Record(
        name=recipe.name,
        recipe=recipe.to_dict(),
        recipe_id=recipe.id,
        source=recipe.source,
        expect=recipe.expect,
        seed=recipe.seed,
        started=stages["train"]["started"],
        stages={
            name: Stage.model_validate({key: s[key] for key in Stage.model_fields})
            for name, s in stages.items()
        },
        data={
            name: SplitData(num_samples=len(split), sha256=run.digests[name])
            for name, split in run.dataset.splits.items()
        },
        classes=dict(run.task.classes),
        cost=Complexity(macs=cost.macs, params=cost.params, size=recipe.data.size),
        heads={name: HeadCost(macs=macs, params=params) for name, (macs, params) in heads.items()},
        affinity=evaluation.get("float", {}).get("affinity"),
        primary=run.task.primary,
        metrics={key: evaluation[key]["metrics"] for key in ("float", "int8", "onnx") if key in evaluation},
        parity=read_json(folder / "export/parity.json") if "verify" in stages else None,
        artefacts={
            name: Artefact(sha256=sha, bytes=(folder / name).stat().st_size) for name, sha in files.items()
        },
        warnings=tuple(run.warnings),
        **environment(),
    ).write(folder / "record.json")


def write_samples(run: Run, num_samples: int = 12) -> None:
    """Pictures of the first validation images, with what the float and the int8 network find in them."""
    import cv2
    import torch

    from xvision.data.framing import spanning
    from xvision.tasks.missing_labels import rows_of
    from xvision.tasks.visualize import side_by_side, titled

    folder, task = run.folder / "samples", run.task
    folder.mkdir(exist_ok=True)
    batch = next(run.loader("val").epoch(0))
    batch = rows_of(batch, range(min(num_samples, len(batch["name"]))))
    images = batch["image"]
    inverses = [spanning((images.shape[2], images.shape[3]))] * len(
        images
    )  # pictures of what the network sees
    with torch.inference_mode():
        planes = run.inputs.encode(batch)
        found = {
            "float": task.decode(run.model(*planes), inverses),
            "int8": task.decode(run.quantized(*planes), inverses),
        }
    rows = []
    for i, (image, label) in enumerate(zip(images, task.ground_truth(batch), strict=True)):
        name = f"sample_{i:02}.png"
        picture = task.view.draw(image.permute(1, 2, 0).contiguous().numpy(), found["int8"][i], label)
        beside = [titled(field, seen) for field, seen in _second_input(batch, i).items()]
        picture = side_by_side([*beside, picture])
        cv2.imwrite(str(folder / name), picture[..., ::-1])
        texts = {key: task.view.caption(f[i]) for key, f in found.items()}
        correct = task.view.is_right(found["int8"][i], label)
        rows.append({"image": name, "label": task.view.caption(label), **texts, "correct": correct})
    write_json(folder / "samples.json", rows)


def _second_input(batch: Mapping[str, Any], i: int) -> dict[str, Any]:
    """A picture of what the network sees beside image i, by its field: the flow, or the previous frame."""
    from xvision.tasks.palette import flow_picture
    from xvision.tasks.visualize import legible

    pictures = {"flow": flow_picture, "previous": legible}
    field = next((field for field in pictures if field in batch), None)
    return {field: pictures[field](batch[field][i].permute(1, 2, 0).contiguous().numpy())} if field else {}
