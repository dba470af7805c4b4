"""Plots of a run as SVG text that stands in an HTML page: text stays text, colours come from one place.

matplotlib is imported when a plot is drawn. Its figures are used without pyplot: no window, no global state.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from xvision.runs.contents import LayerCost, TrainLine, ValLine

INK, MUTED, RULE = "#1c2430", "#5b6673", "#dde2e8"
COLOURS = ("#2b6cb0", "#c05621", "#6b46c1", "#2f855a", "#b7791f", "#97266d")  # of networks, in their order
FIRST = COLOURS[0]
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "xvision",  # the same data gives the same bytes
    "text.parse_math": False,  # a class may be called $x$
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
}
MAX_POINTS = 600  # of a curve: more cannot be seen at this width, and each costs bytes
MOST_COUNTED = 9999  # larger counts do not fit into a cell
MAX_LABELLED = 20  # classes of a confusion matrix that can carry names and counts


def losses(steps: Sequence[TrainLine]) -> str:
    """Training loss, its smoothed course, and the learning rate below, over the optimizer steps."""
    with _style():
        figure = _figure(5.0, 3.2)
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        kept = _thin(steps)
        x, loss = [line.step for line in kept], [line.loss for line in kept]
        top.plot(x, loss, color=FIRST, alpha=0.3, linewidth=0.8)
        top.plot(x, _smooth(loss, len(loss) // 40), color=FIRST)
        top.set_title("Training loss")
        bottom.plot(x, [line.lr for line in kept], color=MUTED)
        bottom.set_title("Learning rate")
        bottom.set_xlabel("step")
        bottom.set_ylim(bottom=0)
        return _svg(figure, "losses")


def metric(validations: Sequence[ValLine], name: str, label: str, kept: int | None = None) -> str:
    """A validation metric over the optimizer steps; marked is its value at the step whose network was kept."""
    with _style():
        figure = _figure(5.0, 3.2)
        axes = figure.subplots()
        x, y = [line.step for line in validations], [line.val[name] for line in validations]
        axes.plot(x, y, color=FIRST, marker="o", markersize=3 if len(x) < 60 else 0)
        axes.margins(y=0.2)  # the figure stands below its point
        if kept in x:
            best = kept, y[x.index(kept)]
            axes.plot(*best, "o", color=FIRST, markersize=7)
            axes.annotate(
                f"{best[1]:.2f}", best, (0, -16), textcoords="offset points", ha="center", color=INK,
                fontweight="bold",
            )  # fmt: skip
        axes.set_title(f"Validation: {label}")
        axes.set_xlabel("step")
        return _svg(figure, "metric")


def confusion(
    table: Sequence[Sequence[int]], classes: Sequence[str], place: int, title: str, field: str = "class"
) -> str:
    """A confusion matrix, rows normalised; names, and counts (of pixels: % of the row), as long as they can be read.

    `place` is the network's among those measured.
    """
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm

    shares = [[n / max(1, sum(row)) for n in row] for row in table]
    labelled = len(classes) <= MAX_LABELLED
    with _style():
        side = 4.9 if labelled else 4.4
        figure = _figure(side, side)
        axes = figure.subplots()
        axes.grid(False)
        shade = LinearSegmentedColormap.from_list("shade", ["#ffffff", COLOURS[place % len(COLOURS)]])
        norm = PowerNorm(0.5, vmin=0, vmax=1)  # the square root: a confusion of 2 % must be seen too
        axes.imshow(shares, cmap=shade, norm=norm, interpolation="none")
        axes.set_title(title)
        axes.set_xlabel("predicted")
        axes.set_ylabel("label")
        if labelled:
            in_percent = max(map(max, table)) > MOST_COUNTED
            _label_cells(axes, table, shares, classes, in_percent=in_percent)
            if in_percent:
                axes.set_xlabel("predicted, % of the label")
        return _svg(figure, f"confusion-{field}-{place}")


def _label_cells(
    axes: Axes,
    table: Sequence[Sequence[int]],
    shares: Sequence[Sequence[float]],
    classes: Sequence[str],
    *,
    in_percent: bool,
) -> None:
    size = 8 if len(classes) <= 10 else 6
    names = [_short(name) for name in classes]
    axes.set_xticks(range(len(names)), names, rotation=90 if len(names) > 4 else 0, fontsize=size)
    axes.set_yticks(range(len(names)), names, fontsize=size)
    for i, row in enumerate(table):
        for j, n in enumerate(row):
            text = f"{100 * shares[i][j]:.0f}" if in_percent else str(n)
            if n and text != "0":
                colour = "#ffffff" if shares[i][j] > 0.3 else INK
                axes.text(j, i, text, ha="center", va="center", color=colour, fontsize=size)


def per_class(shares: Mapping[str, Sequence[float]], classes: Sequence[str], title: str) -> str:
    """Percent of each class's samples found, the networks beside each other."""
    with _style():
        figure = _figure(max(5.0, min(10.2, 1.2 + 0.45 * len(classes))), 2.8)
        axes = figure.subplots()
        axes.grid(False, axis="x")
        width = 0.8 / len(shares)
        for k, (key, values) in enumerate(shares.items()):
            x = [i + (k - (len(shares) - 1) / 2) * width for i in range(len(values))]
            axes.bar(x, values, width * 0.92, color=COLOURS[k % len(COLOURS)], label=key)
        axes.set_xlim(-0.6, len(classes) - 0.4)
        names = [_short(name) for name in classes]
        upright = sum(map(len, names)) <= 40
        axes.set_xticks(range(len(classes)), names, rotation=0 if upright else 40)
        if not upright:
            for tick in axes.get_xticklabels():
                tick.set(ha="right", rotation_mode="anchor")
        axes.set_ylim(0, 100)
        axes.set_ylabel("% found")
        axes.set_title(title)
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, borderaxespad=0)
        return _svg(figure, "per-class")


