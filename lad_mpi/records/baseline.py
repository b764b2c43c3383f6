"""What a machine can do, measured in one allocation, and whether it changed since."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from statistics import median, quantiles
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import FailFast, Field, TypeAdapter

from lad_mpi.errors import UsageError, shown
from lad_mpi.records.files import Count, Line, NotNegative, read_record_as, write_record

if TYPE_CHECKING:
    from pathlib import Path


_KIND, _VERSION = "baseline", 1
#: Nothing that can be measured is less or greater, and no ratio of two overflows.
_Sample = Annotated[float, Field(ge=1e-30, le=1e30)]
#: Where a quantity is from that rank 0 measured while all others slept.
ALONE = "rank 0"


@dataclass(frozen=True, slots=True)
class Quantity:
    """One thing that was measured several times.

    Parameters
    ----------
    name : str
        ``"copy_each"``, ``"bcast"``, …
    unit : {"B/s", "flop/s", "s"}
        Of the samples.
    samples : tuple of float
        All of them, in the order in which they were taken; none is left out.
    size_bytes : int
        Working set, or bytes of a message; 0 where that means nothing.
    where : str
        Between or on which ranks, where it is not all of them.
    """

    name: Line
    unit: Annotated[str, Field(pattern="^(B/s|flop/s|s)$")]
    samples: Annotated[tuple[_Sample, ...], FailFast()]
    size_bytes: Annotated[int, Field(ge=0, lt=2**63)] = 0
    where: Line = ""

    def __post_init__(self) -> None:
        """Refuse what is no measurement."""
        if not self.samples or not all(math.isfinite(x) and x > 0 for x in self.samples):
            raise ValueError(f"{self.name}: samples must be positive and finite: {self.samples}")

    @property
    def key(self) -> tuple[str, int, str]:
        """What tells it from the other quantities of a baseline."""
        return self.name, self.size_bytes, self.where

    @property
    def median(self) -> float:
        """Median of the samples, in ``unit``."""
        return median(self.samples)

    @property
    def quartiles(self) -> tuple[float, float]:
        """First and third quartile of the samples; with two or fewer, least and greatest."""
        if len(self.samples) < 3:
            return min(self.samples), max(self.samples)
        low, _, high = quantiles(self.samples, n=4, method="inclusive")
        return low, high


@dataclass(frozen=True, slots=True)
class Baseline:
    """All quantities of one machine at one time.

    Parameters
    ----------
    date : str
        When it was begun, UTC, ISO 8601.
    quick : bool
        Whether fewer sizes and repetitions were taken.
    ranks : int
        P.
    oversubscribed : bool
        More threads than processors: such a baseline bounds nothing.
    machine : dict
        Facts of hosts, processors, libraries and the output's file system.
    quantities : tuple of Quantity
        What was measured.
    duration_s : float
        How long it took.
    """

    date: Line
    quick: bool
    ranks: Count
    oversubscribed: bool
    machine: dict[str, Any]
    quantities: Annotated[tuple[Quantity, ...], FailFast()]
    duration_s: NotNegative = 0.0

    def of(self, name: str, where: str | None = None) -> list[Quantity]:
        """Return the quantities of a name, by rising size."""
        found = [q for q in self.quantities if q.name == name and where in (None, q.where)]
        return sorted(found, key=lambda quantity: quantity.size_bytes)

    def at(self, name: str, size_bytes: float) -> float | None:
        """Return the median of a quantity at a size, between those that were measured.

        Parameters
        ----------
        name : str
            Of the quantity.
        size_bytes : float
            Working set or message.

        Returns
        -------
        float or None
            None where it was not measured at all.

        Notes
        -----
        Linear in the logarithms of size and value. Beyond the largest size a time
        grows in proportion and a rate stays; below the smallest both stay.
        """
        known = self.of(name)
        # No logarithm leads from a size that means nothing to another.
        known = [quantity for quantity in known if quantity.size_bytes] or known
        if not known:
            return None
        if size_bytes <= known[0].size_bytes:
            return known[0].median
        last = known[-1]
        if size_bytes >= last.size_bytes:
            grows = last.unit == "s" and last.size_bytes > 0
            return last.median * (size_bytes / last.size_bytes if grows else 1.0)
        above = next(i for i, quantity in enumerate(known) if quantity.size_bytes >= size_bytes)
        low, high = known[above - 1], known[above]
        share = math.log(size_bytes / low.size_bytes) / math.log(high.size_bytes / low.size_bytes)
        return float(low.median ** (1 - share) * high.median**share)


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Write a baseline as JSON, whole or not at all; medians stand beside all samples.

    Raises
    ------
    UsageError
        It cannot be written.
    """
    write_record(path, _KIND, _VERSION, to_plain(baseline))


def to_plain(baseline: Baseline) -> dict[str, Any]:
    """Return a baseline as plain values for JSON."""
    content = dataclasses.asdict(baseline)
    content["quantities"] = [
        {**dataclasses.asdict(quantity), "median": quantity.median}
        for quantity in baseline.quantities
    ]
    return content


def read_baseline(path: Path) -> Baseline:
    """Read a baseline.

    Raises
    ------
    UsageError, LogFormatError
        There is no such file, or it is none.
    """
    return read_record_as(path, _KIND, _VERSION, TypeAdapter(Baseline))


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
