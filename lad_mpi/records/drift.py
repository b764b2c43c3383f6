"""Whether a machine stayed the same from one baseline to the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lad_mpi.errors import UsageError, shown
from lad_mpi.records.baseline import ALONE

if TYPE_CHECKING:
    from lad_mpi.records.baseline import Baseline, Quantity

#: Change of a median that voids what was measured in between and rests on the quantity.
DRIFT_THRESHOLD = 0.15


@dataclass(frozen=True, slots=True)
class Drift:
    """A quantity that changed.

    Parameters
    ----------
    name, size_bytes, where
        As of :class:`~lad_mpi.records.Quantity`.
    before, after : float
        Medians.
    """

    name: str
    size_bytes: int
    where: str
    before: float
    after: float

    @property
    def key(self) -> tuple[str, int, str]:
        """What tells its quantity from the others of a baseline."""
        return self.name, self.size_bytes, self.where

    @property
    def change(self) -> float:
        """Relative change of the median, 0.2 for 20 % more."""
        return self.after / self.before - 1

    def __str__(self) -> str:
        at = f" at {self.size_bytes} bytes" if self.size_bytes else ""
        on = f" ({self.where})" if self.where else ""
        return f"{self.name}{at}{on} changed by {self.change:+.0%}"


def compare_baselines(
    before: Baseline, after: Baseline, *, threshold: float = DRIFT_THRESHOLD
) -> list[Drift]:
    """List the quantities that changed by more than a threshold and beyond their spread.

    Parameters
    ----------
    before, after : Baseline
        Of the same ranks on the same hosts.
    threshold : float
        Relative change of the median, in either direction.

    Returns
    -------
    list of Drift
        The greatest change first.

    Raises
    ------
    UsageError
        The two are of different machines or ranks, or of no common quantity.

    Notes
    -----
    A change is beyond the spread where the ranges between first and third
    quartile do not meet: a single slow sample moves neither. Of oversubscribed
    baselines only what rank 0 measured by itself is compared: the rest depends on
    how the system happens to share out processors.
    """
    for what in ("hosts", "cpu_model"):
        if before.machine.get(what) != after.machine.get(what):
            raise UsageError(
                f"the baselines are of different machines: {what} "
                f"{shown(before.machine.get(what))} and {shown(after.machine.get(what))}"
            )
    if before.ranks != after.ranks:
        raise UsageError(f"the baselines are of {before.ranks} and of {after.ranks} ranks")
    earlier = {quantity.key: quantity for quantity in before.quantities}
    crowded = before.oversubscribed or after.oversubscribed
    pairs = [
        (earlier[q.key], q)
        for q in after.quantities
        if q.key in earlier and (q.where == ALONE or not crowded)
    ]
    if not pairs:
        raise UsageError("the baselines have no quantity in common")
    found = [
        Drift(*old.key, old.median, new.median)
        for old, new in pairs
        if abs(new.median / old.median - 1) > threshold and _apart(old, new)
    ]
    return sorted(found, key=lambda drift: -abs(drift.change))


def _apart(one: Quantity, other: Quantity) -> bool:
    (low, high), (other_low, other_high) = one.quartiles, other.quartiles
    return high < other_low or other_high < low
