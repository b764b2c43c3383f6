"""How a spec grows with the number of device ranks, so that each keeps its work."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Literal

from lad_mpi.errors import SpecError
from lad_mpi.spec import set_dotted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from fractions import Fraction

Growth = Literal["samples", "dimension", "devices"]

#: What is multiplied, and the rule in words.
RULES: dict[str, tuple[tuple[str, ...], str]] = {
    "samples": (
        ("problem.samples_per_subset",),
        "samples a subset grow with the number of device ranks; N, Q and d stay",
    ),
    "dimension": (
        ("problem.dimension",),
        "the dimension Q grows with the number of device ranks; N, d and samples stay",
    ),
    "devices": (
        ("devices.count", "devices.byzantine", "devices.assumed_byzantine"),
        (
            "devices N and Byzantine ones f grow with the number of device ranks; Q, d and samples "
            "a subset stay"
        ),
    ),
}


def device_ranks(ranks: int) -> int:
    """Return how many ranks host devices: all but the server; the only one where there is one."""
    return max(1, ranks - 1)


def grow(spec: Mapping[str, Any], rule: Growth, factor: Fraction) -> dict[str, Any]:
    """Return a resolved spec that is ``factor`` times as much work.

    Parameters
    ----------
    spec : mapping
        Resolved, of the base case.
    rule : {"samples", "dimension", "devices"}
        What grows.
    factor : Fraction
        Device ranks over those of the base case.

    Raises
    ------
    SpecError
        The spec has no such value, or it would not be a whole number.
    """
    grown = copy.deepcopy(dict(spec))
    for number, key in enumerate(RULES[rule][0]):
        table, _, name = key.partition(".")
        value = spec[table].get(name)
        if value is None and number:
            continue
        if not isinstance(value, int):
            raise SpecError(
                key,
                f"is not set, so it cannot grow by grow = {rule!r}",
                hint="take another --grow, or a problem that has it",
            )
        product = value * factor
        if product.denominator != 1:
            raise SpecError(
                key,
                f"{value} times {factor} is not a whole number",
                hint="choose --ranks so that the device ranks (P − 1) are multiples of the "
                "smallest, or a spec whose value divides",
            )
        set_dotted(grown, key, int(product))
    return grown