def layer_macs(layers: Sequence[LayerCost]) -> str:
    """Multiply-accumulates of each layer in the order of the network."""
    from matplotlib.ticker import MaxNLocator

    with _style():
        figure = _figure(10.2, 2.2)
        axes = figure.subplots()
        axes.grid(False, axis="x")
        axes.bar(range(len(layers)), [layer.macs / 1e6 for layer in layers], 0.8, color=FIRST)
        axes.set_title("Where the multiply-accumulates are (millions per layer, in the order of the network)")
        axes.set_xlim(-0.7, len(layers) - 0.3)
        axes.set_xlabel("layer")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        return _svg(figure, "macs")


def layer_sqnr(db: Sequence[float], weakest: Sequence[int], name: str) -> str:
    """Signal over quantization noise of each layer's outputs in the order of the network; the weakest are numbered."""
    from matplotlib.ticker import MaxNLocator

    with _style():
        figure = _figure(10.2, 2.4)
        axes = figure.subplots()
        axes.grid(False, axis="x")
        colours = [COLOURS[1] if i in weakest else FIRST for i in range(len(db))]
        axes.bar(range(len(db)), db, 0.8, color=colours)
        for number, i in enumerate(weakest, 1):
            axes.text(i, db[i], str(number), ha="center", va="bottom", color=COLOURS[1], fontweight="bold")
        axes.set_title(
            f"Signal over quantization noise of each layer, {name} (dB, in the order of the network)"
        )
        axes.margins(y=0.15)
        axes.set_xlim(-0.7, len(db) - 0.3)
        axes.set_xlabel("layer")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        return _svg(figure, f"sqnr-{_plain(name)}")


def noise_shares(rows: Sequence[tuple[str, str, float, str]], name: str) -> str:
    """Where quantization noise comes from, the largest share above: rows of name, kind, percent, remark."""
    kinds = dict(zip(dict.fromkeys(kind for _, kind, _, _ in rows), COLOURS, strict=False))
    with _style():
        figure = _figure(10.2, 0.9 + 0.21 * len(rows))
        axes = figure.subplots()
        axes.grid(False, axis="y")
        for kind, colour in kinds.items():
            at = [i for i, row in enumerate(rows) if row[1] == kind]
            axes.barh(at, [rows[i][2] for i in at], 0.78, color=colour, label=kind)
        for i, (_, _, percent, remark) in enumerate(rows):
            axes.annotate(
                remark, (percent, i), (4, 0), textcoords="offset points", va="center", fontsize=8, color=MUTED
            )
        axes.set_yticks(range(len(rows)), [_middle(row[0]) for row in rows], fontsize=8)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.margins(x=0.12)
        axes.set_xlabel("% of the noise of the outputs, each place quantized alone")
        axes.set_title(f"Where the quantization noise of {name} comes from")
        axes.legend(loc="lower right")
        return _svg(figure, f"noise-{_plain(name)}")


def threshold_shifts(counts: Mapping[int, int], name: str) -> str:
    """How many scales training has moved, by how many powers of two."""
    from matplotlib.ticker import MaxNLocator

    with _style():
        figure = _figure(5.0, 2.4)
        axes = figure.subplots()
        axes.grid(False, axis="x")
        places = range(min(counts), max(counts) + 1)
        axes.bar(places, [counts.get(i, 0) for i in places], 0.7, color=FIRST)
        axes.set_xticks(places, [f"{i:+d}".replace("-", "−") if i else "0" for i in places])
        axes.set_title(f"Scales that training has moved, {name}")
        axes.set_xlabel("powers of two")
        axes.set_ylabel("scales")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        return _svg(figure, f"shifts-{_plain(name)}")


def _plain(name: str) -> str:
    """A name that an id may have."""
    return re.sub(r"\W", "-", name)


def _middle(name: str) -> str:
    """A name of a layer: what is cut lies in its middle."""
    return name if len(name) <= 44 else f"{name[:16]}…{name[-27:]}"


def _short(name: str) -> str:
    return name if len(name) <= 14 else name[:13] + "…"


def _smooth(values: Sequence[float], reach: int) -> list[float]:
    """Mean over each value and its `reach` neighbours on both sides, as far as there are any."""
    windows = [values[max(0, i - reach) : i + reach + 1] for i in range(len(values))]
    return [sum(window) / len(window) for window in windows]


def _thin(rows: Sequence[TrainLine]) -> Sequence[TrainLine]:
    """At most about MAX_POINTS lines, evenly taken, the last one always."""
    stride = max(1, len(rows) // MAX_POINTS)
    return rows if stride == 1 else [*rows[:-1:stride], rows[-1]]


def _style() -> Any:
    import matplotlib

    return matplotlib.rc_context(STYLE)


def _figure(width_in: float, height_in: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width_in, height_in), layout="constrained")


def _svg(figure: Figure, name: str) -> str:
    """The figure as an <svg> element without anything that points outside or clashes with another figure's ids."""
    file = io.StringIO()
    figure.savefig(
        file, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
    )
    text = file.getvalue()
    text = text[text.index("<svg") :]
    # Inside HTML: no namespaces, no style sheet (it would reach the whole page), the page's own font.
    text = re.sub(r'\s(xmlns(:\w+)?|version)="[^"]*"', "", text)
    text = re.sub(r"<defs><style.*?</style></defs>|<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r" font-family: [^;\"]*;", "", text)
    used = set(re.findall(r"#([\w-]+)", text))
    text = re.sub(r' id="([^"]*)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", text)
    text = re.sub(r'(href="|url\()#', rf"\1#{name}-", text)
    return re.sub(r">\s*\n\s*<", "><", text).strip()
