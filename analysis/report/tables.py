"""The tables of a report: texts for people, and numbers to sort by."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from analysis.marks import OVERSUBSCRIBED, mark
from analysis.metrics import meaning_of, title_of
from analysis.pivot import pivot
from analysis.quantities import parse_quantity
from analysis.text import NOTHING, interval_text, significant, with_prefix
from analysis.timing import COMMUNICATION
from lad_mpi.metrics.names import LOSS, UPLINK_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analysis.keys import KeyTable
    from analysis.quantities import Quantity
    from analysis.runs import Collection
    from analysis.statistics import Estimate
    from analysis.summary import Summary, TimeSummary
    from lad_mpi.logs import RunLog
    from lad_mpi.types import Metric

_MS = 1e3
#: A phase has a column if it takes this share of any iteration.
_LEAST_SHARE = 0.001
_SHADES = 5
#: Costs of each run.
_COSTS = ("iteration_s", "training_s", UPLINK_BYTES)


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table.

    Parameters
    ----------
    text : str
        What it says.
    note : str
        A second, smaller text, such as an interval.
    value : float or None
        The number to sort by; None for texts, which are sorted in natural order. NaN comes
        last in both directions.
    shade : int
        From 1 for the worst cells of a table to 5 for the best; 0 for no shade.
    """

    text: str
    note: str = ""
    value: float | None = None
    shade: int = 0


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its title, what it means, and whether it has numbers."""

    title: str
    meaning: str = ""
    numeric: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """A table, whose first column names the rows.

    Parameters
    ----------
    id : str
        Its name within the page.
    caption : str
        Its title.
    columns : tuple of Column
        The columns.
    rows : tuple of tuple of Cell
        The cells, row by row.
    command : str
        The command that prints the same numbers.
    group : str
        A title above all columns but the first.
    note : str
        A remark below the table.
    """

    id: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    command: str
    group: str = ""
    note: str = ""


_MISSING = Cell(NOTHING, value=math.nan)


def varying_keys(table: KeyTable, runs: Sequence[RunLog], *, with_times: bool = False) -> list[str]:
    """Return the keys in which runs differ, without seeds and names.

    If the kinds of a component differ, its table stands for all of its parameters.

    Parameters
    ----------
    table : KeyTable
        The values of the runs.
    runs : sequence of RunLog
        The runs.
    with_times : bool
        Whether to include keys that change times only.
    """
    differing = table.differing(runs, with_times=with_times)
    mixed = {key.rpartition(".")[0] for key in differing if key.endswith((".kind", ".pre"))}
    return list(dict.fromkeys(_owner(key, mixed) for key in differing if key != "seed"))


def methods_table(
    rows: Sequence[Summary], collection: Collection, keys: KeyTable, command: str
) -> Table:
    """Return the errors of every method, with intervals over seeds."""
    runs = {method.label: method.runs[0] for method in collection.methods}
    varying = varying_keys(keys, collection.runs)
    metrics = [found.metric for found in rows[0].metrics]
    # Columns without any value are left out.
    compared = any(row.reference for row in rows)
    dispersed = any(row.dispersion_ratio for row in rows)
    columns = [
        Column("method", numeric=False),
        Column("seeds"),
        Column("final loss", "training loss of the final model; lower is better"),
        *([Column("× exact", "final loss over that of exact recovery")] * compared),
        *(column for metric in metrics for column in _metric_columns(metric, compared=compared)),
        *([Column("dispersion", "of honest messages: measured over predicted")] * dispersed),
        *(_key_column(key, keys, collection.runs) for key in varying),
    ]
    body = [
        (
            Cell(row.label),
            _count(row.seeds),
            _estimate(row.final_loss),
            *([_estimate(row.ratio_to_exact)] * compared),
            *(
                cell
                for found in row.metrics
                for cell in (
                    _estimate(found.final),
                    _estimate(found.best),
                    *([_estimate(found.minus_exact)] * compared),
                )
            ),
            *([_estimate(row.dispersion_ratio)] * dispersed),
            *(_key_cell(key, keys, runs[row.label]) for key in varying),
        )
        for row in rows
    ]
    return Table("methods", "Errors of each method", tuple(columns), tuple(body), command)


def costs_table(rows: Sequence[Summary], command: str) -> Table:
    """Return the time and traffic of an iteration, for each method and its conditions."""
    times = [(row, time) for row in rows for time in row.times]
    phases = dict.fromkeys(
        name
        for _, time in times
        for name, part in time.phases.items()
        if part.median > _LEAST_SHARE * time.seconds.median
    )
    ordered = sorted(phases, key=COMMUNICATION.__eq__)
    columns = [
        Column("method", numeric=False),
        Column("ranks"),
        Column("launches"),
        Column("iteration (ms)", "training time of an iteration, median after warm-up"),
        *(Column(f"{name} (ms)", "on the slowest rank") for name in ordered),
        Column("uplink (B)", "bytes from all devices to the server in an iteration"),
        Column("downlink (B)", "bytes from the server to the devices in an iteration"),
        Column("gradients", "subset gradients of all devices in an iteration"),
    ]
    body = [
        (
            Cell(time.label, _conditions(time)),
            _count(time.conditions.ranks),
            _count(time.launches),
            _estimate(time.seconds, _MS, mark(time.conditions)),
            *(
                _number(_MS * time.phases[name].median if name in time.phases else math.nan, 3)
                for name in ordered
            ),
            _bytes(row.uplink_bytes),
            _bytes(row.downlink_bytes),
            _MISSING if row.gradients is None else _count(row.gradients),
        )
        for row, time in times
    ]
    return Table("costs", "Costs of an iteration", tuple(columns), tuple(body), command)


def runs_table(
    collection: Collection, keys: KeyTable, metrics: Sequence[Metric], command: str
) -> Table:
    """Return every run, and every log that was left out."""
    runs = collection.runs
    varying = varying_keys(keys, runs, with_times=True)
    names = [*(metric.name for metric in metrics), *_COSTS]
    quantities = [parse_quantity(name, runs) for name in names]
    columns = [
        Column("log", numeric=False),
        Column("name", numeric=False),
        Column("seed"),
        *(_key_column(key, keys, runs) for key in varying),
        Column("status", numeric=False),
        *(Column(_with_units(quantity)) for quantity in quantities),
        Column("host", numeric=False),
    ]
    body = [
        (
            Cell(run.path.name),
            Cell(" / ".join(run.names)),
            _count(run.spec.get("seed", 0)),
            *(_key_cell(key, keys, run) for key in varying),
            Cell(run.status),
            *(_number(quantity.measure(run), 4) for quantity in quantities),
            Cell(", ".join(dict.fromkeys(run.provenance.get("hosts", ()))) or NOTHING),
        )
        for run in runs
    ]
    unknown = (_MISSING,) * (len(quantities) + 1)
    body += [
        (
            Cell(log.path.name),
            Cell(log.name or NOTHING),
            _MISSING if log.seed is None else _count(log.seed),
            *(Cell(NOTHING) for _ in varying),
            Cell(log.status, log.reason),
            *unknown,
        )
        for log in collection.excluded
    ]
    command += f" --rows {','.join([*varying, 'seed'])} --value {' --value '.join(names)}"
    return Table("runs", "All runs", tuple(columns), tuple(body), command)


def pivot_table(
    runs: Sequence[RunLog], keys: KeyTable, metrics: Sequence[Metric], command: str
) -> Table | None:
    """Return the last metric over the keys that vary; None if fewer than two vary.

    The key with the most values has the columns, and all others have the rows.
    """
    varying = varying_keys(keys, runs)
    if len(varying) < 2:
        return None
    values = {key: len({keys.label(run, key) for run in runs}) for key in varying}
    across = max(varying, key=lambda key: values[key])
    down = [key for key in varying if key != across]
    name = metrics[-1].name if metrics else LOSS
    quantity = parse_quantity(name, runs)
    found = pivot(runs, quantity, rows=down, columns=[across])
    columns = [
        Column(", ".join(down), numeric=False),
        *(Column(label) for (label,) in found.column_labels),
    ]
    shades = _shades(quantity, [cell.median for cell in found.cells.values()])
    body = [
        (
            Cell(", ".join(row)),
            *(
                replace(_estimate(cell.estimate), shade=shades.get(cell.median, 0))
                if (cell := found.cells.get((row, column)))
                else _MISSING
                for column in found.column_labels
            ),
        )
        for row in found.row_labels
    ]
    darker = "The stronger the colour of a cell, the better its value." if shades else ""
    words = f"--rows {','.join(down)} --columns {across} --value {name}"
    caption = f"Final {quantity.title} by {', '.join(down)} and {across}"
    return Table(
        "pivot", caption, tuple(columns), tuple(body), f"{command} {words}", across,
        " ".join([darker, *found.notes]),
    )  # fmt: skip


def _shades(quantity: Quantity, values: Sequence[float]) -> dict[float, int]:
    """Return the shade of each value, by its place among all."""
    if not quantity.better:
        return {}
    known = sorted({v for v in values if math.isfinite(v)}, key=quantity.sort_key, reverse=True)
    return {value: 1 + place * _SHADES // len(known) for place, value in enumerate(known)}


def _owner(key: str, mixed: set[str]) -> str:
    table = key.rpartition(".")[0]
    return table if table in mixed else key


def _key_column(key: str, keys: KeyTable, runs: Sequence[RunLog]) -> Column:
    numeric = all(isinstance(keys.value(run, key), (int, float)) for run in runs)
    return Column(key, "key of the spec", numeric=numeric)


def _key_cell(key: str, keys: KeyTable, run: RunLog) -> Cell:
    value = keys.value(run, key)
    number = float(value) if isinstance(value, (int, float)) else None
    return Cell(keys.label(run, key), value=number)


def _metric_columns(metric: Metric, *, compared: bool) -> list[Column]:
    title, meaning = title_of(metric), meaning_of(metric)
    columns = [
        Column(title, f"of the final model: {meaning}"),
        Column(f"best {title}", f"of all evaluations: {meaning}"),
    ]
    return [*columns, Column(f"{title} − exact", "minus exact recovery")] if compared else columns


def _with_units(quantity: Quantity) -> str:
    return quantity.title + (f" ({quantity.units})" if quantity.units != "1" else "")


def _conditions(time: TimeSummary) -> str:
    made = time.conditions
    facts = {
        f"{OVERSUBSCRIBED} oversubscribed": made.oversubscribed,
        "shared compute": made.shared_compute,
        f"emulated network {made.emulated_network}": bool(made.emulated_network),
        "only warm-up": not time.warm,
    }
    return ", ".join(text for text, applies in facts.items() if applies)


def _estimate(found: Estimate | None, factor: float = 1.0, suffix: str = "") -> Cell:
    if found is None:
        return _MISSING
    low, high, median = factor * found.low, factor * found.high, factor * found.median
    alone = found.count == 1
    note = "" if alone else interval_text(low, high, 4, certain=found.coverage is not None)
    return Cell(significant(median, 4) + suffix, note, median)


def _number(value: float, digits: int) -> Cell:
    return Cell(significant(value, digits), value=value)


def _count(value: int) -> Cell:
    return Cell(str(value), value=value)


def _bytes(value: float) -> Cell:
    return Cell(with_prefix(value), value=value)
