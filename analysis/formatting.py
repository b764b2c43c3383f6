"""Numbers as text."""

from __future__ import annotations

import math

#: Stands where there is no number.
NOTHING = "–"

_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def significant(value: float, digits: int) -> str:
    """Write a number with so many significant digits.

    Examples
    --------
    >>> significant(12345.6, 4), significant(0.1, 3), significant(float("nan"), 3)
    ('1.235e+04', '0.100', '–')
    """
    return NOTHING if math.isnan(value) else f"{value:#.{digits}g}".rstrip(".")


def with_prefix(value: float) -> str:
    """Write a count with a decimal prefix.

    Examples
    --------
    >>> with_prefix(83200), with_prefix(12), with_prefix(2.5e6)
    ('83.2k', '12', '2.5M')
    """
    for factor, prefix in _PREFIXES:
        if value >= factor:
            return f"{value / factor:.3g}{prefix}"
    return f"{value:.3g}"
