"""report.html: one file that an engineer mails, made from the files of a run and nothing else.

Pictures and plots are inside it, it needs no network and no script. `Page` prepares what `report.html.jinja` lays out;
a part that has not run yet is None or empty there and becomes a note.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xvision.files import sha256
from xvision.report import numbers, plots
from xvision.report.confusion import Confusions, confusions
from xvision.report.measured import Table, tables
from xvision.report.part_text import part_kind, part_text
from xvision.report.quantizations import Quantized, quantizations
from xvision.report.where_lost import WhereLost
from xvision.runs.contents import LayerCost, Sample, TrainLine, ValLine
from xvision.runs.files import DRAWING, RunFiles, quantized
from xvision.runs.names import answering
from xvision.runs.record import ParityRow, Record

if TYPE_CHECKING:
    from xvision.tasks.contract import Task

MAX_PICTURE_BYTES = 6_000_000  # of all sample pictures together: the report must fit in a mail
LEAST_PX = 150  # of the room for a sample


def page(files: RunFiles) -> str:
    """The report of a run; what the run has not reached is noted in it.

    Raises: ValueError naming the file when one is broken.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["svg"] = _safe
    template = environment.get_template("report.html.jinja")
    return template.render(page=Page(files), files=files, numbers=numbers)


@dataclass(frozen=True)
class Verdict:
    """The first sentence of the report: are the files what was trained?"""

    state: str  # good | bad | open
    title: str
    lines: list[str]


