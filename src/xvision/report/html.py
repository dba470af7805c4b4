"""report.html: one file that an engineer mails, made from the files of a run folder and nothing else.

Pictures and plots are inside it, it needs no network and no script. `Page` prepares what `report.html.jinja` lays out;
a part that has not run yet is None there and becomes a note.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from xvision.files import write_text
from xvision.report import plots, units
from xvision.runs.files import LayerCost
from xvision.runs.files import RunFiles as RunFolder

MAX_PICTURE_BYTES = 6_000_000  # of all sample pictures together: the report must fit in a mail
LEAST_PX = 150  # of the room for a sample
MAX_BARS = 40  # classes beside each other
KINDS = {"float": "Float", "int8": "Int8", "onnx": "ONNX Runtime"}


def write_report(folder: Path) -> Path:
    """Write `report.html` into a run folder and return its path.

    What the run has not reached is noted in the report. Raises ValueError naming the file when one is broken.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = Page(RunFolder(folder))
    path = folder / "report.html"
    write_text(
        path, environment.get_template("report.html.jinja").render(page=page, run=page.run, units=units)
    )
    return path


@dataclass(frozen=True)
class Verdict:
    """The first sentence of the report: is the file what was trained?"""

    state: str  # good | bad | open
    title: str
    text: str


@dataclass(frozen=True)
class Confusion:
    """The confusion matrices of one label, by what was measured, and what they say of its classes."""

    field: str
    classes: list[str]
    tables: dict[str, list[list[int]]]

    @cached_property
    def matrices(self) -> list[Any]:
        return _safe(
            [
                plots.confusion(
                    table, self.classes, key, f"{KINDS[key]}: label against prediction", self.field
                )
                for key, table in self.tables.items()
            ]
        )

    @cached_property
    def per_class(self) -> Any:
        """Bars of the share found per class; of the worst classes when there are many."""
        found = {
            key: [100 * row[i] / max(1, sum(row)) for i, row in enumerate(table)]
            for key, table in self.tables.items()
        }
        last = next(reversed(found.values()))
        shown = sorted(range(len(last)), key=last.__getitem__)[:MAX_BARS]
        if shorter := len(last) <= MAX_BARS:
            shown.sort()
        return _safe(
            [
                plots.per_class(
                    {key: [values[i] for i in shown] for key, values in found.items()},
                    [self.classes[i] for i in shown],
                    "Share found per class" + ("" if shorter else f", the {MAX_BARS} worst of {len(last)}"),
                )
            ]
        )[0]

    @cached_property
    def confused(self) -> list[tuple[str, str, list[int]]]:
        """The pairs of classes confused most: label, prediction, how often by each network."""
        tables = list(self.tables.values())
        side = range(len(self.classes))
        pairs = [(sum(t[i][j] for t in tables), i, j) for i in side for j in side if i != j]
        worst = sorted((p for p in pairs if p[0]), key=lambda p: (-p[0], p[1:]))[:8]
        return [(self.classes[i], self.classes[j], [t[i][j] for t in tables]) for _, i, j in worst]


