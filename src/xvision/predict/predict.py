"""What a network finds, in pictures and videos without labels, or in the validation split of a data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from xvision.console import Console
from xvision.data.crop import check_holds, within
from xvision.data.dataset import DataError, Split
from xvision.data.images import Array, Pixels
from xvision.data.rectangles import Rect
from xvision.predict.open import load, open_labelled
from xvision.predict.opened import Opened, flows_of
from xvision.predict.output import METRICS, Output, file_stem, open_output, write_metrics
from xvision.predict.sources import BATCH_SIZE, Clip, Frame, Pictures, Source, batches, find_sources
from xvision.runs.folder import leaving_nothing
from xvision.runs.measure import as_rows
from xvision.runs.names import FLOAT
from xvision.tasks.contract import Task
from xvision.tasks.metrics.contract import Outputs
from xvision.tasks.missing_labels import rows_of, which
from xvision.tasks.view import Prediction
from xvision.train.errors import Interrupted
from xvision.train.evaluation import defined, metric_over
from xvision.train.forward import forward
from xvision.train.signals import Signals

Entry = dict[str, Any]


def predict(
    path: Path,
    words: Sequence[str],
    out: Path | None,
    console: Console,
    most_frames: int | None = None,
    *,
    network: str | None = None,
    fresh: bool = False,
) -> dict[str, Any]:
    """What a run or an exported file finds in what the words of a command line name.

    The words are images, folders, videos and cameras, or ``data=…`` overrides: then it is the validation split of that
    data set, and metrics are given too. A run answers with the `network` of this name, by default with the quantization
    that its recipe describes, if it has one. With `data.crop_rect` images are cut to it as in training, and maps and
    pictures are of the cut image.

    The folder `out` is new, empty or written by the same call before; `fresh` moves another one aside.

    Raises: Interrupted after Ctrl-C or kill, when what was found is written; a camera simply ends.
    """
    settings = [word for word in words if word.startswith(("data=", "data.")) and not Path(word).exists()]
    if settings and len(settings) < len(words):
        others = ", ".join(word for word in words if word not in settings)
        raise ValueError(
            f"predict: expected images and videos, or the settings of a data set, got both ({others} and "
            f"{', '.join(settings)}); leave one of them out"
        )
    if settings and most_frames is not None:
        raise ValueError("--frames: expected a video or a camera to bound, got a data set; leave it out")
    if fresh and out is None:
        raise ValueError("--fresh: it moves the folder of --out aside; name one")
    opened = load(path, settings, network=network)
    answers, networks = opened.column[0], [name for name, _ in opened.executors]
    if len(networks) > 2:
        console.print(f"by the {answers} network; --as NAME chooses another of {', '.join(networks)}")
    if path.is_dir() and network is None and answers == FLOAT:
        console.print(f"by the float network; `xvision quantize {path}` makes the int8 one")
    chosen = {"--as": network, "--frames": most_frames}
    call = [str(path), *words, *(str(x) for option in chosen.items() if option[1] for x in option)]
    if out is not None:
        open_output(out, call, fresh=fresh)
    keeping = leaving_nothing(out, "predictions") if out else nullcontext()
    writing = Output(out, opened.task, call) if out else nullcontext()
    with torch.inference_mode(), keeping, writing as output:
        if settings:
            return _of_data(opened, path, output, console)
        frame_gap = opened.recipe.data.frame_gap if opened.inputs.fields != ("image",) else 0
        sources = find_sources(words, most_frames, frame_gap=frame_gap)
        return _of_sources(opened, sources, output, console)


def _summary(opened: Opened, entries: list[Entry], **more: Any) -> dict[str, Any]:
    """The content of predictions.json."""
    recipe = opened.recipe.to_dict()
    classes = {field: list(names) for field, names in opened.classes.items()}
    return {"task": recipe["task"], "classes": classes, "data": recipe["data"], **more, "images": entries}


# ---------------------------------------------------------------------------------- pictures and videos


def _of_sources(
    opened: Opened, sources: Sequence[Source], output: Output | None, console: Console
) -> dict[str, Any]:
    entries: list[Entry] = []
    problems: list[str] = []
    counts = [len(source) for source in sources]
    total = sum(counts) if all(counts) else 0
    last: Source | None = None
    try:
        with Signals(console) as signals, console.progress("predict", total) as bar:
            for source in sources:
                last = source
                if output is not None and isinstance(source, Clip):
                    output.start_film(file_stem(source.video.stem), source.video.fps)
                before = len(entries)
                for frame, image, found, flow in _found(opened, source, problems):
                    console.print(f"{frame.name}  {opened.task.view.caption(found)}")
                    entries.append(_entry(opened.task, source, frame, image, found, flow, output))
                    bar.advance(1)
                    if signals.received:
                        break
                if signals.received:
                    break
                _check_length(source, len(entries) - before, console)
    except OSError:  # a full disk, say: what is there cannot be told there either
        raise
    except BaseException:
        _finish(opened, entries, output, console)
        raise
    summary = _finish(opened, entries, output, console)
    by_hand = isinstance(last, Clip) and last.video.is_camera and last is sources[-1]
    if signals.received and not by_hand:
        raise Interrupted(signals.received, f"predict: interrupted after {len(entries)} images")
    if problems:
        raise DataError(
            "\n".join([*problems, f"{len(entries)} images could be used, {len(problems)} could not"])
        )
    return summary


def _finish(opened: Opened, entries: list[Entry], output: Output | None, console: Console) -> Entry:
    """The content of predictions.json, which is written with what belongs to it."""
    summary = _summary(opened, entries)
    if output is not None and entries:
        output.end_film()
        output.finish(summary)
        console.print(f"written  {output.folder}")
    return summary


def _check_length(source: Source, num_frames: int, console: Console) -> None:
    """Warn of a video that ends long before its file says; counts of files are often off by a few."""
    if isinstance(source, Pictures) or source.video.is_camera:
        return
    if num_frames < 0.95 * len(source) - 1:
        console.warn(
            f"{source.video.name}: {num_frames} of {len(source)} frames could be read; is it damaged?"
        )


def _found(
    opened: Opened, source: Source, problems: list[str]
) -> Iterator[tuple[Frame, Pixels, Prediction, Array | None]]:
    """Each frame, what of it is used, what was found in it, and the flow that the network saw."""
    live = isinstance(source, Clip) and source.video.is_camera
    frames = source.frames(problems)
    if isinstance(source, Pictures):
        frames = _holding(frames, opened.recipe.data.crop_rect, problems)
    for some in batches(frames, 1 if live else BATCH_SIZE):
        for frame, (image, found, flow) in zip(some, opened.find(some), strict=True):
            yield frame, image, found, flow


def _holding(frames: Iterator[Frame], crop: Rect | None, problems: list[str]) -> Iterator[Frame]:
    """The frames that hold the rectangle; the others are added to `problems`."""
    for frame in frames:
        try:
            check_holds(frame.name, frame.image.shape[:2], crop, None)
        except DataError as error:
            problems.append(str(error))
            continue
        yield frame


def _entry(
    task: Task, source: Source, frame: Frame, image: Any, found: Prediction, flow: Array | None, output: Output | None
) -> Entry:  # fmt: skip
    """The row of predictions.json; its files are written."""
    files: dict[str, Any] = {}
    if output is not None:
        picture = task.view.draw(image, found)
        if frame.number is None:
            files = {"files": output.image(frame.name, picture, found, flow)}
        else:
            files = {"files": output.frame(frame.number, picture, found, flow)}
    if not isinstance(source, Clip):
        return {"image": frame.name, **files, **found.values}
    assert frame.number is not None
    time_s = round(frame.number / source.video.fps, 3)
    return {"image": source.video.name, "frame": frame.number, "time_s": time_s, **files, **found.values}


# ---------------------------------------------------------------------------------- with labels


def _of_data(opened: Opened, path: Path, output: Output | None, console: Console) -> dict[str, Any]:
    """The validation split as `xvision val` sees it, sample by sample; frames of one sequence are a film too."""
    opened, dataset = open_labelled(opened, path)
    task, model = opened.task, opened.executor
    loader = opened.val_loader(dataset)
    stored = within(dataset.splits["val"], opened.recipe.data.crop_rect, None)  # without flow
    metric, entries = metric_over(task), []
    rows: list[dict[str, float]] = []
    with Signals(console) as signals, console.progress("predict", len(stored)) as bar:
        for batch in loader.epoch(0):
            out = forward(model, batch, opened.inputs)
            metric.update(out, batch)
            images = [stored.load(int(i))["image"] for i in batch["index"]]
            sizes = (_size(task, batch, i, image) for i, image in enumerate(images))
            predictions = task.decode(out, [batch["framing"].inverse(size) for size in sizes])
            labels, flows = task.ground_truth(batch), flows_of(batch)
            for i, (name, image, found) in enumerate(zip(batch["name"], images, predictions, strict=True)):
                rows.append(_alone(task, out, batch, i))
                files = {}
                if output is not None:
                    output.of_sequence(_sequence(stored, name))
                    picture = task.view.draw(image, found, labels[i])
                    files = {"files": output.image(name, picture, found, flows[i])}
                console.print(f"{name}  {task.view.caption(found)}")
                entries.append({"image": name, **files, **found.values, "metrics": rows[-1]})
                bar.advance(1)
            if signals.received:
                raise Interrupted(signals.received, f"predict: interrupted after {len(entries)} images")
    found_metrics = defined(metric.compute(), task.primary)
    rows_of_split = as_rows(opened.column, "val", found_metrics, task, model.version)
    summary = _summary(opened, entries, metrics=[row.model_dump() for row in rows_of_split])
    if output is not None:
        write_metrics(output.folder / METRICS, [entry["image"] for entry in entries], rows)
        output.finish(summary)
        console.print(f"written  {output.folder}")
    return summary


def _sequence(split: Split, name: str) -> str:
    """What a film of the frames in the folder of this one is called; nothing where samples are no frames."""
    folder = name.rpartition("/")[0] if "previous" in split.fields else ""
    return "_".join(file_stem(part) for part in folder.split("/")) if folder else ""


def _size(task: Task, batch: Mapping[str, Any], i: int, image: Any) -> tuple[int, int]:
    """Of the labels, at which metrics are measured; of the image where it has no maps of labels."""
    for part in task.parts:
        has = which(part.needs, batch)
        if part.maps and (has is None or i in has):
            height, width = batch[part.maps[0]][i].shape[-2:]
            return int(height), int(width)
    height, width = image.shape[:2]
    return height, width


def _alone(task: Task, out: Outputs, batch: Mapping[str, Any], i: int) -> dict[str, float]:
    """The metrics of sample i of a batch, as if it were all there is; without those that have nothing to count."""
    return measure_one(task, {name: value[i : i + 1] for name, value in out.items()}, rows_of(batch, [i]))


def measure_one(task: Task, out: Outputs, batch: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of a batch alone, those left out that nothing was counted for."""
    metric = metric_over(task)
    metric.update(out, batch)
    return defined(metric.compute(), "")
