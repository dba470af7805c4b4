"""The command line: verbs, overrides, exit codes.

Exit codes: 0 ok, 2 usage, 3 data, 4 model or training, 5 quantize or export, 6 verification failed, 130 and
143 interrupted with the state saved. Nothing heavy is imported before a verb needs it: `--help` is immediate.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from xvision.console import Console
    from xvision.pipeline.sensitivity import Asked
    from xvision.recipes.schema import Recipe

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="From images to a verified int8 model on a low-power device.",
    epilog="Start with `xvision demo`; then `xvision list` and "
    "`xvision run classification data=image_folder data.root=DIR`.",
)

Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Changes of the recipe, e.g. train.epochs=3."),
]
Target = Annotated[str, typer.Argument(metavar="RUN", help="A run folder.")]
Out = Annotated[Path | None, typer.Option("--out", help="The run folder (default: runs/RECIPE-N).")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object; progress goes to stderr.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Move an old folder to FOLDER.old-N first.")]
As = Annotated[
    str | None,
    typer.Option(
        "--as", metavar="NAME", help="Of the quantization of this name alone; others stay as they are."
    ),
]
Network = Annotated[
    str | None, typer.Option("--as", metavar="NAME", help="One network of a run: float, or a quantization.")
]


def main() -> None:
    """Run the command; every foreseen failure is one message and an exit code."""
    from xvision.data.resources import explaining_resources

    warnings.showwarning = _show_warning
    try:
        with explaining_resources():
            app()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as e:
        foreseen = isinstance(e, ValueError | OSError) or hasattr(e, "exit_code")
        if not foreseen or os.environ.get("XVISION_TRACEBACK"):
            raise
        print(f"error: {e}", file=sys.stderr)
        sys.exit(getattr(e, "exit_code", 2))


def _show_warning(message: Warning | str, *rest: Any, **named: Any) -> None:
    print(f"warning: {message}", file=sys.stderr)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(version("edgeai-xvision"))
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and stop.", is_eager=True, callback=_print_version),
    ] = False,
) -> None: ...


# ------------------------------------------------------------------------------------------- look around


@app.command("list")
def list_(
    kind: Annotated[str | None, typer.Argument(help="recipe, dataset, task, preset, backbone, …")] = None,
    as_json: Json = False,
) -> None:
    """List recipes and parts, with one line each."""
    from xvision.config.messages import nearest
    from xvision.recipes.describe import all_registries

    registries = all_registries()
    if kind is not None:
        plural = (kind.removesuffix("s"), kind.removesuffix("es"))
        kind = next((one for one in (kind, *plural) if one in registries), kind)
        if kind not in registries:
            raise ValueError(f"list: no kind of part is called '{kind}'; {nearest(kind, registries)}")
        registries = {kind: registries[kind]}
    tables = {k: {n: b.summary for n, b in sorted(r.builders().items())} for k, r in registries.items()}
    if as_json:
        print(json.dumps(tables))
        return
    for name, table in tables.items():
        print(f"{name}:")
        width = max(map(len, table), default=0)
        print("".join(f"  {part.ljust(width)}  {summary}\n" for part, summary in table.items()))


@app.command()
def show(
    name: Annotated[
        str,
        typer.Argument(
            help="A recipe (name or YAML file), a run folder, a plan of mixed precision, a section (train), a setting "
            "(train.decay), a part."
        ),
    ],
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Show a recipe or a run with all its settings, or what those of a section or a part mean, and their defaults."""
    from xvision.recipes.describe import all_registries, described

    if name.endswith((".yaml", ".yml")) and _is_plan(name):
        _show_plan(name, overrides, as_json)
        return
    registries = all_registries()
    recipes = registries["recipe"].builders()
    if all(one in recipes for one in name.split("+")) or name.endswith((".yaml", ".yml")):
        recipe = _recipe(name, overrides)
        print(json.dumps(recipe.to_dict()) if as_json else f"# {recipe.id}\n{recipe.to_yaml()}", end="")
        return
    try:
        found = described(name, registries)
    except ValueError:
        if not Path(name).is_dir():
            raise
        _show_run(name, overrides, as_json)
        return
    if overrides:
        raise ValueError(f"show: '{name}' is a {next(iter(found))}; only a recipe takes key=value")
    if as_json:
        print(json.dumps({kind: one.plain() for kind, one in found.items()}))
        return
    print("\n\n".join(f"{kind} {name}: {one.text()}" for kind, one in found.items()))


