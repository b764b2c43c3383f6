"""Figures of merit as lines for scripts, Ramble and ReFrame."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lad_mpi.errors import UsageError
from lad_mpi.metrics.names import DOWNLINK_BYTES, LOSS, UPLINK_BYTES
from lad_mpi.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from analysis.pivot import Pivot
    from analysis.summary import Summary

#: What separates the fields of a line, or a method from its quantity.
_SEPARATORS = re.compile(r"[\s/]+")


@dataclass(frozen=True, slots=True)
class Fom:
    """A figure of merit.

    Parameters
    ----------
    method, quantity : str
        What was measured.
    value : float
        The median over seeds, or over launches for times.
    unit : str
        Unit of the value; ``"1"`` if it has none.
    """

    method: str
    quantity: str
    value: float
    unit: str

    def __str__(self) -> str:
        """Return the line: ``FOM <method>/<quantity> <value> <unit>``.

        The value has full precision. Blanks and slashes in a name become underscores.

        Examples
        --------
        >>> print(Fom("LAD d=10", "iteration_s", 0.00125, "s"))
        FOM LAD_d=10/iteration_s 0.00125 s
        """
        unit = _word(self.unit)
        return f"FOM {_word(self.method)}/{_word(self.quantity)} {float(self.value)!r} {unit}"


def of_methods(rows: Sequence[Summary]) -> list[Fom]:
    """Return the figures of merit of all methods.

    A quantity that is not known for every seed of a method is left out.
    """
    return [fom for row in rows for fom in _of_method(row)]


def of_pivots(pivots: Sequence[Pivot]) -> list[Fom]:
    """Return the cells of pivot tables; the keys and values of a cell stand for the method."""
    found = []
    for pivot in pivots:
        keys = (*pivot.rows, *pivot.columns)
        for (row, column), cell in pivot.cells.items():
            pairs = zip(keys, (*row, *column), strict=True)
            label = ",".join(value if key == "name" else f"{key}={value}" for key, value in pairs)
            if cell.estimate is not None:
                quantity = pivot.quantity
                found.append(Fom(label, quantity.name, cell.estimate.median, quantity.units or "1"))
    return found


def to_lines(foms: Sequence[Fom]) -> str:
    """Return the lines of figures of merit.

    Raises
    ------
    UsageError
        Two methods would have the same name in the lines.
    """
    named: dict[str, str] = {}
    for method in dict.fromkeys(fom.method for fom in foms):
        other = named.setdefault(_word(method), method)
        if other != method:
            raise UsageError(
                f"{other!r} and {method!r} would both be {_word(method)!r} in FOM lines",
                hint="rename one of them in the study, or name fewer logs",
            )
    return "".join(f"{fom}\n" for fom in foms)


def _of_method(row: Summary) -> Iterator[Fom]:
    yield Fom(row.label, LOSS, row.final_loss.median, "1")
    for summary in row.metrics:
        if summary.final is not None:
            metric = summary.metric
            yield Fom(row.label, metric.name, summary.final.median, metric.units or "1")
    yield Fom(row.label, UPLINK_BYTES, row.uplink_bytes, "B")
    yield Fom(row.label, DOWNLINK_BYTES, row.downlink_bytes, "B")
    if row.gradients is not None:
        yield Fom(row.label, "gradients", float(row.gradients), "1")
    for time in row.times:
        yield Fom(time.label, "iteration_s", time.seconds.median, "s")
        for phase, part in time.phases.items():
            yield Fom(time.label, f"{phase}_s", part.median, "s")


def _word(text: str) -> str:
    return _SEPARATORS.sub("_", one_line(text).strip())
