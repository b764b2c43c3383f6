"""Summarise methods: errors of each, and times for each set of conditions."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.exact import exact_reference
from analysis.facts import gradients_per_iteration
from analysis.methods import final_loss
from analysis.metrics import best_value, final_value
from analysis.statistics import Estimate, estimate, estimate_over
from analysis.target import Reach, Target, TimeToReach, reach, time_to_reach
from analysis.timing import counted_iterations, iteration_seconds, split_iterations
from lad_mpi.metrics.names import (
    DOWNLINK_BYTES,
    HONEST_DISPERSION,
    HONEST_DISPERSION_PREDICTED,
    LOSS,
    UPLINK_BYTES,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from analysis.facts import Conditions
    from analysis.methods import Method, TimedLaunches
    from analysis.runs import Collection
    from lad_mpi.logs import Launch, RunLog
    from lad_mpi.types import HostFloats, Metric

#: Kind of prediction of the dispersion if it is only an upper bound.
UPPER_BOUND = "upper bound"


@dataclass(frozen=True, slots=True)
class PhaseTime:
    """Time of a phase.

    Parameters
    ----------
    median, mean : float
        Seconds: median and mean over the iterations of a launch, then medians over launches.
    """

    median: float
    mean: float


@dataclass(frozen=True, slots=True)
class TimeSummary:
    """Times of a method under the same conditions.

    Parameters
    ----------
    label : str
        Label of the method, with the conditions if it was timed under several.
    conditions : Conditions
        The conditions.
    seeds, launches : int
        Numbers of seeds and of launches with these conditions.
    seconds : Estimate
        Training time of an iteration: medians over iterations, combined by
        :func:`~analysis.statistics.estimate_over`.
    mean_s : float
        The same with means over iterations.
    phases : dict of PhaseTime
        Parts of an iteration, as in :func:`~analysis.timing.split_iterations`. The means add
        up to ``mean_s`` if there is one launch. Medians do not add up.
    warm : bool
        Whether there were iterations after warm-up. If not, the times are those of warm-up.
    to_target : TimeToReach or None
        Time to the target, if one was given.
    """

    label: str
    conditions: Conditions
    seeds: int
    launches: int
    seconds: Estimate
    mean_s: float
    phases: dict[str, PhaseTime]
    warm: bool
    to_target: TimeToReach | None


@dataclass(frozen=True, slots=True)
class MetricSummary:
    """A metric of a method, medians over seeds.

    Parameters
    ----------
    metric : Metric
        The metric.
    final : Estimate or None
        Its value for the final model; None unless all seeds have one.
    best : Estimate or None
        Its best value of all evaluations; None unless all seeds have one.
    minus_exact : Estimate or None
        The final value minus that of exact recovery with the same seed.
    """

    metric: Metric
    final: Estimate | None
    best: Estimate | None
    minus_exact: Estimate | None


@dataclass(frozen=True, slots=True)
class Summary:
    """Errors and costs of a method.

    Parameters
    ----------
    label : str
        Label of the method.
    seeds, runs : int
        Numbers of seeds and of complete runs.
    final_loss : Estimate
        F of the final model, over seeds.
    ratio_to_exact : Estimate or None
        Final loss over that of exact recovery with the same seed.
    reference : str or None
        Label of the method of exact recovery.
    metrics : tuple of MetricSummary
        Further metrics.
    dispersion_ratio : Estimate or None
        Measured over predicted dispersion of the honest messages: means over iterations,
        then over seeds.
    dispersion_prediction : str
        Kind of prediction: ``"exact"``, ``"upper bound"``, or empty if the log does not say.
    uplink_bytes, downlink_bytes : float
        Traffic of an iteration.
    gradients : int or None
        Subset gradients that all devices together compute in an iteration.
    to_target : Reach or None
        Cost of reaching the target, if one was given.
    times : tuple of TimeSummary
        Times of an iteration, by conditions.
    """

    label: str
    seeds: int
    runs: int
    final_loss: Estimate
    ratio_to_exact: Estimate | None
    reference: str | None
    metrics: tuple[MetricSummary, ...]
    dispersion_ratio: Estimate | None
    dispersion_prediction: str
    uplink_bytes: float
    downlink_bytes: float
    gradients: int | None
    to_target: Reach | None
    times: tuple[TimeSummary, ...]


def summarise(
    collection: Collection, target: Target | None = None, metrics: Sequence[Metric] = ()
) -> list[Summary]:
    """Return a row for every method, the smallest final loss first.

    Parameters
    ----------
    collection : Collection
        The runs.
    target : Target, optional
        Also report the cost of reaching this target.
    metrics : sequence of Metric, optional
        Further metrics to report. The loss is always reported.
    """
    methods = collection.methods
    further = [metric for metric in metrics if metric.name != LOSS]
    rows = [_summarise(method, methods, target, further) for method in methods]
    return sorted(rows, key=lambda row: row.final_loss.median)


def dispersion_ratio(run: RunLog) -> float | None:
    """Return the mean over iterations of measured over predicted dispersion.

    If the prediction is exact, the expectation is 1. Iterations whose predicted dispersion
    is 0 are ignored.
    """
    measured, predicted = run.metrics[HONEST_DISPERSION], run.metrics[HONEST_DISPERSION_PREDICTED]
    told = predicted > 0
    return float(np.mean(measured[told] / predicted[told])) if told.any() else None


def _summarise(
    method: Method, methods: Sequence[Method], target: Target | None, metrics: Sequence[Metric]
) -> Summary:
    by_seed = method.by_seed
    runs = list(by_seed.values())
    reference = exact_reference(method, methods)
    ratios = [ratio for run in runs if (ratio := dispersion_ratio(run)) is not None]
    return Summary(
        label=method.label,
        seeds=len(by_seed),
        runs=len(method.runs),
        final_loss=estimate([final_loss(run) for run in runs]),
        ratio_to_exact=None if reference is None else _ratio(method, reference),
        reference=None if reference is None else reference.label,
        metrics=tuple(_summarise_metric(metric, method, reference) for metric in metrics),
        dispersion_ratio=estimate(ratios) if ratios else None,
        dispersion_prediction=str(runs[0].provenance.get("dispersion_prediction", "")),
        uplink_bytes=_traffic(runs, UPLINK_BYTES),
        downlink_bytes=_traffic(runs, DOWNLINK_BYTES),
        gradients=gradients_per_iteration(method.spec),
        to_target=None if target is None else reach(method, target),
        times=tuple(_summarise_times(timing, target) for timing in method.timings),
    )


def _summarise_metric(metric: Metric, method: Method, reference: Method | None) -> MetricSummary:
    final = {seed: final_value(run, metric.name) for seed, run in method.by_seed.items()}
    exact = {} if reference is None else reference.by_seed
    return MetricSummary(
        metric=metric,
        final=_if_known(final.values()),
        best=_if_known(best_value(run, metric) for run in method.by_seed.values()),
        minus_exact=_if_known(
            final[seed] - final_value(run, metric.name)
            for seed, run in exact.items()
            if seed in final
        ),
    )


def _if_known(values: Iterable[float]) -> Estimate | None:
    known = list(values)
    return None if not known or any(map(math.isnan, known)) else estimate(known)


def _summarise_times(timing: TimedLaunches, target: Target | None) -> TimeSummary:
    # A launch without iterations after warm-up counts only if there are no other launches.
    warm = [one for one in timing.launches if _is_warm(*one)]
    launches = warm or timing.launches
    parts = [split_iterations(*one) for one in launches]
    seconds = [iteration_seconds(run)[counted_iterations(run, made)] for run, made in launches]

    def over_launches(
        values: Sequence[HostFloats], statistic: Callable[[HostFloats], object]
    ) -> Estimate:
        by_seed: dict[int, list[float]] = defaultdict(list)
        for (run, _), value in zip(launches, values, strict=True):
            by_seed[run.spec["seed"]].append(float(statistic(value)))  # type: ignore[arg-type]
        return estimate_over(by_seed)

    return TimeSummary(
        label=timing.label,
        conditions=timing.conditions,
        seeds=len({run.spec["seed"] for run, _ in launches}),
        launches=len(launches),
        seconds=over_launches(seconds, np.median),
        mean_s=over_launches(seconds, np.mean).median,
        phases={
            phase: PhaseTime(
                over_launches([part[phase] for part in parts], np.median).median,
                over_launches([part[phase] for part in parts], np.mean).median,
            )
            for phase in parts[0]
        },
        warm=bool(warm),
        to_target=None if target is None else time_to_reach(timing, target),
    )


def _is_warm(run: RunLog, launch: Launch) -> bool:
    return bool(run.is_warm()[launch.first : launch.stop].any())


def _ratio(method: Method, reference: Method) -> Estimate:
    own, other = method.by_seed, reference.by_seed
    seeds = own.keys() & other.keys()
    return estimate([final_loss(own[seed]) / final_loss(other[seed]) for seed in seeds])


def _traffic(runs: Sequence[RunLog], name: str) -> float:
    return float(np.median([np.median(run.traffic[name]) for run in runs]))