def _is_plan(name: str) -> bool:
    from xvision.quant.plan import holds_plan

    return holds_plan(Path(name))


def _show_plan(name: str, overrides: list[str] | None, as_json: bool) -> None:
    from xvision.quant.plan import Plan

    if overrides:
        raise ValueError(f"show: {name} is a plan of mixed precision; only a recipe takes key=value")
    plan = Plan.read(Path(name))
    if as_json:
        print(json.dumps({"note": plan.note, "layers": plan.layers}))
        return
    print(plan.note)
    _console(False).table([[layer, bits, plan.remarks.get(layer, "")] for layer, bits in plan.layers.items()])


def _show_run(folder: str, overrides: list[str] | None, as_json: bool) -> None:
    from xvision.report.quantizations import quant_text
    from xvision.runs.run import Run

    if overrides:
        raise ValueError(f"show: {folder} is a run folder; only a recipe takes key=value")
    run = Run(folder)
    plain = run.recipe.to_dict()
    sections = {name: quant.model_dump(mode="json") for name, quant in run.quantizations.items()}
    if as_json:
        print(json.dumps({"folder": folder, "recipe": plain, "quantizations": sections}))
        return
    print(f"# {run.recipe.id}\n{run.recipe.to_yaml()}\nquantizations:")
    for name, quant in sections.items():
        print(f"  {name}  {quant_text(quant)}{'' if name in run.networks else '  (not there yet)'}")


def _recipe(name: str, overrides: list[str] | None) -> Recipe:
    from xvision.recipes.named import recipe

    return recipe(name, *(overrides or ()))


# ------------------------------------------------------------------------------------------- the pipeline


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", help="The run folder.")] = Path("runs/demo"),
    as_json: Json = False,
) -> None:
    """Drawn scenes -> train -> quantize -> export -> verify -> report, offline, in about a minute."""
    _pipeline(_recipe("demo", None), out, "report", as_json)


@app.command()
def run(
    name: str,
    overrides: Overrides = None,
    out: Out = None,
    quantization: As = None,
    fresh: Fresh = False,
    as_json: Json = False,
) -> None:
    """Run a recipe from images to a verified int8 file; again in the same folder: only what changed."""
    _pipeline(_recipe(name, overrides), out, "report", as_json, quantization=quantization, fresh=fresh)


@app.command()
def train(
    name: Annotated[str | None, typer.Argument(help="A recipe (name or YAML file).")] = None,
    overrides: Overrides = None,
    out: Out = None,
    resume: Annotated[
        Path | None, typer.Option("--resume", help="Continue the training in this run folder.")
    ] = None,
    fresh: Fresh = False,
    as_json: Json = False,
) -> None:
    """Train only; --resume RUN continues where it stopped, bit-exactly on a CPU."""
    from xvision.runs.run import Run

    if resume is not None and (given := [name, *(overrides or ())])[0] is not None:
        raise ValueError(f"{given[0]}: a resumed training keeps its recipe and settings; leave it out")
    if (name is None) == (resume is None):
        raise ValueError("train: expected a recipe, or --resume RUN (not both)")
    if resume is not None:
        _pipeline(Run(resume).recipe, resume, "train", as_json)
    else:
        assert name is not None
        _pipeline(_recipe(name, overrides), out, "train", as_json, fresh=fresh)


