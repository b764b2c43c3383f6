"""The metrics in logs. The set is open, and each metric says which direction is better."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.errors import UsageError
from lad_mpi.metrics.names import LOSS
from lad_mpi.spec import suggestion

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lad_mpi.logs import RunLog
    from lad_mpi.types import HostFloats, Metric

#: Metrics that tables and figures show, as far as the logs have them.
SHOWN = (LOSS, "test_accuracy")


def find_metric(name: str, runs: Iterable[RunLog]) -> Metric:
    """Return the description of a metric in the first log that has it.

    Raises
    ------
    UsageError
        No log has it. The message names the nearest metric and lists all.
    """
    known = known_metrics(runs)
    if name not in known:
        raise UsageError(
            f"no log has the metric {name!r}{suggestion(name, known)}",
            hint=f"the logs have {', '.join(sorted(known))}",
        )
    return known[name]


def choose_metrics(runs: Iterable[RunLog], names: Sequence[str] = ()) -> tuple[Metric, ...]:
    """Return the named metrics, or those of :data:`SHOWN` that a log has.

    Raises
    ------
    UsageError
        No log has one of the names.
    """
    found = list(runs)
    known = known_metrics(found)
    chosen = dict.fromkeys(names) or [name for name in SHOWN if name in known]
    return tuple(find_metric(name, found) for name in chosen)


def metric_curve(run: RunLog, name: str) -> HostFloats:
    """Return a metric after 0, 1, …, T iterations; NaN if it was not evaluated.

    Parameters
    ----------
    run : RunLog
        The run.
    name : str
        The metric. If the log does not have it, all values are NaN.
    """
    values = run.metrics.get(name)
    if values is None:
        return np.full(len(run.iteration) + 1, np.nan)
    final = np.nan if run.final is None else run.final.metrics.get(name, np.nan)
    return np.array([*values, final], dtype=np.float64)


def final_value(run: RunLog, name: str) -> float:
    """Return a metric of the final model.

    If the log does not have it for the final model, return the value of the last evaluation,
    or NaN if there is none.
    """
    if run.final is not None and name in run.final.metrics:
        return run.final.metrics[name]
    curve = metric_curve(run, name)
    evaluated = curve[~np.isnan(curve)]
    return float(evaluated[-1]) if evaluated.size else math.nan


def best_value(run: RunLog, metric: Metric) -> float:
    """Return the best value of all evaluations; NaN if there is none, or no better direction."""
    curve = metric_curve(run, metric.name)
    evaluated = curve[~np.isnan(curve)]
    if not evaluated.size or not metric.better:
        return math.nan
    return float(evaluated.max() if metric.better == "higher" else evaluated.min())


def ascending_from_best(metric: Metric, value: float) -> float:
    """Return a sort key that puts the best value first."""
    return -value if metric.better == "higher" else value


def title_of(metric: Metric) -> str:
    """Return the name of a metric in words.

    Examples
    --------
    >>> from lad_mpi.types import Metric
    >>> title_of(Metric("test_accuracy", "1", "share of the test samples", "higher"))
    'test accuracy'
    """
    return metric.name.replace("_", " ")


def meaning_of(metric: Metric) -> str:
    """Describe a metric: its long name, units and better direction.

    Examples
    --------
    >>> from lad_mpi.types import Metric
    >>> meaning_of(Metric("test_accuracy", "1", "share of the test samples", "higher"))
    'share of the test samples; higher is better'
    """
    units = "" if metric.units == "1" else f", in {metric.units}"
    better = f"; {metric.better} is better" if metric.better else ""
    return f"{metric.long_name}{units}{better}"


def known_metrics(runs: Iterable[RunLog]) -> dict[str, Metric]:
    """Return the description of every metric in the logs, by name."""
    known: dict[str, Metric] = {}
    for run in runs:
        for name, metric in run.metric_info.items():
            # The names become names of files.
            if name.isidentifier():
                known.setdefault(name, metric)
    return known
