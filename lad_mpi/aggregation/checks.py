"""Checks of parameters that several rules share."""

from __future__ import annotations

from lad_mpi.errors import ParameterError


def check_at_least(parameter: str, value: int, least: int) -> None:
    """Refuse a count below ``least``.

    Raises
    ------
    ParameterError
        The value is too small.
    """
    if value < least:
        raise ParameterError(parameter, f"must be at least {least}, not {value}")
