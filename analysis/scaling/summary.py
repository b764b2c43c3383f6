"""Summarise the cases of a scaling study, with medians over launches."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.methods import final_loss
from analysis.scaling.bounds import Verdict, judge_drift
from analysis.statistics import EACH_OF_TWO, Estimate, estimate
from analysis.timing import GATHER, CriticalPath, critical_path, gather_seconds, phase_seconds
from lad_mpi.types import device_ranks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analysis.scaling.load import CaseRuns, ScalingStudy


@dataclass(frozen=True, slots=True)
class PhaseSummary:
    """A phase of a case.

    Parameters
    ----------
    name : str
        Name of the phase.
    seconds : Estimate
        Seconds of an iteration on the slowest rank: medians over iterations, then over
        launches.
    bound_s : float or None
        Lower bound in seconds from the baseline; None if there is none, or it is void.
    void : str
        Why the bound is void; empty if it is not.
    """

    name: str
    seconds: Estimate
    bound_s: float | None
    void: str = ""

    @property
    def percent(self) -> float | None:
        """The bound in per cent of the time."""
        if self.bound_s is None or self.seconds.median <= 0:
            return None
        return 100 * self.bound_s / self.seconds.median


@dataclass(frozen=True, slots=True)
class CaseSummary:
    """Times and efficiencies of a case.

    Parameters
    ----------
    name : str
        Name of the case.
    ranks, device_ranks : int
        P, and the number of ranks that host devices.
    over : dict
        Values of the axes.
    growth : float
        Factor by which the spec was grown.
    launches, void : int
        Numbers of valid and of void launches.
    oversubscribed : bool
        Whether there were more threads than processors. Such a case makes no claim.
    emulated_network : str
        The emulated network; empty if there was none.
    shared_compute : bool
        Whether each rank computed redundant gradients only once.
    servers : int
        Number of server ranks.
    seconds : Estimate
        Training time of an iteration in seconds, over launches.
    phases : tuple of PhaseSummary
        Its parts.
    device_s, server_s : float
        Work of the slowest device rank and of the server in seconds, medians.
    load_balance, communication_efficiency : float
        Medians over launches of the values in :func:`~analysis.timing.critical_path`.
    critical : str
        Phase with most time on the critical path, with its rank and share.
    base : str
        The case that speed-up and efficiency refer to.
    speedup, efficiency : Estimate or None
        Estimates with the widest interval that the two intervals allow; None if the case
        makes no claim.
    drift : tuple of str
        Why drift of the machine voids comparisons of the case; empty if it does not.
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
    servers: int
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
    drift: tuple[str, ...]
    final_loss: float


def summarise_scaling(study: ScalingStudy) -> list[CaseSummary]:
    """Return a row for every case with valid launches, in the order of the study."""
    counted = [case for case in study.cases if case.runs]
    timed = {case.case.name: _time(case, study) for case in counted}
    return [
        _summarise(timed[case.case.name], timed[_base_of(case, counted).case.name], study)
        for case in counted
    ]


def void_lines(rows: Sequence[CaseSummary], study: ScalingStudy) -> list[str]:
    """Return which claims are void and why: all of the study, or single cases and bounds."""
    lines = [f"no claim is made: {reason}" for reason in study.void]
    if lines:
        return lines
    reasons: dict[str, list[str]] = {}
    for row in rows:
        for reason in row.drift:
            reasons.setdefault(f"no speed-up or efficiency: {reason}", []).append(row.name)
        for phase in row.phases:
            if phase.void:
                text = f"no bound of {phase.name}: {phase.void}"
                reasons.setdefault(text, []).append(row.name)
    return [f"{', '.join(names)}: {reason}" for reason, names in reasons.items()]


@dataclass(frozen=True, slots=True, eq=False)
class _Timed:
    """A case with the times of its launches."""

    runs: CaseRuns
    paths: tuple[CriticalPath, ...]
    phases: dict[str, Estimate]
    verdict: Verdict

    @property
    def hosts(self) -> int:
        return device_ranks(self.runs.case.ranks, self.runs.servers)

    @property
    def totals(self) -> list[float]:
        return [path.total_s for path in self.paths]


