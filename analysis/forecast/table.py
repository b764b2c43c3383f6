"""A forecast as tables and as JSON."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from analysis.export import without_nan
from analysis.forecast.answer import cheapest
from analysis.forecast.workload import TERMS
from analysis.layout import make_table, print_lines
from analysis.statistics import CONFIDENCE, EACH_OF_TWO, least_count
from analysis.text import NOTHING, significant, with_prefix
from lad_mpi.text import one_line

if TYPE_CHECKING:
    from rich.console import Console

    from analysis.forecast import Forecast
    from analysis.forecast.answer import Row, StepsToTarget
    from analysis.layout import TextTable
    from analysis.statistics import Interval

_MS = 1e3
_FAILED = "the model does not hold here, so do not rely on anything below"


def to_json(forecast: Forecast) -> str:
    """Return all numbers with full precision as JSON; NaN and infinity become null."""
    check, model = forecast.check, forecast.model
    document = {
        "void": forecast.measured.void,
        "check": {
            "case": check.case.name,
            "predicted_s": dataclasses.asdict(check.predicted),
            "measured_s": check.case.total_s,
            "passed": check.passed,
        },
        "model": {
            "error": model.error,
            "work_error": model.work_error,
            "cases": len(forecast.measured.cases),
            "terms": [
                {
                    "term": term,
                    "of": group,
                    "columns": [["1", *TERMS[term]][i] for i in fit.kept],
                    "coefficients_s": fit.coefficients.tolist(),
                }
                for (term, group), fit in model.fits.items()
            ],
        },
        "rows": [_record(row) for row in forecast.rows],
        "cheapest": [
            {"best": _record(best), "not_told_apart": [_record(row) for row in near]}
            for best, near in cheapest(forecast.rows)
        ],
        "notes": notes(forecast, to_target=True),
        "assumptions": forecast.assumptions,
        "excluded": forecast.measured.excluded,
    }
    return json.dumps(without_nan(document), indent=2, ensure_ascii=False, allow_nan=False)


def print_tables(forecast: Forecast) -> None:
    """Print the check, times, times to the target, the cheapest rows, and the assumptions."""
    from lad_mpi.console import open_console  # noqa: PLC0415  (JSON does not need it)

    console = open_console()
    for reason in forecast.measured.void:
        console.print(one_line(f"VOID, no claim is made: {reason}"), style="bold")
    console.print(one_line(check_line(forecast)), style="" if forecast.check.passed else "bold")
    for network in dict.fromkeys(row.network for row in forecast.rows):
        rows = [row for row in forecast.rows if row.network == network]
        where = "communication as measured" if network is None else str(network)
        console.print()
        console.print(_times(rows, f"Time of an iteration, {where}"))
        if forecast.target is not None:
            console.print()
            console.print(_targets(rows, f"Time to {forecast.target}, {where}"))
    _print_cheapest(console, forecast)
    console.print()
    print_lines(console, notes(forecast, to_target=True))
    console.print("Assumed:")
    print_lines(console, forecast.assumptions, indent=2)
    if forecast.measured.excluded:
        console.print(f"\nLeft out, {len(forecast.measured.excluded)}:")
        print_lines(console, forecast.measured.excluded, indent=2)


def check_line(forecast: Forecast) -> str:
    """Return whether the largest case was predicted from the others."""
    check = forecast.check
    found = (
        f"check: {check.case.name} left out: predicted {_ms(check.predicted.value)} ms "
        f"{_interval(check.predicted, _MS)}, measured {_ms(check.case.total_s)} ms, "
    )
    return found + ("inside" if check.passed else f"OUTSIDE: {_FAILED}")


def notes(forecast: Forecast, *, to_target: bool) -> list[str]:
    """Explain how to read the intervals, and those of times to a target if requested."""
    said = [f"[low, high]: {CONFIDENCE:.0%} interval, of launches and of the model's error."]
    rows = forecast.rows if to_target else []
    spent = [row.to_target_s for row in rows if row.to_target_s is not None]
    if any(interval.coverage is not None for interval in spent):
        said.append("Of the time to a target: of launches, the model's error, and seeds.")
    if any(interval.coverage is None for interval in spent):
        said.append(
            "(low … high): from the fewest iterations of a seed at a fast iteration to the most at "
            "a slow one, without a coverage; an interval takes "
            f"{least_count(EACH_OF_TWO)} seeds."
        )
    return said


def describe_row(row: Row) -> str:
    """Name a row by load, method and sizes."""
    w = row.workload
    return f"d={round(w.load)}, {row.method} (P={w.ranks}, Q={with_prefix(w.dimension)})"


def _times(rows: list[Row], title: str) -> TextTable:
    body = [
        (
            *_key(row, rows[place - 1] if place else None),
            _ms(row.iteration.seconds.value),
            _interval(row.iteration.seconds, _MS),
            _most(row),
        )
        for place, row in enumerate(rows)
    ]
    return make_table(title, ("method", "P", "d", "Q", "ms", "interval", "most of it"), body)


def _targets(rows: list[Row], title: str) -> TextTable:
    body = []
    for place, row in enumerate(rows):
        spent = row.to_target_s
        body.append(
            (
                *_key(row, rows[place - 1] if place else None),
                _iterations(row.progress),
                NOTHING if spent is None else _number(spent.value),
                NOTHING if spent is None else _interval(spent, 1.0),
            )
        )
    return make_table(title, ("method", "P", "d", "Q", "iterations", "s", "interval"), body)


def _print_cheapest(console: Console, forecast: Forecast) -> None:
    if forecast.target is None:
        return
    found = cheapest(forecast.rows)
    console.print("\nCheapest:" if found else "\nCheapest: none reaches the target.")
    for best, near in found:
        spent = best.to_target_s
        if spent is None:
            continue
        on = "" if best.network is None else f", {best.network}"
        line = f"{describe_row(best)}{on}: {_number(spent.value)} s {_interval(spent, 1.0)}"
        others = "; ".join(f"d={round(row.workload.load)}, {row.method}" for row in near)
        line += f". Not distinguishable from it: {others}" if near else ""
        print_lines(console, [line], indent=2)


def _key(row: Row, above: Row | None) -> tuple[str, str, str, str]:
    w = row.workload
    name = "" if above is not None and above.method == row.method else row.method
    return name, str(w.ranks), f"{w.load:.3g}", with_prefix(w.dimension)


def _most(row: Row) -> str:
    term = max(row.iteration.parts, key=lambda name: row.iteration.parts[name])
    share = row.iteration.parts[term] / max(row.iteration.seconds.value, 1e-300)
    return f"{term} {share:.0%}"


def _iterations(progress: StepsToTarget | None) -> str:
    if progress is None:
        return "not run"
    if progress.iterations is not None:
        return f"{progress.iterations.value:g}"
    if progress.reached:
        return f"{progress.reached} of {progress.seeds} seeds"
    return f"not in {progress.within}"


def _interval(found: Interval, factor: float) -> str:
    low, high = _number(factor * found.low), _number(factor * found.high)
    return f"({low} … {high})" if found.coverage is None else f"[{low}, {high}]"


def _ms(seconds: float) -> str:
    return _number(_MS * seconds)


def _number(value: float) -> str:
    """Write three digits, without an exponent for numbers below a million."""
    return f"{float(f'{value:.3g}'):.0f}" if 1e3 <= value < 1e6 else significant(value, 3)


def _record(row: Row) -> dict[str, Any]:
    w, spent, progress = row.workload, row.to_target_s, row.progress
    network = None if row.network is None else dataclasses.asdict(row.network)
    return {
        "method": row.method,
        "ranks": w.ranks,
        "devices": w.devices,
        "byzantine": w.byzantine,
        "load": w.load,
        "dimension": w.dimension,
        "uplink_bytes": w.uplink_bytes,
        "network": network,
        "iteration_s": dataclasses.asdict(row.iteration.seconds),
        "parts_s": row.iteration.parts,
        "progress": None if progress is None else dataclasses.asdict(progress),
        "to_target_s": None if spent is None else dataclasses.asdict(spent),
    }
