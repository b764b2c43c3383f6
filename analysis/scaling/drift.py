"""What a drift of the machine voids: bounds and times that rest on what has changed."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from analysis.scaling.bounds import phase_bounds, sizes_of
from lad_mpi.errors import UsageError
from lad_mpi.records import compare_baselines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from analysis.scaling.load import CaseRuns, ScalingStudy
    from lad_mpi.records import Baseline, Drift

#: Quantities that stand in no bound: no phase of an iteration does such work.
_NO_PHASE = ("hdf5_append", "ping_pong", "triad_alone", "triad_each")
_TOGETHER = "_together"
_GPU = ("gpu_copy", "gpu_gemm", "host_to_device", "device_to_host")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The bounds of a case, and what the drift of the machine at its P voids.

    Parameters
    ----------
    bounds : dict of float
        Least time of each phase in seconds, of phases whose bound holds.
    lost : dict of str
        By phase, why its bound is void.
    drift : str
        Why the times of the case are void for a comparison; empty where they are not.
    """

    bounds: dict[str, float] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)
    drift: str = ""


def judge_drift(case: CaseRuns, study: ScalingStudy, seconds: Mapping[str, float]) -> Verdict:
    """Bound the phases of a case, and judge what the baselines around it say.

    Parameters
    ----------
    case : CaseRuns
        With launches that count.
    study : ScalingStudy
        Its study.
    seconds : mapping of float
        What each phase of an iteration took.

    Notes
    -----
    A bound is void if it changes by more than the threshold of the study when the
    quantities that drifted take their later values. The times of a case are void
    if an iteration whose phases changed in proportion to their bounds would.
    So what no phase rests on voids nothing, and what a short phase rests on little. Where
    no bounds are known, every quantity counts that an iteration could rest on.
    """
    ranks = case.case.ranks
    baseline, sizes = study.baselines.get(ranks), sizes_of(case.runs[0])
    # Measured with more threads than processors, a machine shows no bounds.
    if baseline is None or baseline.oversubscribed:
        return Verdict()
    drifts = _drifts(baseline, study.later_baselines.get(ranks), study.record.drift)
    if sizes is None:
        known = [drift for drift in drifts if _may_count(drift, case)]
        return Verdict(drift=_words(ranks, known) if known else "")
    bounds = phase_bounds(sizes, baseline, ranks)

    def bounds_after(some: Sequence[Drift]) -> dict[str, float]:
        return phase_bounds(sizes, _with(baseline, some), ranks)

    drifts = [drift for drift in drifts if bounds_after([drift]) != bounds]
    later = bounds_after(drifts)
    changes = {phase: abs(later[phase] / bound - 1) for phase, bound in bounds.items() if bound}
    limit = study.record.drift
    lost = [phase for phase, change in changes.items() if change > limit]
    whole = sum(change * seconds.get(phase, 0.0) for phase, change in changes.items())
    words = _words(ranks, drifts) if drifts else ""
    return Verdict(
        bounds={phase: bound for phase, bound in bounds.items() if phase not in lost},
        lost=dict.fromkeys(lost, words),
        drift=words if whole > limit * sum(seconds.values()) else "",
    )


def _drifts(before: Baseline, after: Baseline | None, threshold: float) -> list[Drift]:
    if after is None:
        return []
    try:
        return compare_baselines(before, after, threshold=threshold)
    except UsageError:
        # Of different machines: that voids the study, and is in its record.
        return []


def _with(baseline: Baseline, drifts: Sequence[Drift]) -> Baseline:
    """Return a baseline in which some quantities have their later medians."""
    later = {drift.key: drift.after for drift in drifts}
    quantities = [
        dataclasses.replace(one, samples=(later[one.key],)) if one.key in later else one
        for one in baseline.quantities
    ]
    return dataclasses.replace(baseline, quantities=tuple(quantities))


def _may_count(drift: Drift, case: CaseRuns) -> bool:
    backend = case.runs[0].spec.get("backend", {}).get("kind", "numpy")
    if drift.name in _NO_PHASE or drift.name.endswith(_TOGETHER):
        return False
    return drift.name not in _GPU or backend == "cupy"


def _words(ranks: int, drifts: Sequence[Drift]) -> str:
    most = max(drifts, key=lambda drift: abs(drift.change))
    others = f", and {len(drifts) - 1} more" if len(drifts) > 1 else ""
    return f"the machine drifted at P = {ranks}: {most}{others}"
