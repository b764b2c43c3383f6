"""The table of methods for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.layout import make_table, print_left_out, print_lines
from analysis.marks import OVERSUBSCRIBED, mark, time_notes
from analysis.metrics import meaning_of, title_of
from analysis.statistics import CONFIDENCE, Estimate, least_count
from analysis.summary import UPPER_BOUND
from analysis.text import NOTHING, interval_text, significant, some_of, with_prefix
from analysis.timing import COMMUNICATION

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from analysis.layout import TextTable
    from analysis.runs import Collection
    from analysis.summary import Summary, TimeSummary

_MS = 1e3
#: Number of phases in the table. JSON and CSV have all phases.
_SHOWN_PHASES = 3
#: A mean that differs from its median by a larger share is shown beside it.
_NOTABLE = 0.25
_TIMES = (
    "times: training phases on the server's clock; medians over iterations after warm-up, then "
    "over launches and seeds. Medians of parts do not add up to the total. "
    "P: ranks; runs: launches."
)
_PHASES = (
    "phases: the largest, on the slowest rank; comm.: the rest of an iteration, communication "
    "and waiting."
)
#: Marks a dispersion whose prediction is an upper bound.
_BOUNDED = "*"


def notes(rows: Sequence[Summary]) -> list[str]:
    """Explain how to read the numbers."""
    said = ["final loss, × exact, dispersion: medians over seeds."]
    said += _interval_notes(_shown_estimates(rows))
    references = sorted({row.reference for row in rows if row.reference})
    if references:
        said.append(f"× exact: against {' or '.join(references)} with the same seed.")
    said += _metric_notes(rows)
    said += _dispersion_notes(rows)
    said += _time_notes([time for row in rows for time in row.times])
    if any(row.to_target for row in rows):
        said.append(
            "to the target: until an evaluated model first reaches it; medians over launches, "
            "then over seeds; no value if a seed does not reach it."
        )
        said.append(
            "seconds to the target: training time including warm-up, of runs with the same "
            "conditions throughout; ms each: seconds over iterations."
        )
    return said


def print_tables(rows: Sequence[Summary], collection: Collection) -> None:
    """Print the errors, the costs, and how to read them, on a terminal of any width."""
    from lad_mpi.console import open_console  # noqa: PLC0415  (JSON does not need it)

    console = open_console()
    tables = [_errors(rows), *_metrics(rows), _costs(rows)]
    if any(row.to_target for row in rows):
        tables += _to_target(rows)
    for table in tables:
        console.print(table)
        console.print()
    print_lines(console, (*notes(rows), *collection.notes, *collection.doubts))
    print_left_out(console, collection.describe_excluded())


def _errors(rows: Sequence[Summary]) -> TextTable:
    body = [
        (
            row.label,
            str(row.seeds),
            significant(row.final_loss.median, 4),
            _interval(row.final_loss),
            _or_nothing(row.ratio_to_exact, 4),
            _or_nothing(row.dispersion_ratio, 3) + (_BOUNDED if _is_bounded(row) else ""),
        )
        for row in rows
    ]
    titles = ("method", "seeds", "final loss", "interval", "× exact", "dispersion")
    return make_table("Errors", titles, body)


def _metrics(rows: Sequence[Summary]) -> Iterator[TextTable]:
    for column in zip(*(row.metrics for row in rows), strict=True):
        body = [
            (
                row.label,
                str(row.seeds),
                _or_nothing(found.final, 4),
                _interval(found.final),
                _or_nothing(found.best, 4),
                _signed(found.minus_exact),
            )
            for row, found in zip(rows, column, strict=True)
        ]
        metric = column[0].metric
        title = f"{title_of(metric).capitalize()}: {meaning_of(metric)}"
        titles = ("method", "seeds", "final", "interval", "best", "− exact")
        yield make_table(title, titles, body)


def _metric_notes(rows: Sequence[Summary]) -> list[str]:
    found = [summary for row in rows for summary in row.metrics]
    said = []
    if any(summary.best for summary in found):
        said.append("best: over all evaluated models of a run, median over seeds.")
    if any(summary.minus_exact for summary in found):
        said.append("− exact: minus the final value of exact recovery with the same seed.")
    return said


def _signed(found: Estimate | None) -> str:
    if found is None:
        return NOTHING
    return f"{found.median:+.3g}" if found.median else "0"


def _costs(rows: Sequence[Summary]) -> TextTable:
    shown = _shown_phases([time for row in rows for time in row.times])
    body = [
        (
            time.label,
            str(time.conditions.ranks),
            str(time.launches),
            _milliseconds(time.seconds.median, time.mean_s) + mark(time.conditions),
            *(_phase(time, phase) for phase in shown),
            with_prefix(row.uplink_bytes),
            NOTHING if row.gradients is None else str(row.gradients),
        )
        for row in rows
        for time in row.times
    ]
    names = [_SHORT.get(phase, phase) for phase in shown]
    titles = ("method", "P", "runs", "total", *names, "uplink", "gradients")
    return make_table("Costs of an iteration: times in ms, uplink in bytes", titles, body)


def _to_target(rows: Sequence[Summary]) -> Iterator[TextTable]:
    targets = [(row.label, row.to_target) for row in rows if row.to_target is not None]
    words = str(targets[0][1].target)
    yield make_table(
        f"To {words}: until then, uplink in bytes",
        ("method", "reached", "iterations", "interval", "uplink"),
        [
            (
                label,
                f"{target.reached} of {target.seeds}" if target.seeds else "not recorded",
                _or_nothing(target.iterations, 4),
                _interval(target.iterations),
                NOTHING if target.uplink_bytes is None else with_prefix(target.uplink_bytes.median),
            )
            for label, target in targets
        ],
    )
    times = [(time, time.to_target) for row in rows for time in row.times]
    yield make_table(
        f"Time to {words}",
        ("method", "seeds", "iterations", "ms each", "seconds", "interval"),
        [
            (
                time.label,
                NOTHING if found is None else str(found.seeds),
                NOTHING if found is None else significant(found.iterations.median, 4),
                NOTHING if found is None else significant(_MS * found.iteration_s.median, 3),
                NOTHING
                if found is None
                else significant(found.seconds.median, 3) + mark(time.conditions),
                _interval(None if found is None else found.seconds),
            )
            for time, found in times
        ],
    )


_SHORT = {COMMUNICATION: "comm."}


def _shown_phases(times: Sequence[TimeSummary]) -> list[str]:
    """Return the phases with the largest shares in any row, in the order of an iteration."""
    phases = dict.fromkeys(phase for time in times for phase in time.phases)
    # Put communication last.
    ordered = [phase for phase in phases if phase != COMMUNICATION] + [COMMUNICATION]
    share = {phase: max((_share(time, phase) for time in times), default=0.0) for phase in ordered}
    largest = sorted(ordered, key=lambda phase: -share[phase])[:_SHOWN_PHASES]
    return [phase for phase in ordered if phase in largest]


def _share(time: TimeSummary, phase: str) -> float:
    known = phase in time.phases and time.mean_s > 0
    return time.phases[phase].mean / time.mean_s if known else 0.0


def _phase(time: TimeSummary, phase: str) -> str:
    found = time.phases.get(phase)
    return NOTHING if found is None else _milliseconds(found.median, found.mean)


def _milliseconds(median: float, mean: float) -> str:
    text = significant(_MS * median, 3)
    return f"{text} ({significant(_MS * mean, 3)})" if _differs(median, mean) else text


def _differs(median: float, mean: float) -> bool:
    return abs(mean - median) > _NOTABLE * median


def _shown_estimates(rows: Sequence[Summary]) -> list[Estimate]:
    found = [row.final_loss for row in rows]
    found += [summary.final for row in rows for summary in row.metrics if summary.final]
    found += [
        row.to_target.iterations for row in rows if row.to_target and row.to_target.iterations
    ]
    found += [time.to_target.seconds for row in rows for time in row.times if time.to_target]
    return found


def _interval_notes(estimates: Sequence[Estimate]) -> list[str]:
    said = []
    if any(found.coverage is not None for found in estimates):
        said.append(
            f"[low, high]: rank-based confidence interval of the median, {CONFIDENCE:.0%} or more."
        )
    if any(found.coverage is None for found in estimates):
        said.append(
            f"(least … greatest): fewer than {least_count()} values, too few for an interval."
        )
    return said


def _dispersion_notes(rows: Sequence[Summary]) -> list[str]:
    found = [row for row in rows if row.dispersion_ratio is not None]
    if not found:
        return []
    said = "dispersion: measured over predicted, of honest messages"
    if any(row.dispersion_prediction == "exact" for row in found):
        said += "; the expectation is 1"
    bounded = any(_is_bounded(row) for row in found)
    return [f"{said}{f'; {_BOUNDED} at most 1: the prediction is a bound' if bounded else ''}."]


def _is_bounded(row: Summary) -> bool:
    return row.dispersion_ratio is not None and row.dispersion_prediction == UPPER_BOUND


def _time_notes(times: Sequence[TimeSummary]) -> list[str]:
    said = [_TIMES, _PHASES]
    pairs = [(time.seconds.median, time.mean_s) for time in times]
    pairs += [(part.median, part.mean) for time in times for part in time.phases.values()]
    if any(_differs(median, mean) for median, mean in pairs):
        said.append(
            "(mean): the mean over iterations, if it differs from the median by over a quarter."
        )
    crowded = [time.label for time in times if time.conditions.oversubscribed]
    if crowded:
        whom = "all runs" if len(crowded) == len(times) else some_of(crowded)
        said.append(
            f"{OVERSUBSCRIBED} oversubscribed ({whom}): more threads than cores; times show no "
            "scaling."
        )
    said += [
        f"{sign} {note}." for sign, note in time_notes([time.conditions for time in times]).items()
    ]
    if cold := [time.label for time in times if not time.warm]:
        said.append(f"only warm-up was timed: {some_of(cold)}.")
    if len({time.conditions.machine for time in times}) > 1:
        said.append("times come from different machines and cannot be compared.")
    return said


def _interval(found: Estimate | None) -> str:
    if found is None:
        return NOTHING
    return interval_text(found.low, found.high, 4, certain=found.coverage is not None)


def _or_nothing(found: Estimate | None, digits: int) -> str:
    return NOTHING if found is None else significant(found.median, digits)
