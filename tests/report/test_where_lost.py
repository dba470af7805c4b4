"""Where a quantization loses its signal: the report shows what is known of it, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.report.conftest import report
from tests.report.made_up_run import RECIPE, make_record, make_run
from tests.report.test_html import section
from tests.report.test_plots import parse, texts
from xvision.report import plots

LAYERS = {f"block{i}.conv": {"correction": "weights", "sqnr_db": 20.0 + i % 7} for i in range(19)}
SITE = {"bits": 8, "without_db": {"class": 23.0}}


def made(**changes: Any) -> dict[str, Any]:
    return {"quant": RECIPE["quant"], "num_fitted": 192, "num_judged": 64} | changes


def sensitivity(**changes: Any) -> dict[str, Any]:
    sites = [
        {
            "kind": "weights",
            "name": "stem",
            "layers": ["stem"],
            "readers": ["stem"],
            "alone_db": {"class": 40.0},
        },
        {
            "kind": "activations",
            "name": "<b>mul",
            "layers": ["se"],
            "readers": ["head"],
            "alone_db": {"class": 21.0},
        },
        {
            "kind": "weights",
            "name": "head",
            "layers": ["head"],
            "readers": ["head"],
            "alone_db": {"class": 31.0},
        },
    ]
    return {
        "num_images": 32,
        "heads_db": {"class": 20.0},
        "sites": [SITE | site for site in sites],
        "macs": {"stem": 1000, "head": 100},
        "outliers": [{"kind": "weights", "name": "stem", "channel": 5, "ratio": 97.3}],
        "conflicts": [
            {"operator": "concat", "name": "cat", "ranges": {"a": 30.0, "b": 1.5}, "bits_lost": 4.32}
        ],
    } | changes


def quantization(tmp_path: Path, **quantizations: dict[str, Any]) -> str:
    folder = make_run(tmp_path / "run")
    make_record(quantization=quantizations).write(folder / "record.json")
    return section(report(folder), "quantization")


def test_nothing_is_shown_of_what_is_not_known(tmp_path: Path) -> None:
    found = quantization(tmp_path, int8=made())
    for absent in ("<svg", "rung", "dB", "64 bits", "moved by training", "sensitivity", "Outlier"):
        assert absent not in found


def test_layers_have_a_plot_and_a_table(tmp_path: Path) -> None:
    found = quantization(tmp_path, int8=made(layers=LAYERS))
    assert found.count("<svg") == 1
    assert "Most noise: 1 block0.conv (20.0 dB), 2 block7.conv (20.0 dB), 3 block14.conv (20.0 dB)." in found
    assert "All 19 layers" in found
    assert found.count("<td>weights</td>") == 19


def test_rungs_with_what_they_gave_and_cost(tmp_path: Path) -> None:
    rungs = [
        {"name": "mse", "kept": True, "heads_db": {"class": 12.3, "depth": 20.0}, "seconds": 4.2, "metric": 80.1,
         "drop": 6.04, "standard_error": 0.8},
        {"name": "equalize", "kept": False, "heads_db": {"class": 11.0, "depth": 21.0}, "seconds": 75.0},
    ]  # fmt: skip
    found = quantization(tmp_path, int8=made(rungs=rungs))
    assert "what each rung gave" in found
    assert all(
        text in found for text in ("class, dB", "depth, dB", "12.3", "6.04 ± 0.80", "1 min 15 s", "dropped")
    )
    unlabelled = quantization(tmp_path / "unlabelled", int8=made(rungs=rungs[1:]))
    assert '<th class="n">lost</th>' in found
    assert '<th class="n">lost</th>' not in unlabelled


def test_layers_in_64_bits_are_listed(tmp_path: Path) -> None:
    found = quantization(tmp_path, int8=made(wide_layers={"head": 20_000_000, "stem": 2**24}))
    assert "Sums of 2 layers may go beyond 2^24" in found
    assert "head (below 2^25), stem (below 2^25)." in found


def test_scales_that_training_has_moved(tmp_path: Path) -> None:
    shifts = {"conv1": -2.0, "conv2": 0.0, "conv3": 1.0, "conv4": 0.2}
    found = quantization(tmp_path, int8=made(threshold_shifts=shifts))
    assert "2 of 4 scales were moved by training." in found
    assert found.index("conv1") < found.index("conv3")
    assert '<td>conv1</td><td class="n">−2.0</td>' in found
    assert "conv4</td>" not in found


def test_sensitivity_has_a_plot_and_tables(tmp_path: Path) -> None:
    found = quantization(tmp_path, int8=made(sensitivity=sensitivity()))
    assert found.count("<svg") == 1
    assert "Where the quantization noise of int8 comes from" in found
    assert "&lt;b&gt;mul" in found
    assert "<b>mul" not in found
    assert "All 3 places" in found
    assert '<td class="n">89.9 %</td><td class="n">21.0</td><td class="n">23.0</td>' in found
    assert '<td class="n">5</td><td class="n">97</td>' in found
    assert 'concat (cat)</td><td>a 30, b 1.5</td><td class="n">4.3</td>' in found
    assert "metric, it alone" not in found


def test_metrics_of_labelled_images_are_columns(tmp_path: Path) -> None:
    plain = sensitivity(metric="classification/top1", num_labelled=200, float_metric=90.0, int8_metric=88.0)
    plain["sites"] = [site | {"alone_metric": 89.5, "without_metric": 88.25} for site in plain["sites"]]
    found = quantization(tmp_path, int8=made(sensitivity=plain))
    assert "(classification/top1 on 200 labelled ones)" in found
    assert '<td class="n">89.50</td><td class="n">88.25</td>' in found


def test_several_quantizations_have_each_their_own(tmp_path: Path) -> None:
    found = quantization(
        tmp_path, int8=made(layers=LAYERS, sensitivity=sensitivity()), w4=made(layers=LAYERS)
    )
    assert found.count("<svg") == 3
    assert "int8: sensitivity" in found
    assert "w4: sensitivity" not in found
    ids = [part.partition('"')[0] for part in found.split(' id="')[1:]]
    assert len(ids) == len(set(ids)) > 0


def test_what_quantize_has_warned_of_stands_at_the_top(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    line = "calibration: 9 images, fewer than 32"
    make_record(quantization={"int8": made(warnings=[line])}).write(folder / "record.json")
    page = report(folder)
    assert page.index("<strong>Warnings</strong>") < page.index(f"int8: {line}") < page.index('id="summary"')


def test_plots_of_many_layers_stay_readable() -> None:
    db = [30.0 - i % 11 for i in range(150)]
    svg = plots.layer_sqnr(db, [10, 21, 32], "int8")
    assert {"1", "2", "3", "layer"} <= set(texts(svg))
    assert len(svg) < 90_000
    long = "backbone.stages.2.blocks.10.attention.projection.convolution.weight"
    rows = [
        (f"{long}{i}", "weights" if i % 2 else "activations", 20.0 / (1 + i), f"{i} dB alone")
        for i in range(20)
    ]
    svg = plots.noise_shares(rows, "int8")
    assert {"weights", "activations", "0 dB alone", "19 dB alone"} <= set(texts(svg))
    assert all(len(text) <= 60 for text in texts(svg))
    width, height = (float(parse(svg).attrib[key].removesuffix("pt")) for key in ("width", "height"))
    assert 700 < width < 760
    assert 300 < height < 460
    svg = plots.threshold_shifts({-2: 3, 1: 4}, "int8")
    assert {"-2", "-1", "0", "+1"} <= {text.replace("−", "-") for text in texts(svg)}
