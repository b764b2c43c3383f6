"""Pivot tables as text, Markdown, LaTeX, CSV and JSON."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analysis.export import csv_text, json_text
from analysis.facts import conditions_of, launches_of
from analysis.layout import make_table, print_left_out, print_lines
from analysis.marks import OVERSUBSCRIBED_NOTE, time_notes
from analysis.statistics import CONFIDENCE, least_count
from analysis.text import NOTHING, interval_text, significant
from lad_mpi.text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analysis.pivot import Cell, Pivot
    from analysis.runs import Collection

_DIGITS, _INTERVAL_DIGITS = 4, 3
#: Shown for a target that is not reached.
NEVER = "never"


@dataclass(frozen=True, slots=True)
class Grid:
    """A table of cells with a title, a name for each row, and a title for each column."""

    title: str
    titles: tuple[str, ...]
    names: tuple[str, ...]
    cells: tuple[tuple[Cell | None, ...], ...]


def lay_out(pivots: Sequence[Pivot]) -> list[Grid]:
    """Return a grid for each pivot; one grid of all quantities if the pivots have no columns."""
    first = pivots[0]
    names = tuple(", ".join(label) or "all runs" for label in first.row_labels)
    corner = ", ".join(first.rows)
    if not first.columns:
        columns = tuple(_with_units(found) for found in pivots)
        cells = tuple(
            tuple(found.cells.get((row, ())) for found in pivots) for row in first.row_labels
        )
        return [Grid("Medians over seeds", (corner, *columns), names, cells)]
    by = ", ".join(first.columns)
    return [
        Grid(
            f"{_with_units(found)}, median over seeds, by {by}".capitalize(),
            (corner, *(", ".join(label) for label in found.column_labels)),
            tuple(", ".join(label) or "all runs" for label in found.row_labels),
            tuple(
                tuple(found.cells.get((row, column)) for column in found.column_labels)
                for row in found.row_labels
            ),
        )
        for found in pivots
    ]


def print_grids(pivots: Sequence[Pivot], collection: Collection) -> None:
    """Print grids on a terminal of any width, with the interval below each number."""
    from lad_mpi.console import open_console  # noqa: PLC0415  (other formats do not need it)

    console = open_console()
    for grid in lay_out(pivots):
        body = []
        for name, cells in zip(grid.names, grid.cells, strict=True):
            lines = [_lines(cell) for cell in cells]
            for number in range(max(map(len, lines))):
                texts = [line[number] if number < len(line) else "" for line in lines]
                body.append((name if number == 0 else "", *texts))
        console.print(make_table(grid.title, grid.titles, body))
        console.print()
    print_lines(console, [*notes_of(pivots), *collection.doubts])
    print_left_out(console, collection.describe_excluded())


def to_markdown(pivots: Sequence[Pivot]) -> str:
    """Return grids as Markdown tables, with notes below."""
    parts = []
    for grid in lay_out(pivots):
        rows = [grid.titles, *_text_rows(grid)]
        lines = [" | ".join(_markdown(cell) for cell in row) for row in rows]
        rule = " | ".join(["---", *["---:"] * (len(grid.titles) - 1)])
        table = "\n".join(f"| {line} |" for line in (lines[0], rule, *lines[1:]))
        parts.append(f"**{_markdown(grid.title)}**\n\n{table}\n")
    notes = "".join(f"- {_markdown(note)}\n" for note in notes_of(pivots))
    return "\n".join([*parts, notes])


def to_latex(pivots: Sequence[Pivot]) -> str:
    """Return grids as LaTeX tables for the package ``booktabs``."""
    parts = []
    for grid in lay_out(pivots):
        rows = [" & ".join(map(_latex, row)) + r" \\" for row in (grid.titles, *_text_rows(grid))]
        parts += [
            rf"\begin{{tabular}}{{l{'r' * (len(grid.titles) - 1)}}}",
            rf"\multicolumn{{{len(grid.titles)}}}{{l}}{{{_latex(grid.title)}}} \\",
            r"\toprule",
            rows[0],
            r"\midrule",
            *rows[1:],
            r"\bottomrule",
            r"\end{tabular}",
        ]
    return "\n".join([*parts, *(f"% {one_line(note)}" for note in notes_of(pivots)), ""])


def to_json(pivots: Sequence[Pivot], collection: Collection) -> str:
    """Return the cells as JSON records with full precision; NaN and infinity become null."""
    document = {
        "notes": [*notes_of(pivots), *collection.doubts],
        "left_out": collection.describe_excluded(),
        "records": records(pivots),
    }
    return json_text(document)


def to_csv(pivots: Sequence[Pivot]) -> str:
    """Return the cells as CSV records with full precision."""
    return csv_text(records(pivots))


def records(pivots: Sequence[Pivot]) -> list[dict[str, Any]]:
    """Return a record for every cell, with full precision."""
    found = []
    for pivot in pivots:
        for (row, column), cell in pivot.cells.items():
            keys = dict(zip((*pivot.rows, *pivot.columns), (*row, *column), strict=True))
            estimate = cell.estimate
            found.append(
                {
                    **keys,
                    "quantity": pivot.quantity.name,
                    "units": pivot.quantity.units,
                    "median": None if estimate is None else estimate.median,
                    "low": None if estimate is None else estimate.low,
                    "high": None if estimate is None else estimate.high,
                    "coverage": None if estimate is None else estimate.coverage,
                    "seeds": len({run.spec["seed"] for run in cell.runs}),
                    "runs": len(cell.runs),
                    "worst": cell.worst or None,
                    "best": cell.best or None,
                }
            )
    return found


def notes_of(pivots: Sequence[Pivot]) -> list[str]:
    """Explain how to read the numbers."""
    cells = [cell for pivot in pivots for cell in pivot.cells.values()]
    estimates = [cell.estimate for cell in cells if cell.estimate is not None]
    said = list(dict.fromkeys(note for pivot in pivots for note in pivot.notes))
    if any(estimate.coverage is not None for estimate in estimates):
        said.append(f"[low, high]: interval of the median over seeds, {CONFIDENCE:.0%} or more.")
    if any(estimate.coverage is None and estimate.count > 1 for estimate in estimates):
        said.append(
            f"(least … greatest): fewer than {least_count()} values, too few for an interval."
        )
    if any(math.isinf(estimate.median) for estimate in estimates):
        said.append(f"{NEVER}: at least half of the seeds do not reach the target.")
    if any(pivot.quantity.is_timed for pivot in pivots):
        runs = {run.uuid: run for cell in cells for run in cell.runs}.values()
        timed = [conditions_of(run, launch) for run in runs for launch in launches_of(run)]
        if any(conditions.oversubscribed for conditions in timed):
            said.append(f"{OVERSUBSCRIBED_NOTE}.")
        said += [f"{note}." for note in time_notes(timed).values()]
        if len({conditions.machine for conditions in timed}) > 1:
            said.append("times come from different machines and cannot be compared.")
    return said


def value_text(value: float) -> str:
    """Write the value of a quantity."""
    return NEVER if math.isinf(value) else significant(value, _DIGITS)


def _with_units(pivot: Pivot) -> str:
    units = "" if pivot.quantity.units == "1" else f" / {pivot.quantity.units}"
    return f"{pivot.quantity.title}{units}"


def _lines(cell: Cell | None) -> list[str]:
    """Return the value, its interval, and the values that a reduction took."""
    if cell is None or cell.estimate is None:
        return [NOTHING]
    found, lines = cell.estimate, [value_text(cell.median)]
    if found.count > 1 and found.low != found.high:
        certain = found.coverage is not None
        lines.append(interval_text(found.low, found.high, _INTERVAL_DIGITS, certain=certain))
    return lines + [text for text in (cell.worst, cell.best) if text]


def _text_rows(grid: Grid) -> list[tuple[str, ...]]:
    return [
        (name, *(" ".join(_lines(cell)) for cell in cells))
        for name, cells in zip(grid.names, grid.cells, strict=True)
    ]


def _markdown(text: str) -> str:
    return "".join(f"\\{sign}" if sign in r"\`*_[]<>|" else sign for sign in one_line(text))


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "…": r"\dots{}",
    "–": "--",
    "−": "$-$",
    "≥": r"$\ge$",
    "≤": r"$\le$",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


def _latex(text: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in one_line(text))
