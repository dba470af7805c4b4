"""What the report says of where one quantization of a network loses its signal, and what was done about it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from xvision.quant.findings import (
    OutlierChannel,
    RangeConflict,
    Sensitivity,
    SiteSensitivity,
    noise_ratio,
    signal_db,
)
from xvision.report import numbers, plots
from xvision.runs.record import Quantization, RungRow

WEAKEST = 3  # layers that are named
MOST_BARS = 20  # places beside each other
MOST_ROWS = 8  # of channels and of conflicts


@dataclass(frozen=True)
class WhereLost:
    """Of one quantization, by its name; what is not known of it is empty."""

    name: str
    found: Quantization

    @cached_property
    def weakest(self) -> list[tuple[str, float]]:
        """The layers whose outputs have the most quantization noise."""
        ordered = sorted(self.found.layers.items(), key=lambda item: item[1].sqnr_db)
        return [(name, layer.sqnr_db) for name, layer in ordered[:WEAKEST]]

    @cached_property
    def layer_plot(self) -> str | None:
        names = list(self.found.layers)
        if not names:
            return None
        db = [layer.sqnr_db for layer in self.found.layers.values()]
        return plots.layer_sqnr(db, [names.index(name) for name, _ in self.weakest], self.name)

    @property
    def wide_layers(self) -> list[tuple[str, str]]:
        """Layers whose sums float32 does not hold exactly, and the bits that hold them."""
        return [(name, f"2^{bound.bit_length()}") for name, bound in self.found.wide_layers.items()]

    @property
    def judged(self) -> bool:
        """Whether rungs were judged by the primary metric too."""
        return any(rung.drop is not None for rung in self.found.rungs)

    @staticmethod
    def drop(rung: RungRow) -> str:
        """What is lost of the primary metric, with its standard error."""
        if rung.drop is None:
            return ""
        error = "" if rung.standard_error is None else f" ± {rung.standard_error:.2f}"
        return f"{rung.drop:.2f}{error}"

    # ------------------------------------------------------------------------------------------- training

    @cached_property
    def moved(self) -> list[tuple[str, float]]:
        """Scales that training has moved, the farthest first, in powers of two."""
        shifts = self.found.threshold_shifts
        return sorted(((n, s) for n, s in shifts.items() if round(s)), key=lambda item: -abs(item[1]))

    @cached_property
    def shift_plot(self) -> str | None:
        counts = Counter(round(shift) for shift in self.found.threshold_shifts.values())
        return plots.threshold_shifts(counts, self.name) if counts else None

    # ------------------------------------------------------------------------------------------- sensitivity

    @property
    def sensitivity(self) -> Sensitivity | None:
        return self.found.sensitivity

    @cached_property
    def sensitivity_plot(self) -> str | None:
        found = self.sensitivity
        if found is None or not found.total:
            return None
        rows = [
            (one.name, one.kind, 100 * found.share(one), f"{signal_db(one.noise):.0f} dB alone")
            for one in found.worst[:MOST_BARS]
        ]
        return plots.noise_shares(rows, self.name)

    @cached_property
    def sites(self) -> list[tuple[SiteSensitivity, list[str]]]:
        """Every place that rounds, that of most noise first, with the figures of its row."""
        found = self.sensitivity
        return [(site, self._figures(found, site)) for site in found.worst] if found else []

    def _figures(self, found: Sensitivity, site: SiteSensitivity) -> list[str]:
        share = f"{100 * found.share(site):.1f} %"
        db = [f"{signal_db(site.noise):.1f}", f"{signal_db(noise_ratio(site.without_db)):.1f}"]
        if found.metric:
            db += [numbers.value(site.alone_metric), numbers.value(site.without_metric)]
        return [share, *db]

    @property
    def outliers(self) -> tuple[OutlierChannel, ...]:
        return self.sensitivity.outliers[:MOST_ROWS] if self.sensitivity else ()

    @property
    def conflicts(self) -> tuple[RangeConflict, ...]:
        return self.sensitivity.conflicts[:MOST_ROWS] if self.sensitivity else ()
