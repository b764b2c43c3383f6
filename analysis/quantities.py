"""Quantities of runs: a metric or a cost, and how it becomes one number a run."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from analysis.facts import gradients_per_iteration
from analysis.metrics import best_value, final_value, find_metric, known_metrics, metric_curve
from analysis.metrics import title_of as metric_title
from analysis.target import (
    Target,
    find_target,
    first_step,
    iterations_before,
    seconds_before,
    uplink_bytes_before,
)
from analysis.timing import (
    COMMUNICATION,
    counted_iterations,
    iteration_seconds,
    split_iterations,
)
from lad_mpi.errors import UsageError
from lad_mpi.metrics.names import DOWNLINK_BYTES, UPLINK_BYTES
from lad_mpi.spec import suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lad_mpi.logs import RunLog
    from lad_mpi.types import HostFloats

_LAST = re.compile(r"last([1-9][0-9]*)")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number of each run.

    Parameters
    ----------
    name : str
        As the user writes it, such as ``best:test_accuracy``.
    title : str
        In words.
    units : str
        ``"s"``, ``"B"``, ``"1"``, …
    better : {"", "lower", "higher"}
        Which direction is better; empty if neither is.
    measure : callable
        Takes a run. NaN if the log does not have it; infinity if a target is not reached.
    is_timed : bool
        Whether it depends on the machine and not only on the numbers of the run.
    """

    name: str
    title: str
    units: str
    better: str
    measure: Callable[[RunLog], float]
    is_timed: bool = False

    def sort_key(self, value: float) -> float:
        """Return a key that puts the best value first, and NaN last."""
        if math.isnan(value):
            return math.inf
        return -value if self.better == "higher" else value


def parse_quantity(text: str, runs: Sequence[RunLog]) -> Quantity:
    """Parse the name of a quantity.

    ============================ ==============================================================
    ``test_accuracy``            a metric of the final model
    ``best:test_accuracy``       its best value of all evaluations
    ``last10:test_accuracy``     the mean of its last 10 evaluations
    ``iterations_to:loss=0.1``   iterations until an evaluated model reaches a value
    ``seconds_to:loss=0.1``      training time until then; so ``uplink_bytes_to``,
                                 ``gradients_to``
    ``iteration_s``              time of an iteration, median after warm-up
    ``aggregate_s``, …           time of a phase of it; ``communication_s`` is the rest
    ``training_s``               training time of the run
    ``uplink_bytes``, …          traffic of an iteration; ``downlink_bytes``
    ``gradients``                subset gradients of all devices in an iteration
    ============================ ==============================================================

    Raises
    ------
    UsageError
        No log has it. The message names the nearest one.
    """
    how, colon, rest = text.partition(":")
    if not colon:
        return _plain(text, runs)
    if how in _SPENT:
        return _to_target(text, how, rest, runs)
    number = _LAST.fullmatch(how)
    if how != "best" and not number:
        known = ["best", "last10", *_SPENT]
        raise UsageError(
            f"unknown statistic {how!r} in {text!r}{suggestion(how, known)}",
            hint=f"statistics are {', '.join(known)}, for example best:loss",
        )
    metric = find_metric(rest, runs)
    if number:
        count = int(number[1])
        return Quantity(
            text,
            f"{metric_title(metric)}, mean of the last {count}",
            metric.units,
            metric.better,
            lambda run: _mean_of_last(run, metric.name, count),
        )
    if not metric.better:
        raise UsageError(f"{text}: neither direction of {rest!r} is better")
    return Quantity(
        text,
        f"best {metric_title(metric)}",
        metric.units,
        metric.better,
        lambda run: best_value(run, metric),
    )


def spent_on(quantity: str, target: Target) -> Quantity:
    """Return what runs spend until they reach a target.

    Parameters
    ----------
    quantity : {"iterations", "seconds", "uplink_bytes", "gradients"}
        What is spent.
    target : Target
        The target.
    """
    before, units, is_timed = _SPENT[f"{quantity}_to"]

    def measure(run: RunLog) -> float:
        if target.metric.name not in run.metrics:
            return math.nan
        step = first_step(run, target)
        return math.inf if step is None else float(before(run)[step])

    name = f"{quantity}_to:{target.metric.name}={target.value:g}"
    title = f"{quantity.replace('_', ' ')} to {target}"
    return Quantity(name, title, units, "lower", measure, is_timed)