@dataclass(frozen=True)
class Page:
    """What the template shows, prepared from a run folder."""

    run: RunFolder

    @cached_property
    def name(self) -> str:
        return str(self.run.recipe.get("name") or self.run.path.name)

    @cached_property
    def facts(self) -> list[tuple[str, str]]:
        """What was run, in the order of the pipeline."""
        recipe = self.run.recipe
        data, net, train = (recipe.get(key) or {} for key in ("data", "net", "train"))
        motion = net.get("inputs", "image").removeprefix("image")
        found = {
            "task": units.part_kind(recipe.get("task")),
            "data": units.part_kind(data.get("dataset")),
            "input": f"{data.get('size', '')} {net.get('pixels', '')}{motion}".strip(),
            "backbone": units.part_text(net.get("backbone")),
            "decoder": units.part_text(net.get("decoder")),
            "epochs": str(train.get("epochs", ""))
            + (f", at most {most} steps" if (most := train.get("max_steps")) else ""),
            "seed": str(recipe.get("seed", "")),
        }
        return [(key, text) for key, text in found.items() if text]

    @cached_property
    def verdict(self) -> Verdict:
        parity = self.run.parity
        if parity is None:
            return Verdict("open", "Not verified yet", f"This run stopped {self._stopped}.")
        where = f"on {parity.images} images, at {len(parity.levels)} optimisation levels of ONNX Runtime"
        if parity.ok:
            text = f"The int8 file computes, to the last bit, what the trained simulation computes: 0 LSB {where}."
            return Verdict("good", "Verified: 0 LSB", text)
        text = f"The int8 file differs from the simulation by up to {parity.max_lsb} LSB {where}"
        return Verdict("bad", "Not equal", f"{text}, first at {parity.first_difference}.")

    @cached_property
    def _stopped(self) -> str:
        if "int8" in self.run.metrics:
            return "before verification"
        if self.run.metrics:
            return "after training"
        return "during training" if self.run.steps else "before training"

    @cached_property
    def cards(self) -> list[tuple[str, str, str]]:
        """The figures that matter: title, figure, remark."""
        name, cards = self.run.primary, []
        for key in ("float", "int8"):
            if name and name in self.run.metrics.get(key, {}):
                figure = units.value(self.run.metrics[key][name])
                cards.append((f"{KINDS[key]} {units.metric_name(name)}", figure, self._remark(key, name)))
        if self.macs is not None:
            cards.append(("MACs per image", units.count(self.macs), "multiply-accumulates"))
            cards.append(("Parameters", units.count(self.params or 0), ""))
        if self.file:
            cards.append(("Int8 file", units.size_bytes(self.file[1]), self.file[0]))
        return cards

    def _remark(self, key: str, name: str) -> str:
        if key == "int8":
            change = units.delta(self.run.metrics.get("float", {}).get(name), self.run.metrics["int8"][name])
            return f"{change} against float"
        expected = self.run.record.expect.get(name) if self.run.record else None
        return "" if expected is None else f"{units.value(expected)} expected"

    @cached_property
    def macs(self) -> int | None:
        if self.run.record:
            return self.run.record.cost.macs
        return sum(layer.macs for layer in self.run.layers) if self.run.layers else None

    @cached_property
    def params(self) -> int | None:
        if self.run.record:
            return self.run.record.cost.params
        return sum(layer.params for layer in self.run.layers) if self.run.layers else None

    @cached_property
    def file(self) -> tuple[str, int] | None:
        """Name and bytes of the exported file."""
        file = self.run.path / "export/model.onnx"
        return (file.name, file.stat().st_size) if file.is_file() else None

    @cached_property
    def measured(self) -> list[str]:
        """Which of float, int8 and onnx have metrics."""
        return [key for key in KINDS if key in self.run.metrics]

    @cached_property
    def compared(self) -> bool:
        return {"float", "int8"} <= self.run.metrics.keys()

    @cached_property
    def summary(self) -> list[tuple[str, list[str], str, bool]]:
        """Rows of the summary table: metric, its values, int8 minus float, whether it is the primary one."""
        metrics = self.run.metrics
        names = list(dict.fromkeys(name for key in self.measured for name in metrics[key]))
        names.sort(key=lambda name: name != self.run.primary)
        return [
            (
                units.metric_name(name),
                [units.value(metrics[key].get(name)) for key in self.measured],
                units.delta(metrics.get("float", {}).get(name), metrics.get("int8", {}).get(name)),
                name == self.run.primary,
            )
            for name in names
        ]

    @cached_property
    def curves(self) -> list[Any]:
        """Plots of loss and learning rate, and of the primary metric, as far as there is something to draw."""
        steps, validations, name = self.run.steps, self.run.validations, self.run.primary
        drawn = [plots.losses(steps)] if steps else []
        if name is None and validations:
            name = next(iter(validations[-1].val), None)
        measured = [line for line in validations if name in line.val]
        if name and measured:
            drawn.append(plots.metric(measured, name, units.metric_name(name), self.run.best_step))
        return _safe(drawn)

    @cached_property
    def confusions(self) -> list[Confusion]:
        """One for each label that is classes, with the matrices of float and int8."""
        evaluation = self.run.evaluation
        kinds = [kind for kind in KINDS if kind != "onnx" and kind in evaluation]
        found = {
            field: {kind: evaluation[kind].confusion.get(field, []) for kind in kinds}
            for field in self.run.classes
        }
        tables = {field: {k: t for k, t in of_field.items() if t} for field, of_field in found.items()}
        return [Confusion(f, self.run.classes[f], of_field) for f, of_field in tables.items() if of_field]

    @cached_property
    def heads(self) -> list[tuple[str, str, str, str]]:
        """What each output adds to what all share: name, MACs, their share, parameters; empty with one task."""
        record = self.run.record
        if record is None or not record.heads:
            return []
        rest = (
            record.cost.macs - sum(head.macs for head in record.heads.values()),
            record.cost.params - sum(head.params for head in record.heads.values()),
        )
        rows = {"what all share": rest} | {name: (h.macs, h.params) for name, h in record.heads.items()}
        total = max(1, record.cost.macs)
        return [
            (name, units.count(macs), f"{100 * macs / total:.1f} %", units.count(params))
            for name, (macs, params) in rows.items()
        ]

    @cached_property
    def affinity(self) -> list[tuple[str, list[str]]]:
        """Rows of the table of cosines: task, its cosine with each."""
        found = self.run.record.affinity if self.run.record else None
        if found is None:
            return []
        return [
            (name, ["–" if value is None else f"{value:+.2f}".replace("-", "−") for value in row])
            for name, row in zip(found.tasks, found.cosines, strict=True)
        ]

    @cached_property
    def samples(self) -> list[tuple[Any, str]]:
        """Rows of samples.json with their picture as a data URI, as many as fit."""
        found: list[tuple[Any, str]] = []
        left = MAX_PICTURE_BYTES
        for row in self.run.samples:
            file = self.run.path / "samples" / row.image
            try:
                content = file.read_bytes()
            except OSError as e:
                raise ValueError(f"{file}: named in samples.json but cannot be read ({e.strerror})") from e
            left -= len(content)
            if left < 0:
                break
            found.append((row, f"data:image/png;base64,{base64.b64encode(content).decode()}"))
        return found

    @cached_property
    def sample_width_px(self) -> int:
        """The room that a picture needs so that what is written in it can be read."""
        first = self.run.path / "samples" / self.run.samples[0].image
        header = first.read_bytes()[:24]  # of a PNG: the width begins at 16
        return max(LEAST_PX, int.from_bytes(header[16:20], "big"))

    @cached_property
    def layers(self) -> list[tuple[LayerCost, float]]:
        """Layers with their share of all multiply-accumulates in percent."""
        total = max(1, sum(layer.macs for layer in self.run.layers))
        return [(layer, 100 * layer.macs / total) for layer in self.run.layers]

    @cached_property
    def layer_plot(self) -> Any:
        costly = [layer for layer in self.run.layers if layer.macs]
        return _safe([plots.layer_macs(costly)])[0] if costly else None

    @cached_property
    def architecture(self) -> Any:
        """The drawing of the network, if there is one."""
        file = self.run.path / "architecture.svg"
        if not file.is_file():
            return None
        return _safe([file.read_text(encoding="utf-8").replace(' xmlns="http://www.w3.org/2000/svg"', "")])[0]

    @cached_property
    def quant(self) -> list[tuple[str, str]]:
        """The quantization settings of the recipe."""
        settings = self.run.recipe.get("quant") or {}
        return [(key, units.part_text(value)) for key, value in settings.items()]

    @cached_property
    def artefacts(self) -> list[tuple[str, str, str, str]]:
        """Files of the record: path, size, sha256, and what is wrong with the file that lies there now."""
        return list(self._artefacts())

    def _artefacts(self) -> Iterator[tuple[str, str, str, str]]:
        for name, artefact in self.run.record.artefacts.items() if self.run.record else ():
            file = self.run.path / name
            if not file.is_file():
                trouble = "missing"
            else:
                with file.open("rb") as f:
                    same = hashlib.file_digest(f, "sha256").hexdigest() == artefact.sha256
                trouble = "" if same else "changed since"
            yield name, units.size_bytes(artefact.bytes), artefact.sha256, trouble


def _safe(svgs: list[str]) -> list[Any]:
    """SVG of our own plots (matplotlib escapes the text in them), not to be escaped again."""
    from markupsafe import Markup

    return [Markup(svg) for svg in svgs]


def page(files: RunFolder) -> str:
    return ""
