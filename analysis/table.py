"""The table of a collection for a person at a terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from analysis.formatting import NOTHING, significant, with_prefix
from analysis.layout import make_table, open_console
from analysis.marks import EMULATED, emulated_note, mark
from analysis.statistics import CONFIDENCE, Estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analysis.layout import Grid
    from analysis.runs import Collection
    from analysis.summary import Summary

_SHOWN_PHASES = 3


def notes(rows: Sequence[Summary]) -> list[str]:
    """Say how the numbers are to be read."""
    estimates = [row.final_loss for row in rows]
    intervals = {found.coverage is not None for found in estimates}
    said = ["final loss, × exact, dispersion: medians over seeds; times: medians over runs."]
    if True in intervals:
        said.append(
            f"[low, high]: rank-based confidence interval of the median, {CONFIDENCE:.0%} or more."
        )
    if False in intervals:
        said.append("(least … greatest): of fewer than 6 seeds, too few for an interval.")
    references = sorted({row.reference for row in rows if row.reference})
    if references:
        said.append(f"× exact: against {' or '.join(references)} with the same seed.")
    if any(row.dispersion_ratio for row in rows):
        said.append("dispersion: measured over predicted, of honest messages; 1 is expected.")
    said.append(
        "times: the server's clock through an iteration, training phases only; work: on the "
        "slowest rank; comm.: the rest, communication and waiting."
    )
    crowded = [row.label for row in rows if row.oversubscribed]
    if crowded:
        whom = "all runs" if len(crowded) == len(rows) else ", ".join(crowded)
        said.append(f"† oversubscribed ({whom}): more threads than cores; times show no scaling.")
    if note := emulated_note(rows):
        said.append(f"{EMULATED} {note}.")
    if any(row.to_target for row in rows):
        said.append(
            "to the target: until a model was first evaluated that is as good; medians over runs, "
            "training time with warm-up; nothing where a run did not get there."
        )
    if len({row.machine for row in rows}) > 1:
        said.append("times come from different machines and cannot be compared.")
    return said


def print_tables(rows: Sequence[Summary], collection: Collection) -> None:
    """Print the errors, the costs, and how to read them."""
    from rich.padding import Padding  # noqa: PLC0415

    console = open_console()
    console.print(_errors(rows))
    console.print()
    console.print(_costs(rows))
    console.print()
    if any(row.to_target for row in rows):
        console.print(_to_target(rows))
        console.print()
    for note in notes(rows):
        console.print(note)
    if collection.excluded:
        console.print(f"\nLeft out, {len(collection.excluded)} logs:")
        for line in collection.describe_excluded():
            console.print(Padding(line, (0, 0, 0, 2)))


def _errors(rows: Sequence[Summary]) -> Grid:
    body = [
        (
            row.label,
            str(row.seeds),
            significant(row.final_loss.median, 4),
            interval(row.final_loss),
            _or_nothing(row.ratio_to_exact, 4),
            _or_nothing(row.dispersion_ratio, 3),
        )
        for row in rows
    ]
    titles = ("method", "seeds", "final loss", "interval", "× exact", "dispersion")
    return make_table("Errors", titles, body)


def _costs(rows: Sequence[Summary]) -> Grid:
    shown = _main_phases(rows)
    body = []
    for row in rows:
        rest = sum(value for phase, value in row.phases.items() if phase not in shown)
        body.append(
            (
                row.label,
                significant(1e3 * row.seconds.median, 3) + mark(row),
                *(significant(1e3 * row.phases.get(phase, math.nan), 3) for phase in shown),
                significant(1e3 * rest, 3),
                with_prefix(row.uplink_bytes),
                NOTHING if row.gradients is None else str(row.gradients),
            )
        )
    names = [_SHORT.get(phase, phase) for phase in shown]
    titles = ("method", "total", *names, "other", "uplink", "gradients")
    return make_table("Costs of an iteration: times in ms, uplink in bytes", titles, body)


def _to_target(rows: Sequence[Summary]) -> Grid:
    targets = [(row, row.to_target) for row in rows if row.to_target is not None]
    body = [
        (
            row.label,
            f"{target.reached} of {target.launches}",
            _or_nothing(target.iterations, 4),
            _or_nothing(target.seconds, 3) + (mark(row) if target.seconds else ""),
            NOTHING if target.seconds is None else interval(target.seconds),
            NOTHING if target.uplink_bytes is None else with_prefix(target.uplink_bytes.median),
        )
        for row, target in targets
    ]
    titles = ("method", "reached", "iterations", "seconds", "interval", "uplink")
    loss = significant(targets[0][1].loss, 4)
    return make_table(f"To a loss of {loss}: until then, uplink in bytes", titles, body)


_SHORT = {"communication": "comm."}


def _main_phases(rows: Sequence[Summary]) -> list[str]:
    """Return the phases that cost most anywhere, in the order of an iteration."""
    phases = list(dict.fromkeys(phase for row in rows for phase in row.phases))
    worst = {phase: max(row.phases.get(phase, 0.0) for row in rows) for phase in phases}
    greatest = sorted(phases, key=lambda phase: -worst[phase])[:_SHOWN_PHASES]
    return [phase for phase in phases if phase in greatest]


def interval(found: Estimate) -> str:
    """Write an interval in the brackets that say what it is.

    Examples
    --------
    >>> interval(Estimate(2.0, 1.0, 3.0, 3, None))
    '(1.000 … 3.000)'
    """
    low, high = significant(found.low, 4), significant(found.high, 4)
    return f"({low} … {high})" if found.coverage is None else f"[{low}, {high}]"


def _or_nothing(found: Estimate | None, digits: int) -> str:
    return NOTHING if found is None else significant(found.median, digits)
