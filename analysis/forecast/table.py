"""A forecast as tables and as JSON."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from analysis.export import json_text
from analysis.forecast.assumptions import assumptions, reading_notes
from analysis.grid import NEVER
from analysis.layout import make_table, print_lines
from analysis.marks import OVERSUBSCRIBED
from analysis.text import NOTHING, significant
from lad_mpi.text import one_line

if TYPE_CHECKING:
    from rich.console import Console

    from analysis.forecast import Forecast
    from analysis.forecast.answer import Comparison, Row, Scenario
    from analysis.layout import TextTable
    from analysis.statistics import Interval

_MS = 1e3


def to_json(forecast: Forecast) -> str:
    """Return all numbers with full precision as JSON; NaN and infinity become null."""
    measured, model = forecast.measured, forecast.model
    document = {
        "target": None if forecast.target is None else str(forecast.target),
        "scenarios": [
            {
                "ranks": scenario.ranks,
                "network": scenario.network,
                "cheapest": [row.method for row in scenario.best],
                "not_reached": [row.method for row in scenario.not_reached],
                "methods": [_record(scenario, row) for row in scenario.rows],
            }
            for scenario in forecast.scenarios
        ],
        "check": [{**dataclasses.asdict(one), "inside": one.inside} for one in forecast.checked],
        "spread": model.spread,
        "degrees": model.degrees,
        "void": measured.void,
        "notes": [*reading_notes(forecast), *measured.notes],
        "assumptions": assumptions(forecast),
        "excluded": measured.excluded,
    }
    return json_text(document)


def print_tables(forecast: Forecast) -> None:
    """Print costs and the cheapest method of every scenario, the check, and the assumptions."""
    from lad_mpi.console import open_console  # noqa: PLC0415  (JSON does not need it)

    console = open_console()
    for reason in forecast.measured.void:
        console.print(one_line(f"VOID, no claim is made: {reason}"), style="bold")
    for scenario in forecast.scenarios:
        _print_scenario(console, forecast, scenario)
    if forecast.checked:
        for network in dict.fromkeys(one.network for one in forecast.checked):
            console.print(_check_table(forecast.checked, network))
            console.print()
        console.print(one_line(_check_line(forecast)), style="bold" if forecast.failed else "")
        console.print()
    print_lines(console, [*reading_notes(forecast), *forecast.measured.notes])
    console.print("Assumed:")
    print_lines(console, assumptions(forecast), indent=2)
    if forecast.measured.excluded:
        console.print(f"\nLeft out, {len(forecast.measured.excluded)}:")
        print_lines(console, forecast.measured.excluded, indent=2)


def _print_scenario(console: Console, forecast: Forecast, scenario: Scenario) -> None:
    where = f"P = {scenario.ranks}, {scenario.network}"
    if forecast.target is not None:
        console.print(_target_table(scenario, f"Time to {forecast.target}: {where}"))
        print_lines(console, _summary(scenario))
        console.print()
    console.print(_iteration_table(scenario, f"Time of an iteration: {where}"))
    console.print()


def _target_table(scenario: Scenario, title: str) -> TextTable:
    body = []
    for row in scenario.rows:
        cost = row.cost_s
        body.append(
            (
                row.method,
                str(scenario.rank_of(row) or NOTHING),
                _iterations(row),
                NOTHING if cost is None else _number(cost.value),
                NOTHING if cost is None else _interval(cost, 1.0),
                _seeds(row),
            )
        )
    return make_table(title, ("method", "rank", "iterations", "s", "interval", "seeds"), body)


def _iteration_table(scenario: Scenario, title: str) -> TextTable:
    rows = sorted(scenario.rows, key=lambda row: row.iteration.seconds.value)
    body = [
        (
            row.method,
            _number(_MS * row.iteration.seconds.value),
            _interval(row.iteration.seconds, _MS),
            _most(row),
        )
        for row in rows
    ]
    return make_table(title, ("method", "ms", "interval", "most of it"), body)


def _summary(scenario: Scenario) -> list[str]:
    best, missing = scenario.best, scenario.not_reached
    said = [f"Cheapest: {best[0].method}." if best else "Cheapest: none reaches the target."]
    if len(best) > 1:
        others = "; ".join(row.method for row in best[1:])
        said[0] = f"Cheapest: {best[0].method}. Not distinguishable from it: {others}."
    if missing:
        whom = "; ".join(f"{row.method} ({_seeds(row)} seeds)" for row in missing)
        said.append(f"Not reached by: {whom}.")
    return said


def _check_table(checked: list[Comparison], network: str) -> TextTable:
    body = [
        (
            one.method,
            f"{one.ranks}{OVERSUBSCRIBED if one.oversubscribed else ''}",
            _interval(one.predicted, _MS),
            _number(_MS * one.measured_s),
            "yes" if one.inside else "NO",
        )
        for one in checked
        if one.network == network
    ]
    titles = ("method", "P", "predicted, ms", "measured, ms", "inside")
    return make_table(f"Check, time of an iteration: {network}", titles, body)


def _check_line(forecast: Forecast) -> str:
    counted = [one for one in forecast.checked if not one.oversubscribed]
    line = f"check: {len(counted) - len(forecast.failed)} of {len(counted)} measured times are "
    line += "inside their intervals"
    if len(counted) < len(forecast.checked):
        line += f"; {OVERSUBSCRIBED} oversubscribed, not counted"
    return line if not forecast.failed else f"{line}: THE FORECAST DOES NOT HOLD"


def _most(row: Row) -> str:
    part = max(row.iteration.parts, key=lambda name: row.iteration.parts[name])
    share = row.iteration.parts[part] / max(row.iteration.seconds.value, 1e-300)
    return f"{part} {share:.0%}"


def _iterations(row: Row) -> str:
    progress = row.progress
    if progress is None:
        return NOTHING
    if progress.iterations is None:
        return f"not in {progress.within}"
    return f"{progress.iterations.value:g}"


def _seeds(row: Row) -> str:
    progress = row.progress
    return NOTHING if progress is None else f"{progress.reached} of {len(progress.steps)}"


def _interval(found: Interval, factor: float) -> str:
    low, high = _number(factor * found.low), _number(factor * found.high)
    return f"({low} … {high})" if found.coverage is None else f"[{low}, {high}]"


def _number(value: float) -> str:
    """Write three digits, without an exponent for numbers below a million."""
    if math.isinf(value):
        return NEVER
    return f"{float(f'{value:.3g}'):.0f}" if 1e3 <= value < 1e6 else significant(value, 3)


def _record(scenario: Scenario, row: Row) -> dict[str, Any]:
    cost = row.cost_s if row.progress is not None else None
    return {
        "method": row.method,
        "rank": scenario.rank_of(row),
        "devices": row.devices,
        "measured_ranks": row.iteration.measured_ranks,
        "iteration_s": dataclasses.asdict(row.iteration.seconds),
        "parts_s": row.iteration.parts,
        "progress": None if row.progress is None else dataclasses.asdict(row.progress),
        "to_target_s": None if cost is None else dataclasses.asdict(cost),
    }