@app.command()
def quantize(
    run: Target,
    overrides: Overrides = None,
    quantization: Annotated[
        str | None,
        typer.Option(
            "--as", metavar="NAME", help="What to call it beside others of the run (default: int8)."
        ),
    ] = None,
    sensitivity: Annotated[
        bool,
        typer.Option(
            "--sensitivity", help="Measure which layers and tensors cost most, for table and report."
        ),
    ] = False,
    plan: Annotated[
        Path | None,
        typer.Option(
            "--plan", metavar="FILE", help="Write which of them get more bits, for quant.layers=FILE."
        ),
    ] = None,
    share: Annotated[
        float | None, typer.Option("--share", help="Of --plan: a share of the work at most, such as 0.1.")
    ] = None,
    by: Annotated[str, typer.Option("--by", help="Of --share: macs or layers.")] = "macs",
    drop: Annotated[
        float | None,
        typer.Option("--drop", help="Of --plan: lose so much of the primary metric at most, in its unit."),
    ] = None,
    gain: Annotated[
        float | None, typer.Option("--gain", help="Of --plan: win so many dB of signal over noise.")
    ] = None,
    images: Annotated[
        int, typer.Option("--images", min=1, help="Of --sensitivity: calibration images to measure on.")
    ] = 32,
    labelled: Annotated[
        int,
        typer.Option(
            "--labelled", min=0, help="Of --sensitivity: also measure the primary metric on so many images."
        ),
    ] = 0,
    as_json: Json = False,
) -> None:
    """Quantize the trained network of a run (quant.* keys may be changed); several ways side by side with --as.

    With --sensitivity, and --plan FILE with --share, --drop or --gain: which layers need more bits. A plan is used by
    `xvision quantize RUN quant.layers=FILE --as mixed`, and shown by `xvision show FILE`.
    """
    from xvision.runs.names import DEFAULT

    name = DEFAULT if quantization is None else quantization
    limits = {"share": share, "drop": drop, "gain_db": gain}
    asked = None
    if sensitivity or plan is not None or any(value is not None for value in limits.values()):
        from xvision.pipeline.sensitivity import asked_for

        asked = asked_for(name, (images, labelled), plan, limits, by)
    _advance(run, overrides, "quantize", as_json, name, asked)


@app.command()
def export(run: Target, overrides: Overrides = None, quantization: As = None, as_json: Json = False) -> None:
    """Write the files of each format of a run (export.* keys may be changed)."""
    _advance(run, overrides, "export", as_json, quantization)


