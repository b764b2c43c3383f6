"""Checks that the attacks share."""

from __future__ import annotations

import math

from lad_mpi.errors import ParameterError


def require_finite(parameter: str, value: float) -> None:
    """Refuse a number that is not finite.

    Raises
    ------
    ParameterError
        ``value`` is infinite or NaN.
    """
    if not math.isfinite(value):
        raise ParameterError(parameter, f"must be finite, not {value}")
