"""One row of numbers a case, medians over launches."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.scaling.bounds import phase_bounds, sizes_of
from analysis.scaling.path import CriticalPath, critical_path
from analysis.statistics import Estimate, estimate
from analysis.summary import final_loss
from analysis.timing import phase_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analysis.scaling.load import CaseRuns, ScalingStudy


@dataclass(frozen=True, slots=True)
class PhaseSummary:
    """A phase of a case.

    Parameters
    ----------
    name : str
        Of the phase.
    seconds : Estimate
        Of an iteration, on the slowest rank; medians over iterations, over launches.
    bound_s : float or None
        The least time by the baseline; None where there is no bound.
    """

    name: str
    seconds: Estimate
    bound_s: float | None

    @property
    def percent(self) -> float | None:
        """Bound over time, in per cent."""
        if self.bound_s is None or self.seconds.median <= 0:
            return None
        return 100 * self.bound_s / self.seconds.median


@dataclass(frozen=True, slots=True)
class CaseSummary:
    """What a case took.

    Parameters
    ----------
    name : str
        Of the case.
    ranks, device_ranks : int
        P, and how many of them host devices.
    over : dict
        Values of the axes.
    growth : float
        By how much the spec was grown.
    launches, void : int
        Launches that count, and that do not.
    oversubscribed : bool
        More threads than processors: no claim.
    emulated_network : str
        The network that was emulated; empty where none was.
    shared_compute, overlap : bool
        Redundant gradients were computed once a rank; messages were gathered while the
        server worked.
    seconds : Estimate
        Training time of an iteration, over launches.
    phases : tuple of PhaseSummary
        Its parts.
    device_s, server_s : float
        Work of the slowest device rank and of the server, medians.
    load_balance, communication_efficiency : float
        Medians over launches of those of :func:`~analysis.scaling.path.critical_path`.
    critical : str
        Phase with most time on the critical path, with its rank and share.
    base : str
        The case that speed-up and efficiency are relative to.
    speedup, efficiency : Estimate or None
        With the interval that the two intervals allow at the widest; None where no
        claim can be made.
    final_loss : float
        F of the final model.
    """

    name: str
    ranks: int
    device_ranks: int
    over: dict[str, object]
    growth: float
    launches: int
    void: int
    oversubscribed: bool
    emulated_network: str
    shared_compute: bool
    overlap: bool
    seconds: Estimate
    phases: tuple[PhaseSummary, ...]
    device_s: float
    server_s: float
    load_balance: float
    communication_efficiency: float
    critical: str
    base: str
    speedup: Estimate | None
    efficiency: Estimate | None
    final_loss: float


def summarise_scaling(study: ScalingStudy) -> list[CaseSummary]:
    """Return a row for every case with launches that count, in the order of the study."""
    counted = [case for case in study.cases if case.runs]
    return [_summarise(case, _base_of(case, counted), study) for case in counted]


def seconds_of(case: CaseRuns) -> Estimate:
    """Return the training time of an iteration, over launches."""
    return estimate([critical_path(run).total_s for run in case.runs])


def _base_of(case: CaseRuns, counted: Sequence[CaseRuns]) -> CaseRuns:
    """Return the case of fewest ranks at the same values of the axes."""
    alike = [other for other in counted if other.case.over == case.case.over]
    return min(alike, key=lambda other: other.case.ranks)


def _summarise(case: CaseRuns, base: CaseRuns, study: ScalingStudy) -> CaseSummary:
    paths = [critical_path(run) for run in case.runs]
    seconds = estimate([path.total_s for path in paths])
    claim = not (study.void or case.oversubscribed or base.oversubscribed)
    hosts, base_hosts = (max(1, one.case.ranks - 1) for one in (case, base))
    speedup = efficiency = None
    if claim:
        gained = gain(seconds_of(base), seconds, is_base=case is base)
        ideal = 1.0
        if study.record.kind == "strong":
            speedup, ideal = gained, hosts / base_hosts
        efficiency = Estimate(
            gained.median / ideal, gained.low / ideal, gained.high / ideal,
            gained.count, gained.coverage,
        )  # fmt: skip
    return CaseSummary(
        name=case.case.name,
        ranks=case.case.ranks,
        device_ranks=hosts,
        over=dict(case.case.over),
        growth=case.case.growth,
        launches=len(case.runs),
        void=len(case.void),
        oversubscribed=case.oversubscribed,
        emulated_network=case.emulated_network,
        shared_compute=case.shared_compute,
        overlap=case.overlap,
        seconds=seconds,
        phases=_phases(case, study),
        device_s=_median([path.device_s for path in paths]),
        server_s=_median([path.server_s for path in paths]),
        load_balance=_median([path.load_balance for path in paths]),
        communication_efficiency=_median([path.communication_efficiency for path in paths]),
        critical=_critical(paths),
        base=base.case.name,
        speedup=speedup,
        efficiency=efficiency,
        final_loss=final_loss(case.runs[0]),
    )


def gain(base: Estimate, seconds: Estimate, *, is_base: bool) -> Estimate:
    """Return the base's time over a case's; of the base itself that is 1, and nothing else."""
    if is_base:
        return Estimate(1.0, 1.0, 1.0, base.count, base.coverage)
    return ratio(base, seconds)


def ratio(over: Estimate, under: Estimate) -> Estimate:
    """Divide two medians; the interval is the widest that the two intervals allow.

    Its coverage is that of both intervals holding at once, by Bonferroni's inequality.
    """
    coverage = None
    if over.coverage is not None and under.coverage is not None:
        coverage = over.coverage + under.coverage - 1
    return Estimate(
        over.median / under.median,
        over.low / under.high,
        over.high / under.low,
        min(over.count, under.count),
        coverage,
    )


def _phases(case: CaseRuns, study: ScalingStudy) -> tuple[PhaseSummary, ...]:
    parts = [phase_seconds(run) for run in case.runs]
    baseline, sizes = study.baselines.get(case.case.ranks), sizes_of(case.runs[0])
    bounds: dict[str, float] = {}
    # Measured with more threads than processors, a machine shows no bounds.
    if baseline is not None and sizes is not None and not baseline.oversubscribed:
        bounds = phase_bounds(sizes, baseline, case.case.ranks)
    return tuple(
        PhaseSummary(name, estimate([part[name] for part in parts]), bounds.get(name))
        for name in parts[0]
    )


def _critical(paths: Sequence[CriticalPath]) -> str:
    """Name the phase and rank that were critical in most launches."""
    (phase, rank), _ = Counter((path.phase, path.phase_rank) for path in paths).most_common(1)[0]
    share = _median([path.phase_share for path in paths if path.phase == phase])
    where = "all ranks" if rank == "all" else f"rank {rank}"
    return f"{phase}, {where}, {share:.0%}"


def _median(values: Sequence[float]) -> float:
    return float(np.median(values))