@dataclass(frozen=True)
class Page:
    """What the template shows, prepared from the files of a run."""

    files: RunFiles

    @cached_property
    def recipe(self) -> dict[str, Any]:
        return self.files.recipe.to_dict()

    @cached_property
    def record(self) -> Record | None:
        return self.files.record

    @property
    def name(self) -> str:
        return str(self.recipe["name"])

    @cached_property
    def facts(self) -> list[tuple[str, str]]:
        """What was run, in the order of the pipeline."""
        data, net = self.recipe["data"], self.recipe["net"]
        more_inputs = net["inputs"].removeprefix("image")
        found = {
            "task": part_kind(self.recipe["task"]),
            "data": part_kind(data["dataset"]),
            "input": f"{data['size']} {net['pixels']}{more_inputs}",
            "backbone": part_text(net["backbone"]),
            "decoder": part_text(net["decoder"]),
            "training": self._length,
            "seed": f"{self.recipe['seed']}",
        }
        return list(found.items())

    @property
    def _length(self) -> str:
        """Of the training, as the recipe says it, with the steps where time decided."""
        train = self.recipe["train"]
        length = f"{train['epochs']} epochs"
        if train["minutes"]:
            done = f", {self.record.num_steps} steps" if self.record else ""
            length = f"{train['minutes']:g} minutes{done}"
        return length + (f", at most {train['max_steps']} steps" if train["max_steps"] else "")

    # ------------------------------------------------------------------------------------------- what was reached

    @cached_property
    def task(self) -> Task | None:
        """The task, which says what metrics mean; None before its classes are known."""
        from xvision.tasks.multi import build_task

        classes = self.record.classes if self.record else self.files.evaluation.classes
        try:
            return build_task(self.files.recipe.task, classes)
        except ValueError:
            return None

    @property
    def primary(self) -> str | None:
        """The metric that counts."""
        return self.task.primary if self.task else None

    def label(self, metric: str) -> str:
        """What a metric is called, with its unit."""
        if self.task is None:
            return metric
        spec = self.task.spec(metric)
        return f"{spec.label}, {spec.unit}"

    @cached_property
    def tables(self) -> list[Table]:
        """What was measured, by split."""
        rows = self.record.metrics if self.record else self.files.evaluation.measurements
        return tables(rows, self.primary, self.label)

    def exceptions(self, network: str) -> str:
        """What in a network has other bits than its name says."""
        return next((one.exceptions for one in self.quantizations if one.name == network), "")

    @cached_property
    def parities(self) -> tuple[ParityRow, ...]:
        """What verification found, a row for each exported file."""
        return self.record.parity if self.record else self.files.parity

    @cached_property
    def verdict(self) -> Verdict:
        found = self.parities
        if not found:
            return Verdict("open", "Not verified yet", [f"This run stopped {self._stopped}."])
        lines = [_proof(parity) for parity in found]
        if not all(parity.ok for parity in found):
            return Verdict("bad", "Not equal", lines)
        title = f"Verified: {max(parity.judged_lsb for parity in found)} LSB"
        proved = {parity.network for parity in found}
        if others := [one.name for one in self.quantizations if one.made and one.name not in proved]:
            lines.append(f"Not verified yet: {', '.join(others)}.")
        if losses := [f"{line}." for one in self.quantizations if one.made for line in one.made.losses]:
            return Verdict("open", f"{title}, but integers cost accuracy", [*lines, *losses])
        return Verdict("open" if others else "good", title + ", but not every network" * bool(others), lines)

    @cached_property
    def _stopped(self) -> str:
        networks = {row.network for table in self.tables for row in table.rows}
        if networks:
            return "after training" if len(networks) == 1 else "before verification"
        return "during training" if self.steps else "before training"

    @cached_property
    def cards(self) -> list[tuple[str, str, str]]:
        """The figures that matter: title, figure, remark."""
        cards = [card for table in self.tables[:1] for card in self._primary_cards(table)]
        if self.macs is not None:
            cards.append(("MACs per image", numbers.count(self.macs), "multiply-accumulates"))
            cards.append(("Parameters", numbers.count(self.params or 0), ""))
        return [*cards, *self._file_cards()]

    def _file_cards(self) -> Iterator[tuple[str, str, str]]:
        for parity in self.parities:
            if self.files.has(parity.file) and parity.file != quantized(parity.network):
                path = self.files.path(parity.file)
                title = f"{parity.network}: exported file"
                yield title, numbers.size_bytes(path.stat().st_size), path.name

    def _primary_cards(self, table: Table) -> Iterator[tuple[str, str, str]]:
        """The primary metric of each network; the first beside what was expected, the others beside the first."""
        if self.primary is None:
            return
        for column in table.networks:
            if self.primary not in table.figures[column]:
                continue
            cell = table.cell(column, self.primary)
            expected = self.record.expect.get(self.primary) if self.record else None
            remark = f"{cell.change} against {table.columns[0][0]}" if cell.change else ""
            if not cell.change and expected is not None:
                remark = f"{numbers.value(expected)} expected"
            yield f"{column[0]}: {self.label(self.primary)}", cell.text, remark

    @cached_property
    def macs(self) -> int | None:
        if self.record:
            return self.record.cost.macs
        return sum(layer.macs for layer in self.files.layers) if self.files.layers else None

    @cached_property
    def params(self) -> int | None:
        if self.record:
            return self.record.cost.params
        return sum(layer.params for layer in self.files.layers) if self.files.layers else None

    # ------------------------------------------------------------------------------------------- training

    @cached_property
    def steps(self) -> list[TrainLine]:
        return [line for line in self.files.log if isinstance(line, TrainLine)]

    @cached_property
    def curves(self) -> list[str]:
        """Plots of loss and learning rate, and of the primary metric, as far as there is something to draw."""
        validations = [line for line in self.files.log if isinstance(line, ValLine)]
        drawn = [plots.losses(self.steps)] if self.steps else []
        name = self.primary or next((name for line in validations for name in line.val), None)
        measured = [line for line in validations if name in line.val]
        if name and measured:
            best = self.files.best
            drawn.append(plots.metric(measured, name, self.label(name), best.step if best else None))
        return drawn

    @cached_property
    def confusions(self) -> list[Confusions]:
        evaluation = self.files.evaluation
        return confusions(evaluation.confusions, evaluation.classes)

    # ------------------------------------------------------------------------------------------- several tasks

    @cached_property
    def heads(self) -> list[tuple[str, str, str, str]]:
        """What each output adds to what all share: name, MACs, their share, parameters; empty with one task."""
        record = self.record
        if record is None or not record.heads:
            return []
        rest = (
            record.cost.macs - sum(head.macs for head in record.heads.values()),
            record.cost.params - sum(head.params for head in record.heads.values()),
        )
        rows = {"what all share": rest} | {name: (h.macs, h.params) for name, h in record.heads.items()}
        total = max(1, record.cost.macs)
        return [
            (name, numbers.count(macs), f"{100 * macs / total:.1f} %", numbers.count(params))
            for name, (macs, params) in rows.items()
        ]

    @cached_property
    def affinity(self) -> list[tuple[str, list[str]]]:
        """Rows of the table of cosines: task, its cosine with each."""
        found = self.record.affinity if self.record else None
        if found is None:
            return []
        return [
            (name, ["–" if value is None else f"{value:+.2f}".replace("-", "−") for value in row])
            for name, row in zip(found.tasks, found.cosines, strict=True)
        ]

    # ------------------------------------------------------------------------------------------- samples

    @cached_property
    def samples(self) -> list[tuple[Sample, str]]:
        """The samples with their picture as a data URI, as many as fit."""
        found: list[tuple[Sample, str]] = []
        left = MAX_PICTURE_BYTES
        for row in self.files.samples:
            content = self._picture(row)
            left -= len(content)
            if left < 0:
                break
            found.append((row, f"data:image/png;base64,{base64.b64encode(content).decode()}"))
        return found

    def _picture(self, row: Sample) -> bytes:
        file = self.files.picture(row)
        try:
            return file.read_bytes()
        except OSError as e:
            raise ValueError(f"{file}: named in samples.json but cannot be read ({e.strerror})") from e

    @property
    def drawn(self) -> str:
        """The network whose findings are drawn into the samples."""
        return answering(list(self.files.samples[0].found))

    @cached_property
    def sample_width_px(self) -> int:
        """The room that a picture needs so that what is written in it can be read."""
        header = self._picture(self.files.samples[0])[:24]  # of a PNG: the width begins at 16
        return max(LEAST_PX, int.from_bytes(header[16:20], "big"))

    # ------------------------------------------------------------------------------------------- the network

    @cached_property
    def layers(self) -> list[tuple[LayerCost, float]]:
        """Layers with their share of all multiply-accumulates in percent."""
        total = max(1, sum(layer.macs for layer in self.files.layers))
        return [(layer, 100 * layer.macs / total) for layer in self.files.layers]

    @cached_property
    def layer_plot(self) -> str | None:
        costly = [layer for layer in self.files.layers if layer.macs]
        return plots.layer_macs(costly) if costly else None

    @cached_property
    def architecture(self) -> str | None:
        """The drawing of the network, if there is one."""
        if not self.files.has(DRAWING):
            return None
        return self.files.text(DRAWING).replace(' xmlns="http://www.w3.org/2000/svg"', "")

    @cached_property
    def quantizations(self) -> list[Quantized]:
        """Those of the run; before there are any, the one that the recipe describes."""
        return quantizations(self.record, self.recipe)

    def scheme(self, network: str) -> str:
        """The scheme and the method of a quantization, nothing of the float network."""
        made = next((one.quant for one in self.quantizations if one.name == network), None)
        return f"{part_kind(made['scheme'])}, {part_kind(made['method'])}" if made else ""

    @property
    def warnings(self) -> list[str]:
        """What a reader must know of the settings, the data and the calibration images."""
        settings = list(self.record.warnings) if self.record else []
        made = {one.name: one.made for one in self.quantizations if one.made}
        return settings + [f"{name}: {line}" for name, one in made.items() for line in one.warnings]

    @cached_property
    def where_lost(self) -> dict[str, WhereLost]:
        """Where each quantization loses its signal, by its name."""
        return {one.name: WhereLost(one.name, one.made) for one in self.quantizations if one.made}

    @cached_property
    def artefacts(self) -> list[tuple[str, str, str, str]]:
        """Files of the record: path, size, sha256, and what is wrong with the file that lies there now."""
        return list(self._artefacts())

    def _artefacts(self) -> Iterator[tuple[str, str, str, str]]:
        for name, artefact in self.record.artefacts.items() if self.record else ():
            if not self.files.has(name):
                trouble = "missing"
            else:
                trouble = "" if sha256(self.files.path(name)) == artefact.sha256 else "changed since"
            yield name, numbers.size_bytes(artefact.bytes), artefact.sha256, trouble


