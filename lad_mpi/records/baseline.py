"""What a machine can do, measured in one allocation, and whether it changed since."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from statistics import median, quantiles
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import FailFast, Field, TypeAdapter

from lad_mpi.errors import UsageError, shown
from lad_mpi.parameters import Count
from lad_mpi.records.files import (
    NonNegativeFloat,
    TextLine,
    read_record_as,
    write_record,
)

if TYPE_CHECKING:
    from pathlib import Path


_KIND, _VERSION = "baseline", 1
#: Wider than any measurement, and such that no ratio of two overflows.
_Sample = Annotated[float, Field(ge=1e-30, le=1e30)]
#: ``where`` of a quantity that rank 0 measured while all others slept.
ALONE = "rank 0"


@dataclass(frozen=True, slots=True)
class Quantity:
    """A quantity that was measured several times.

    Parameters
    ----------
    name : str
        ``"copy_each"``, ``"bcast"``, …
    unit : {"B/s", "flop/s", "s"}
        Unit of the samples.
    samples : tuple of float
        All samples, in the order in which they were taken.
    size_bytes : int
        Size of the working set or message; 0 if it has none.
    where : str
        The ranks; empty for all ranks.
    """

    name: TextLine
    unit: Annotated[str, Field(pattern="^(B/s|flop/s|s)$")]
    samples: Annotated[tuple[_Sample, ...], FailFast()]
    size_bytes: Annotated[int, Field(ge=0, lt=2**63)] = 0
    where: TextLine = ""

    def __post_init__(self) -> None:
        """Refuse invalid samples."""
        if not self.samples or not all(math.isfinite(x) and x > 0 for x in self.samples):
            raise ValueError(f"{self.name}: samples must be positive and finite: {self.samples}")

    @property
    def key(self) -> tuple[str, int, str]:
        """Name, size and ranks, which identify the quantity in a baseline."""
        return self.name, self.size_bytes, self.where

    @property
    def median(self) -> float:
        """Median of the samples, in ``unit``."""
        return median(self.samples)

    @property
    def quartiles(self) -> tuple[float, float]:
        """First and third quartile of the samples; minimum and maximum of fewer than three."""
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
        Start of the measurement in UTC, ISO 8601.
    quick : bool
        Whether it used fewer sizes and repetitions.
    ranks : int
        P.
    oversubscribed : bool
        Whether there were more threads than processors. No bounds are derived then.
    machine : dict
        Facts about hosts, processors, libraries and the file system of the output.
    quantities : tuple of Quantity
        The measured quantities.
    duration_s : float
        Duration in seconds.
    """

    date: TextLine
    quick: bool
    ranks: Count
    oversubscribed: bool
    machine: dict[str, Any]
    quantities: Annotated[tuple[Quantity, ...], FailFast()]
    duration_s: NonNegativeFloat = 0.0

    def of(self, name: str, where: str | None = None) -> list[Quantity]:
        """Return the quantities with this name, by ascending size."""
        found = [q for q in self.quantities if q.name == name and where in (None, q.where)]
        return sorted(found, key=lambda quantity: quantity.size_bytes)

    def at(self, name: str, size_bytes: float) -> float | None:
        """Interpolate the median of a quantity at a size.

        Parameters
        ----------
        name : str
            Name of the quantity.
        size_bytes : float
            Size of the working set or message.

        Returns
        -------
        float or None
            The value in the unit of the quantity; None if it was not measured.

        Notes
        -----
        Interpolation is linear in the logarithms of size and value. Above the largest
        measured size a time grows in proportion to the size, and a rate is constant. Below
        the smallest size both are constant.
        """
        known = self.of(name)
        # A size of 0 has no logarithm.
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
    """Write a baseline as JSON, with all samples and their medians.

    Raises
    ------
    UsageError
        The file cannot be written.
    """
    write_record(path, _KIND, _VERSION, to_plain(baseline))


def to_plain(baseline: Baseline) -> dict[str, Any]:
    """Return a baseline as a dictionary for JSON."""
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
        There is no such file, or it is not a baseline.
    """
    return read_record_as(path, _KIND, _VERSION, TypeAdapter(Baseline))


#: Relative change of a median between two baselines that counts as drift.
DRIFT_THRESHOLD = 0.15


@dataclass(frozen=True, slots=True)
class Drift:
    """A quantity that changed between two baselines.

    Parameters
    ----------
    name, size_bytes, where
        As in :class:`~lad_mpi.records.Quantity`.
    before, after : float
        Medians, in the unit of the quantity.
    """

    name: str
    size_bytes: int
    where: str
    before: float
    after: float

    @property
    def key(self) -> tuple[str, int, str]:
        """Name, size and ranks of the quantity."""
        return self.name, self.size_bytes, self.where

    @property
    def change(self) -> float:
        """Relative change of the median; 0.2 means 20 % more."""
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
        Baselines of the same ranks on the same hosts.
    threshold : float
        Relative change of the median, in either direction.

    Returns
    -------
    list of Drift
        The largest change first.

    Raises
    ------
    UsageError
        The machines or ranks differ, or there is no common quantity.

    Notes
    -----
    A change is beyond the spread if the ranges between first and third quartile do not
    overlap, so that a single slow sample is not a drift. If a baseline was oversubscribed,
    only the quantities that rank 0 measured alone are compared. The others depend on how
    the operating system shares out the processors.
    """
    for what in ("hosts", "cpu_model"):
        if before.machine.get(what) != after.machine.get(what):
            raise UsageError(
                f"the baselines are of different machines: {what} "
                f"{shown(before.machine.get(what))} and {shown(after.machine.get(what))}",
                hint="compare with a baseline of this machine",
            )
    if before.ranks != after.ranks:
        raise UsageError(
            f"the baselines are of {before.ranks} and {after.ranks} ranks, and cannot be compared",
            hint=f"measure again on {before.ranks} ranks",
        )
    earlier = {quantity.key: quantity for quantity in before.quantities}
    crowded = before.oversubscribed or after.oversubscribed
    pairs = [
        (earlier[q.key], q)
        for q in after.quantities
        if q.key in earlier and (q.where == ALONE or not crowded)
    ]
    if not pairs:
        raise UsageError(
            "the baselines have no quantity in common, and cannot be compared",
            hint="measure both with the same options; give each rank its own processor",
        )
    found = [
        Drift(*old.key, old.median, new.median)
        for old, new in pairs
        if abs(new.median / old.median - 1) > threshold and _apart(old, new)
    ]
    return sorted(found, key=lambda drift: -abs(drift.change))


def _apart(one: Quantity, other: Quantity) -> bool:
    (low, high), (other_low, other_high) = one.quartiles, other.quartiles
    return high < other_low or other_high < low