def _time(case: CaseRuns, study: ScalingStudy) -> _Timed:
    parts = [phase_seconds(run) for run in case.runs]
    phases = {name: estimate([part[name] for part in parts]) for name in parts[0]}
    if case.case.ranks > 1:
        phases[GATHER] = estimate([gather_seconds(run) for run in case.runs])
    medians = {name: found.median for name, found in phases.items()}
    paths = tuple(critical_path(run) for run in case.runs)
    return _Timed(case, paths, phases, judge_drift(case, study, medians))


def _base_of(case: CaseRuns, counted: Sequence[CaseRuns]) -> CaseRuns:
    """Return the case with the fewest ranks and the same values of the axes."""
    alike = [other for other in counted if other.case.over == case.case.over]
    return min(alike, key=lambda other: other.case.ranks)


def _summarise(timed: _Timed, base: _Timed, study: ScalingStudy) -> CaseSummary:
    case, paths, verdict = timed.runs, timed.paths, timed.verdict
    drift = tuple(dict.fromkeys(one.drift for one in (verdict, base.verdict) if one.drift))
    crowded = case.oversubscribed or base.runs.oversubscribed
    speedup = efficiency = None
    if not (study.void or drift or crowded):
        gained = gain(base.totals, timed.totals)
        if timed is base:
            # The base case relative to itself is exactly 1, without noise.
            gained = dataclasses.replace(gained, median=1.0, low=1.0, high=1.0)
        ideal = 1.0
        if study.record.kind == "strong":
            speedup, ideal = gained, timed.hosts / base.hosts
        efficiency = Estimate(
            gained.median / ideal, gained.low / ideal, gained.high / ideal,
            gained.count, gained.coverage,
        )  # fmt: skip
    return CaseSummary(
        name=case.case.name,
        ranks=case.case.ranks,
        device_ranks=timed.hosts,
        over=dict(case.case.over),
        growth=case.case.growth,
        launches=len(case.runs),
        void=len(case.void),
        oversubscribed=case.oversubscribed,
        emulated_network=case.emulated_network,
        shared_compute=case.shared_compute,
        servers=case.servers,
        seconds=estimate(timed.totals),
        phases=tuple(
            PhaseSummary(name, found, verdict.bounds.get(name), verdict.lost.get(name, ""))
            for name, found in timed.phases.items()
        ),
        device_s=_median([path.device_s for path in paths]),
        server_s=_median([path.server_s for path in paths]),
        load_balance=_median([path.load_balance for path in paths]),
        communication_efficiency=_median([path.communication_efficiency for path in paths]),
        critical=_critical(paths),
        base=base.runs.case.name,
        speedup=speedup,
        efficiency=efficiency,
        drift=drift,
        final_loss=final_loss(case.runs[0]),
    )


def gain(base_s: Sequence[float], seconds: Sequence[float]) -> Estimate:
    """Return the median time of a base over that of a case, from their launches.

    The interval has ``CONFIDENCE``. This takes more launches than the interval of a time.
    """
    return ratio_of_estimates(estimate(base_s, EACH_OF_TWO), estimate(seconds, EACH_OF_TWO))


def ratio_of_estimates(over: Estimate, under: Estimate) -> Estimate:
    """Divide two medians, with the widest interval that their two intervals allow.

    The interval holds if both intervals hold. By Bonferroni's inequality this has at least
    the probability ``CONFIDENCE`` if each holds with ``EACH_OF_TWO``.
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


def _critical(paths: Sequence[CriticalPath]) -> str:
    """Name the phase and rank that took most of the critical path in most launches."""
    (phase, rank), _ = Counter((path.phase, path.phase_rank) for path in paths).most_common(1)[0]
    share = _median([path.phase_share for path in paths if path.phase == phase])
    where = "all ranks" if rank == "all" else f"rank {rank}"
    return f"{phase}, {where}, {share:.0%}"


def _median(values: Sequence[float]) -> float:
    return float(np.median(values))
