"""Pivot tables: a quantity over the values of any keys, with intervals over seeds."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis.keys import KeyTable, in_order
from analysis.statistics import Estimate, estimate_over
from analysis.text import some_of
from lad_mpi.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analysis.quantities import Quantity
    from lad_mpi.logs import RunLog

#: A key of columns: the first seed, the first two seeds, and so on.
SEEDS = "seeds"


@dataclass(frozen=True, slots=True)
class Reduction:
    """How runs that differ in more than their seeds become one number.

    Parameters
    ----------
    worst : str
        A key, such as ``attack``: take the value at which the quantity is worst.
    best : str
        A key, such as ``optimizer.step_size``: take the value that is best by ``best_by``.
    best_by : Quantity or None
        What chooses the best value. With ``worst``, its worst value counts.
    """

    worst: str = ""
    best: str = ""
    best_by: Quantity | None = None

    @property
    def keys(self) -> list[str]:
        """The keys that are not empty."""
        return [key for key in (self.worst, self.best) if key]


@dataclass(frozen=True, slots=True)
class Cell:
    """One number of a pivot table.

    Parameters
    ----------
    estimate : Estimate or None
        Over seeds; None if no run has the quantity.
    runs : tuple of RunLog
        The runs behind it.
    worst, best : str
        The values that the reduction took; empty without one.
    candidates : int
        Number of values that ``worst`` was taken from.
    """

    estimate: Estimate | None
    runs: tuple[RunLog, ...]
    worst: str = ""
    best: str = ""
    candidates: int = 1

    @property
    def median(self) -> float:
        """The median over seeds; NaN if no run has the quantity."""
        return math.nan if self.estimate is None else self.estimate.median


@dataclass(frozen=True, slots=True)
class Pivot:
    """A pivot table.

    Parameters
    ----------
    quantity : Quantity
        The quantity.
    rows, columns : tuple of str
        The keys.
    row_labels, column_labels : tuple of tuple of str
        Values of the keys, in order, each of the length of the keys.
    cells : dict
        Cells by row label and column label; combinations without runs are missing.
    notes : tuple of str
        Remarks for the reader.
    """

    quantity: Quantity
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    row_labels: tuple[tuple[str, ...], ...]
    column_labels: tuple[tuple[str, ...], ...]
    cells: dict[tuple[tuple[str, ...], tuple[str, ...]], Cell]
    notes: tuple[str, ...] = ()


def pivot(
    runs: Sequence[RunLog],
    quantity: Quantity,
    *,
    rows: Sequence[str],
    columns: Sequence[str] = (),
    reduction: Reduction | None = None,
) -> Pivot:
    """Tabulate a quantity over the values of keys.

    Parameters
    ----------
    runs : sequence of RunLog
        Complete runs.
    quantity : Quantity
        What is tabulated.
    rows, columns : sequence of str
        Keys of runs, see :class:`~analysis.keys.KeyTable`. The key ``seeds`` alone stands for
        the first seed, the first two seeds, and so on.
    reduction : Reduction, optional
        How runs of a cell that differ in more than their seeds become one number.

    Raises
    ------
    UsageError
        No run has one of the keys; or runs of a cell differ in a key that is not named.
    """
    reduction = reduction or Reduction()
    if SEEDS in (*rows, *reduction.keys):
        raise UsageError(f"the key {SEEDS!r} is only for columns", hint=f"--columns {SEEDS}")
    table = KeyTable(runs)
    table.check([key for key in (*rows, *columns, *reduction.keys) if key != SEEDS])
    if reduction.worst and not quantity.better:
        raise UsageError(f"neither direction of {quantity.name} is better, so none is the worst")
    groups: dict[tuple[tuple[str, ...], tuple[str, ...]], list[RunLog]] = defaultdict(list)
    for run in runs:
        row = tuple(table.label(run, key) for key in rows)
        for column in _columns_of(run, columns, table, runs):
            groups[row, column].append(run)
    cells = {place: _cell(group, quantity, reduction, table) for place, group in groups.items()}
    return Pivot(
        quantity,
        tuple(rows),
        tuple(columns),
        _sorted_labels([row for row, _ in cells], rows, runs, table),
        _sorted_labels([column for _, column in cells], columns, runs, table),
        cells,
        tuple(_notes(list(cells.values()), reduction)),
    )


def _columns_of(
    run: RunLog, columns: Sequence[str], table: KeyTable, runs: Sequence[RunLog]
) -> list[tuple[str, ...]]:
    if SEEDS not in columns:
        return [tuple(table.label(run, key) for key in columns)]
    if len(columns) > 1:
        raise UsageError(f"the key {SEEDS!r} cannot be combined with other columns")
    seeds = sorted({table.value(other, "seed") for other in runs})
    first = seeds.index(table.value(run, "seed")) + 1
    return [(str(count),) for count in range(first, len(seeds) + 1)]


def _sorted_labels(
    found: Sequence[tuple[str, ...]],
    keys: Sequence[str],
    runs: Sequence[RunLog],
    table: KeyTable,
) -> tuple[tuple[str, ...], ...]:
    places = []
    for number, key in enumerate(keys):
        if key == SEEDS:
            values = {label[number]: int(label[number]) for label in found}
        else:
            values = {table.label(run, key): table.value(run, key) for run in runs}
        places.append({label: place for place, label in enumerate(in_order(values))})
    unique = dict.fromkeys(found)
    return tuple(
        sorted(unique, key=lambda label: [at[part] for at, part in zip(places, label, strict=True)])
    )


def _cell(
    runs: Sequence[RunLog], quantity: Quantity, reduction: Reduction, table: KeyTable
) -> Cell:
    choices: dict[str, list[RunLog]] = defaultdict(list)
    for run in runs:
        choices[table.label(run, reduction.best) if reduction.best else ""].append(run)
    best = next(iter(choices))
    if len(choices) > 1 and reduction.best_by is not None:
        by = reduction.best_by
        scores = {
            label: by.sort_key(_worst(group, by, reduction.worst, table).median)
            for label, group in choices.items()
        }
        best = min(in_order(dict.fromkeys(scores)), key=lambda label: scores[label])
    cell = _worst(choices[best], quantity, reduction.worst, table)
    return Cell(
        cell.estimate,
        cell.runs,
        _named(reduction.worst, cell.worst),
        _named(reduction.best, best),
        cell.candidates,
    )


def _named(key: str, label: str) -> str:
    """Return a value with the last part of its key, if the value is a number."""
    return f"{key.rpartition('.')[2]}={label}" if label[:1].isdigit() else label


def _worst(runs: Sequence[RunLog], quantity: Quantity, key: str, table: KeyTable) -> Cell:
    groups: dict[str, list[RunLog]] = defaultdict(list)
    for run in runs:
        groups[table.label(run, key) if key else ""].append(run)
    cells = {
        label: Cell(_over_seeds(group, quantity, table), tuple(group), label, "", len(groups))
        for label, group in groups.items()
    }
    return max(cells.values(), key=lambda cell: quantity.sort_key(cell.median))


def _over_seeds(runs: Sequence[RunLog], quantity: Quantity, table: KeyTable) -> Estimate | None:
    others = [key for key in table.differing(runs, with_times=quantity.is_timed) if key != "seed"]
    if others:
        raise UsageError(
            f"runs of one cell differ in {some_of(others)}",
            hint="name these keys in --rows or --columns, choose values with --where, or reduce "
            "them with --worst or --best",
        )
    values: dict[int, list[float]] = defaultdict(list)
    for run in runs:
        if not math.isnan(value := quantity.measure(run)):
            values[table.value(run, "seed")].append(value)
    return estimate_over(values) if values else None


def _notes(cells: Sequence[Cell], reduction: Reduction) -> list[str]:
    said = []
    seeds = {len({run.spec.get("seed") for run in cell.runs}) for cell in cells}
    if len(seeds) > 1:
        said.append(f"cells have {min(seeds)} to {max(seeds)} seeds.")
    counts = {cell.candidates for cell in cells}
    if reduction.worst and len(counts) > 1:
        said.append(
            f"cells have {min(counts)} to {max(counts)} values of {reduction.worst}, so their "
            "worst cases cannot be compared."
        )
    if reduction.best and reduction.best_by is not None:
        said.append(f"{reduction.best} is chosen in each cell by {reduction.best_by.title}.")
    return said
