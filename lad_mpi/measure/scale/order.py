"""In which order launches run: random, reproducible, and fair to all cases."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lad_mpi.records import Case


@dataclass(frozen=True, slots=True)
class Planned:
    """A launch that is to be made.

    Parameters
    ----------
    case : Case
        What is launched.
    number : int
        Which launch of the case, from 1.
    position : int
        Place in the order, from 1.
    """

    case: Case
    number: int
    position: int

    @property
    def log(self) -> str:
        """Its log, relative to the study's folder."""
        return f"logs/{self.case.name}-{self.number}.h5"


def planned_launches(cases: Iterable[Case], launches: int, seed: int) -> list[Planned]:
    """Put all launches in order.

    Parameters
    ----------
    cases : iterable of Case
        What is launched.
    launches : int
        Of each.
    seed : int
        Of the order.

    Returns
    -------
    list of Planned

    Notes
    -----
    In rounds: every case is launched once a round, in an order of the round's own, so
    that a machine that changes slowly changes for all cases alike. The order within a round
    is that of SHA-256 of (seed, round, case), so that it needs no generator and more
    rounds leave the earlier ones as they were.
    """
    chosen = list(cases)
    ordered = []
    for number in range(1, launches + 1):
        key = {case.name: _draw(seed, number, case.name) for case in chosen}
        ordered += [(case, number) for case in sorted(chosen, key=lambda case: key[case.name])]
    return [Planned(case, number, at) for at, (case, number) in enumerate(ordered, start=1)]


def _draw(seed: int, number: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed} {number} {name}".encode()).digest()
