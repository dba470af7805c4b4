"""The files that `predict --out` writes: pictures or a video of them, maps as PNG, a legend, predictions.json."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from xvision.data.images import Array, write_png
from xvision.data.video import DEFAULT_FPS, VideoFile
from xvision.files import write_json, write_text
from xvision.predict.written import PREDICTIONS, inside, read_written
from xvision.runs.folder import claim, set_aside
from xvision.tasks.contract import Task
from xvision.tasks.palette import flow_picture
from xvision.tasks.view import Prediction
from xvision.tasks.visualize import Image, column, legend

METRICS = "metrics.csv"
LEGEND = "legend.png"
_LEGEND_WIDTH_PX = 480


class Output:
    """The folder of one call: `0012_photo.png` and its maps for the 13th image, `clip_overlay.mp4` and `clip/` with
    the maps of a video's frames; among the maps the flow that a network saw, in colours. On exit the last film is
    closed, so that what was written of it can be seen.

    A folder is of one call, whose words are kept in predictions.json: the same call again writes over its files.
    """

    def __init__(self, folder: Path, task: Task, call: Sequence[str]) -> None:
        self.folder = folder
        self._task = task
        self._call = list(call)
        self._before: set[str] | None = None  # files that the same call gave before, once this one has begun
        self._film: VideoFile | None = None
        self._num_images = 0
        self._stems: set[str] = set()
        self._stem = ""
        self._sequence = ""

    def __enter__(self) -> Output:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end_film()

    def _begin(self) -> None:
        """Before the first file: say whose they are, so that an interrupted call can be made again."""
        if self._before is None:
            written = read_written(self.folder)
            self._before = written.files if written else set()
            write_json(self.folder / PREDICTIONS, {"call": self._call})

    def image(self, name: str, picture: Image, found: Prediction, flow: Array | None) -> dict[str, str]:
        """Write what was found in an image, also into the film at hand; the names of the files by what they hold."""
        self._begin()
        stem = f"{self._num_images:04}_{file_stem(name)}"
        self._num_images += 1
        self._write(f"{stem}.png", picture)
        return {"picture": f"{stem}.png"} | self._filmed(picture) | self._maps(f"{stem}_", found, flow)

    def start_film(self, name: str, fps: float) -> None:
        """The pictures from now on are frames of this film: a video, or a sequence of a data set."""
        self._begin()
        self.end_film()
        self._stem, number = name, 2
        while self._stem in self._stems:
            self._stem, number = f"{name}_{number}", number + 1
        self._stems.add(self._stem)
        # never the name of the video itself, which may lie in this folder
        self._film = VideoFile(inside(self.folder, f"{self._stem}_overlay.mp4"), fps)

    def of_sequence(self, name: str) -> None:
        """The next picture is a frame of this sequence of a data set, or of none: its film continues, or ends."""
        if name == self._sequence:
            return
        self._sequence = name
        self.end_film()
        if name:
            self.start_film(name, DEFAULT_FPS)

    def frame(self, number: int, picture: Image, found: Prediction, flow: Array | None) -> dict[str, str]:
        """Write what was found in a frame of the film at hand."""
        return self._filmed(picture) | self._maps(f"{self._stem}/{number:06}_", found, flow)

    def end_film(self) -> None:
        if self._film is not None:
            self._film.close()
        self._film = None

    def _filmed(self, picture: Image) -> dict[str, str]:
        if self._film is None:
            return {}
        self._film.write(picture)
        return {"video": self._film.path.name}

    def _maps(self, start: str, found: Prediction, flow: Array | None) -> dict[str, str]:
        files = self._task.view.files(found)
        if flow is not None:
            files = {**files, "flow.png": flow_picture(flow)}
        for ending, pixels in files.items():
            self._write(f"{start}{ending}", pixels)
        return {Path(ending).stem: f"{start}{ending}" for ending in files}

    def _write(self, name: str, pixels: np.ndarray[Any, Any]) -> None:
        write_png(inside(self.folder, name), pixels)

    def _remove(self, name: str) -> None:
        """A picture or a video of this folder; what predictions.json names beside those is not ours."""
        with suppress(ValueError):
            path = inside(self.folder, name)
            if path.suffix in (".png", ".mp4"):
                path.unlink(missing_ok=True)

    def finish(self, summary: Mapping[str, Any]) -> None:
        """predictions.json: what made these files and which belong to which image; legend.png: the colours.

        Files that it named before, and that were not written again, are removed: their images are there no more.
        """
        legends = {
            task.name: legend(_LEGEND_WIDTH_PX, task.view.legend)
            for task in self._task.parts
            if task.view.legend
        }
        if legends:
            self._write(LEGEND, column(legends))
        for name in (self._before or set()) - {
            n for e in summary["images"] for n in e.get("files", {}).values()
        }:
            self._remove(name)
        write_json(self.folder / PREDICTIONS, {"call": self._call, **summary})


def open_output(folder: Path, call: Sequence[str], *, fresh: bool = False) -> None:
    """Raise ValueError unless a folder may be written to: it is new, empty, set aside (`fresh`) or of the same call."""
    if fresh:
        set_aside(folder, "predictions")
    claim(folder, "predictions")
    before = read_written(folder)
    if before and before.call != tuple(call):
        raise ValueError(
            f"--out: expected an empty folder, or one that the same call has written; {folder} holds what `xvision "
            f"predict {' '.join(before.call)}` wrote; choose another --out, or --fresh to move the old one aside"
        )


def file_stem(name: str) -> str:
    """What files of a sample are called, from what reports call it.

    >>> file_stem("val/images/0016E5_07959.jpg"), file_stem("scene 17 (street)"), file_stem("camvid: a/b.1.png")
    ('0016E5_07959', 'scene_17_street', 'b.1')
    """
    last = name.replace("\\", "/").rpartition("/")[2]
    stem = re.sub(r"\.[A-Za-z0-9]{1,5}$", "", last)
    return re.sub(r"[^\w.-]+", "_", stem).strip("_") or "_"


def write_metrics(path: Path, names: Sequence[str], rows: Sequence[Mapping[str, float]]) -> None:
    """A CSV table with a row for each sample; a cell is empty where a sample has nothing to count."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", *columns])
    for name, row in zip(names, rows, strict=True):
        values = (row.get(key, math.nan) for key in columns)
        writer.writerow([name, *("" if math.isnan(v) else repr(round(v, 6)) for v in values)])
    write_text(path, text.getvalue())