def _proof(parity: ParityRow) -> str:
    """What verification of one file found, as a sentence."""
    own = parity.file == quantized(parity.network)  # run by another executor, and no file of a runtime
    what = f"{parity.network if own else Path(parity.file).name} in {parity.executor}"
    reference = f"the {parity.network} network in {parity.reference}"
    where = f"on {parity.images} images"
    where += f", at {len(parity.levels)} optimisation levels" if len(parity.levels) > 1 else ""
    where += f" ({parity.version})" if parity.version else ""
    allowed = f", {parity.tolerance_lsb} LSB allowed" if parity.tolerance_lsb else ""
    if parity.ok and not parity.max_lsb and not parity.max_error:
        return f"{what} computes, to the last bit, what {reference} computes: 0 LSB {where}."
    found = [f"{parity.max_lsb} LSB"] if parity.max_lsb else []
    found += [f"{parity.max_error:.1e} of the largest value"] if parity.max_error else []
    first = f", first at {parity.first_difference}" if parity.first_difference else ""
    if (alone := parity.operators) is not None:
        beyond = f", more than is allowed first at {alone.first_beyond}" if alone.first_beyond else ""
        return (
            f"Each operator of {what}, given the codes of its inputs, is off by at most {alone.max_lsb} LSB from "
            f"{reference} ({alone.tolerance_lsb} LSB allowed{beyond}); {alone.differing} of {alone.codes} codes differ."
            f" End to end: {' and '.join(found)} {where}, {parity.agreement:.1%} equal answers, since "
            f"{'; '.join(parity.reasons)}."
        )
    return f"{what} differs from {reference} by up to {' and '.join(found)} {where}{allowed}{first}."


def _safe(svg: str) -> Any:
    """SVG of our own plots (matplotlib escapes the text in them), not to be escaped again."""
    from markupsafe import Markup

    return Markup(svg)
