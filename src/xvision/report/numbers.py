"""Numbers as people read them, the same in the report and in every table."""

from __future__ import annotations

import math


def value(number: float | None) -> str:
    """A metric: two decimals, more for small values.

    >>> value(87.314), value(0.01234), value(None), value(float("nan"))
    ('87.31', '0.01234', '–', 'undefined')
    """
    if number is None:
        return "–"
    if math.isnan(number):
        return "undefined"
    return f"{number:.2f}" if abs(number) >= 1 or number == 0 else f"{number:.4g}"


def delta(before: float | None, after: float | None) -> str:
    """A difference with its sign.

    >>> delta(87.31, 87.25), delta(1.0, 1.0), delta(None, 1.0)
    ('−0.06', '0.00', '–')
    """
    if before is None or after is None or math.isnan(after - before):
        return "–"
    text = f"{after - before:+.2f}"
    return "0.00" if float(text) == 0 else text.replace("-", "−")


def count(number: float) -> str:
    """A large count with its prefix and three digits.

    >>> count(40_812_544), count(272_474), count(12), count(4_089_200_000)
    ('40.8 M', '272 k', '12', '4.09 G')
    """
    for factor, prefix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= factor:
            digits = 2 if number < 10 * factor else 1 if number < 100 * factor else 0
            return f"{number / factor:.{digits}f}{prefix}"
    return f"{number:.0f}"


def size_bytes(number: int) -> str:
    """A file size in units of 1000 bytes.

    >>> size_bytes(512), size_bytes(2_345_678)
    ('512 B', '2.35 MB')
    """
    return f"{count(number)}B" if number >= 1000 else f"{number} B"


def seconds(number: float) -> str:
    """A duration.

    >>> seconds(4.21), seconds(75), seconds(7265)
    ('4.2 s', '1 min 15 s', '2 h 1 min')
    """
    if number < 60:
        return f"{number:.1f} s"
    minutes = round(number) // 60
    return (
        f"{minutes} min {round(number) % 60} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
    )