def _plain(name: str, runs: Sequence[RunLog]) -> Quantity:
    metrics = known_metrics(runs)
    if name in metrics:
        metric = metrics[name]
        return Quantity(
            name,
            metric_title(metric),
            metric.units,
            metric.better,
            lambda run: final_value(run, metric.name),
        )
    costs = cost_quantities(runs)
    if name not in costs:
        known = [*metrics, *costs, *_SPENT]
        more = ["best:METRIC", "last10:METRIC", *(f"{word}:METRIC=VALUE" for word in _SPENT)]
        raise UsageError(
            f"no log has the quantity {name!r}{suggestion(name, known)}",
            hint=f"metrics: {', '.join(sorted(metrics))}; costs: {', '.join(costs)}; "
            f"also {', '.join(more)}",
        )
    return costs[name]


def cost_quantities(runs: Sequence[RunLog]) -> dict[str, Quantity]:
    """Return the times, traffic and work of an iteration as quantities, by name."""
    timed: dict[str, tuple[str, Callable[[RunLog], float]]] = {
        "iteration_s": ("time of an iteration", _iteration_s),
        "training_s": ("training time", lambda run: float(np.nansum(iteration_seconds(run)))),
    }
    phases = dict.fromkeys(phase for run in runs for phase in run.training_phases)
    for phase in (*phases, COMMUNICATION):
        timed[f"{phase}_s"] = (f"time of {phase.replace('_', ' ')}", partial(_phase_s, phase))
    other: dict[str, tuple[str, str, Callable[[RunLog], float]]] = {
        UPLINK_BYTES: ("uplink of an iteration", "B", partial(_traffic, UPLINK_BYTES)),
        DOWNLINK_BYTES: ("downlink of an iteration", "B", partial(_traffic, DOWNLINK_BYTES)),
        "gradients": ("subset gradients of an iteration", "1", _gradients),
    }
    return {
        **{
            name: Quantity(name, title, "s", "lower", measure, is_timed=True)
            for name, (title, measure) in timed.items()
        },
        **{
            name: Quantity(name, title, units, "lower", measure)
            for name, (title, units, measure) in other.items()
        },
    }


def _to_target(text: str, how: str, target: str, runs: Sequence[RunLog]) -> Quantity:
    if "=" not in target:
        raise UsageError(f"{text}: expected a target", hint=f"write {how}:METRIC=VALUE")
    return spent_on(how.removesuffix("_to"), find_target(target, runs))


def _mean_of_last(run: RunLog, name: str, count: int) -> float:
    curve = metric_curve(run, name)
    evaluated = curve[~np.isnan(curve)][-count:]
    return float(evaluated.mean()) if evaluated.size else math.nan


def _iteration_s(run: RunLog) -> float:
    return float(np.median(iteration_seconds(run)[counted_iterations(run)]))


def _phase_s(phase: str, run: RunLog) -> float:
    part = split_iterations(run).get(phase)
    return math.nan if part is None else float(np.median(part))


def _traffic(name: str, run: RunLog) -> float:
    return float(np.median(run.traffic[name]))


def _gradients(run: RunLog) -> float:
    found = gradients_per_iteration(run.spec)
    return math.nan if found is None else float(found)


def _gradients_before(run: RunLog) -> HostFloats:
    return _gradients(run) * iterations_before(run)


#: What is spent before each iteration, its units, and whether it is timed.
_SPENT: dict[str, tuple[Callable[[RunLog], HostFloats], str, bool]] = {
    "iterations_to": (iterations_before, "1", False),
    "seconds_to": (seconds_before, "s", True),
    "uplink_bytes_to": (uplink_bytes_before, "B", False),
    "gradients_to": (_gradients_before, "1", False),
}
