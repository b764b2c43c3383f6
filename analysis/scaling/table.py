"""A scaling study as tables and as JSON."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from analysis.export import json_text
from analysis.layout import make_table, print_lines
from analysis.marks import EMULATED, mark, time_notes
from analysis.scaling.summary import void_lines
from analysis.statistics import CONFIDENCE, EACH_OF_TWO, Estimate, least_count
from analysis.text import NOTHING, interval_text, significant
from lad_mpi.text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analysis.layout import TextTable
    from analysis.scaling.load import ScalingStudy
    from analysis.scaling.summary import CaseSummary, PhaseSummary

#: Phases with a smaller share of an iteration are not in the tables. JSON has all phases.
_LEAST_SHARE = 0.01
_MS = 1e3
_GAINS = ("speed-up", "eff.", "interval")


def to_json(rows: Sequence[CaseSummary], study: ScalingStudy) -> str:
    """Return all numbers with full precision as JSON; NaN and infinity become null."""
    record = study.record
    document = {
        "kind": record.kind,
        "name": record.name,
        "growth_rule": record.growth_rule,
        "base": record.base,
        "launcher": record.launcher,
        "void": study.void,
        "void_claims": void_lines(rows, study),
        "void_launches": [line for case in study.cases for line in case.void],
        "notes": notes(rows, study),
        "cases": [_record(row) for row in rows],
    }
    return json_text(document)


def notes(rows: Sequence[CaseSummary], study: ScalingStudy) -> list[str]:
    """Explain how to read the numbers."""
    record = study.record
    shown = [estimate for row in rows for estimate in (row.seconds, row.efficiency) if estimate]
    certain = {estimate.coverage is not None for estimate in shown}
    said = [f"{record.kind} scaling: {record.growth_rule}."]
    said.append(
        "time: training phases of an iteration on the server's clock; medians over iterations "
        "after warm-up, then over launches."
    )
    if True in certain:
        said.append(f"[low, high]: rank-based confidence interval, {CONFIDENCE:.0%} or more.")
    if False in certain:
        said.append(
            f"(least … greatest): too few launches for an interval. A time takes "
            f"{least_count()}, a comparison {least_count(EACH_OF_TWO)} of each case."
        )
    ideal = "device ranks over those of the base" if record.kind == "strong" else "the base's time"
    if _has_speedup(rows):
        said.append(f"speed-up, eff.: relative to the case with the fewest ranks; ideal: {ideal}.")
    said.append(
        "LB: mean over maximum of the device ranks' work. CE: work on the critical path over the "
        "time of the iteration."
    )
    said.append(
        "bound: bytes over bandwidth, operations over rate, or plain Bcast and Gather, from the "
        "baseline at the same P; % of it: bound over time."
    )
    if any(row.oversubscribed for row in rows):
        said.append("† oversubscribed: more threads than processors; no claim is made.")
    for sign, note in time_notes(rows).items():
        bound = " The bound of communication is that of the network." if sign == EMULATED else ""
        said.append(f"{sign} {note}.{bound}")
    if not study.baselines:
        said.append("there are no bounds, because no baseline was measured.")
    return said


def print_tables(rows: Sequence[CaseSummary], study: ScalingStudy) -> None:
    """Print times, phases with their bounds, and how to read them."""
    from lad_mpi.console import open_console  # noqa: PLC0415

    console = open_console()
    for line in void_lines(rows, study):
        console.print(one_line(f"VOID, {line}"), style="bold")
    console.print(_times(rows))
    console.print()
    console.print(_critical(rows))
    console.print()
    console.print(_phases(rows))
    console.print()
    print_lines(console, notes(rows, study))
    void = [line for case in study.cases for line in case.void]
    if void:
        console.print(f"\nVoid launches, {len(void)}:")
        print_lines(console, void, indent=2)


def _times(rows: Sequence[CaseSummary]) -> TextTable:
    titles = ("case", "P", "runs", "ms", "interval", *_GAINS)
    # A study with a single P has no speed-up. Its cases have long names, which need the room.
    shown = len(titles) if _has_speedup(rows) else -len(_GAINS)
    body = [
        (
            row.name + mark(row),
            str(row.ranks),
            f"{row.launches}/{row.launches + row.void}",
            significant(_MS * row.seconds.median, 3),
            _interval(row.seconds, _MS),
            _median(row.speedup),
            _median(row.efficiency),
            _interval(row.efficiency, 1.0),
        )[:shown]
        for row in rows
    ]
    return make_table("Time of an iteration", titles[:shown], body)


def _has_speedup(rows: Sequence[CaseSummary]) -> bool:
    return any(row.speedup is not None for row in rows)


def _critical(rows: Sequence[CaseSummary]) -> TextTable:
    body = [
        (
            row.name + mark(row),
            significant(_MS * row.device_s, 3),
            significant(_MS * row.server_s, 3),
            f"{row.load_balance:.2f}",
            f"{row.communication_efficiency:.2f}",
            row.critical,
        )
        for row in rows
    ]
    titles = ("case", "devices", "server", "LB", "CE", "most of the critical path")
    return make_table("Critical path, ms", titles, body)


def _phases(rows: Sequence[CaseSummary]) -> TextTable:
    body: list[tuple[str, ...]] = []
    for row in rows:
        # The name of a case has its own line, because it is long if a study has several axes.
        body.append((row.name + mark(row), "", "", "", ""))
        body += [_phase(phase) for phase in _shown(row)]
    titles = ("case and phase", "ms", "interval", "bound", "% of it")
    return make_table("Phases of an iteration, on the slowest rank", titles, body)


def _phase(phase: PhaseSummary) -> tuple[str, ...]:
    return (
        f"  {phase.name}",
        significant(_MS * phase.seconds.median, 3),
        _interval(phase.seconds, _MS),
        NOTHING if phase.bound_s is None else significant(_MS * phase.bound_s, 3),
        NOTHING if phase.percent is None else f"{phase.percent:.0f}",
    )


def _shown(row: CaseSummary) -> list[PhaseSummary]:
    least = _LEAST_SHARE * row.seconds.median
    return [phase for phase in row.phases if phase.seconds.median >= least]


def _median(found: Estimate | None) -> str:
    return NOTHING if found is None else f"{found.median:.2f}"


def _interval(found: Estimate | None, factor: float) -> str:
    if found is None:
        return NOTHING
    ends = factor * found.low, factor * found.high
    return interval_text(*ends, 3, certain=found.coverage is not None)


def _record(row: CaseSummary) -> dict[str, Any]:
    record = dataclasses.asdict(row)
    record["phases"] = [
        {**dataclasses.asdict(phase), "percent_of_bound": phase.percent} for phase in row.phases
    ]
    return record