@app.command()
def verify(
    run: Target,
    overrides: Overrides = None,
    quantization: As = None,
    dump: Annotated[
        Path | None,
        typer.Option("--dump", help="Write the integer tensors of the first images to this folder."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare simulation, integer reference and the exported file on its runtime, tensor by tensor."""
    if dump is None:
        _advance(run, overrides, "verify", as_json, quantization)
        return
    from xvision.pipeline.dump import dumped

    with dumped(run, quantization, dump, _console(as_json)):
        _advance(run, overrides, "verify", as_json, quantization)


@app.command()
def report(
    run: Target,
    overrides: Overrides = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Write the report of what the run has so far here: a folder, or FILE.html."
        ),
    ] = None,
    quantization: As = None,
    as_json: Json = False,
) -> None:
    """Write record.json and report.html of a run."""
    if out is None:
        _advance(run, overrides, "report", as_json, quantization)
        return
    from xvision.files import write_text
    from xvision.report.html import page
    from xvision.runs.files import REPORT
    from xvision.runs.run import Run

    if given := [*(overrides or []), *(["--as"] if quantization else [])]:
        raise ValueError(f"{given[0]}: --out writes a report of what is there; leave it out")
    file = out if out.suffix == Path(REPORT).suffix else out / REPORT
    write_text(file, page(Run(run).files))
    if as_json:
        print(json.dumps({"folder": run, "report": str(file)}))
    else:
        print(f"report  {file}")


def _advance(
    folder: str,
    overrides: list[str] | None,
    until: str,
    as_json: bool,
    quantization: str | None,
    asked: Asked | None = None,
) -> None:
    """Bring an existing run up to date, up to one step; what it was trained with and on may not change.

    Settings of `quant` are those of the quantization named, and only `quantize` makes a new one.
    """
    from xvision.recipes.overrides import override
    from xvision.recipes.schema import differing_keys
    from xvision.runs.checks import FREE_OF_TRAINING
    from xvision.runs.files import REPORT
    from xvision.runs.names import DEFAULT, check_known
    from xvision.runs.run import Run

    made = Run(folder)
    if until != "quantize" and quantization is not None:
        check_known(folder, quantization, list(made.quantizations))
    if asked is not None:  # it goes into the report that is there
        until = "report" if made.files.has(REPORT) and not overrides else "sensitivity"
    before = made.recipe_of(DEFAULT if quantization is None else quantization)
    recipe = override(before, overrides or ())
    if foreign := [key for key in differing_keys(before, recipe) if not key.startswith(FREE_OF_TRAINING)]:
        raise ValueError(
            f"{foreign[0]}: {folder} is trained already, only quant.*, export.* and the place of the data (data.root) "
            "can be changed here"
        )
    _pipeline(
        recipe,
        Path(folder),
        until,
        as_json,
        quantization=quantization,
        keep_trained=True,
        refresh=until == "verify",
        asked=asked,
    )


def _console(as_json: bool) -> Console:
    from xvision.console import Console

    return Console(json=as_json)


def _pipeline(
    recipe: Recipe,
    out: Path | None,
    until: str,
    as_json: bool,
    *,
    quantization: str | None = None,
    fresh: bool = False,
    keep_trained: bool = False,
    refresh: bool = True,
    asked: Asked | None = None,
) -> None:
    from xvision.pipeline.outcome import outcome, tell
    from xvision.pipeline.run import run as pipeline

    console = _console(as_json)
    done = pipeline(
        recipe,
        out,
        quantization=quantization,
        until=until,
        fresh=fresh,
        keep_trained=keep_trained,
        refresh=refresh,
        console=console,
        analysis=asked.analysis if asked else None,
    )
    if not done.processes.is_first:
        return
    if not as_json:
        tell(done, console)
    more = asked.answer(done, console) if asked else {}
    if as_json:
        print(json.dumps(outcome(done) | more))


# ------------------------------------------------------------------------------------------- use a model


@app.command()
def val(
    target: Annotated[
        str | None, typer.Argument(help="A run folder or an exported file; none with --predictions.")
    ] = None,
    overrides: Overrides = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            "--predictions", help="Score the PNGs of ids or depth in this folder instead of a network."
        ),
    ] = None,
    network: Network = None,
    as_json: Json = False,
) -> None:
    """Measure a run's networks, an exported file, or predictions in files, on the validation samples.

    `xvision val RUN [data=…] [--as NAME]`, or `xvision val --predictions DIR data=camvid data.root=DIR
    task=segmentation`: what `predict --out` wrote knows its task and data.
    """
    from xvision.train.allocator import keep_memory

    keep_memory()
    console = _console(as_json)
    if predictions is not None:
        if network is not None:
            raise ValueError(
                "--as: expected a run folder to choose a network of, got --predictions; leave it out"
            )
        from xvision.predict.score import score

        words = [*([] if target is None else [target]), *(overrides or [])]
        rows = score(predictions, words, console)
        target = str(predictions)
    elif target is None:
        raise ValueError("val: expected a run folder or an exported file, or --predictions DIR")
    else:
        from xvision.predict.open import validate

        rows = validate(Path(target), overrides or [], console, network)
    if as_json:
        print(json.dumps({"target": target, "metrics": [row.model_dump() for row in rows]}))
    else:
        from xvision.pipeline.outcome import print_metrics

        print_metrics(console, rows)


@app.command()
def predict(
    target: Annotated[str, typer.Argument(help="A run folder or an exported file.")],
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Images, videos, folders of them, the number of a camera; or data=NAME data.root=DIR.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Write pictures, PNGs of ids or depth, videos, a legend and predictions.json here."
        ),
    ] = None,
    frames: Annotated[
        int | None, typer.Option("--frames", min=1, help="At most so many frames of each video and camera.")
    ] = None,
    network: Network = None,
    fresh: Fresh = False,
    as_json: Json = False,
) -> None:
    """Run a network of a run (default: int8), or an exported file, on images, videos, a camera or a data set.

    Of images: a picture each, and what was found as a PNG (class ids; depth in mm, 16 bits). Of videos and cameras: one
    MP4, and the PNGs in a folder beside it; Ctrl-C ends a camera. With settings of a data set, such as data=camvid
    data.root=DIR, its validation samples: pictures beside their labels, sequences of frames as MP4 too, and metrics of
    each in metrics.csv. A folder that another call has written is refused.
    """
    from xvision.predict.predict import predict as run_predict
    from xvision.train.allocator import keep_memory

    keep_memory()
    console = _console(as_json)
    found = run_predict(Path(target), inputs, out, console, frames, network=network, fresh=fresh)
    if as_json:
        kept = ("images", "metrics")
        print(json.dumps({key: found[key] for key in kept if key in found}))
    elif "metrics" in found:
        from xvision.pipeline.outcome import print_metrics
        from xvision.runs.measurements import Measurement

        print_metrics(console, [Measurement(**row) for row in found["metrics"]])


if __name__ == "__main__":
    main()
