"""One row of numbers a method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.exact import exact_reference
from analysis.statistics import Estimate, estimate
from analysis.target import Reach, reach
from analysis.timing import COMMUNICATION, after_warmup, iteration_seconds, phase_seconds
from analysis.work import gradients_per_iteration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analysis.runs import Collection, Method
    from lad_mpi.logs import RunLog


@dataclass(frozen=True, slots=True)
class Summary:
    """What a method achieved and what it cost.

    Parameters
    ----------
    label : str
        The method.
    seeds, launches, ranks : int
        Numbers of seeds, of complete runs, and of ranks of a run.
    final_loss : Estimate
        F of the final model, over seeds.
    ratio_to_exact : Estimate or None
        Final loss over that of exact recovery with the same seed.
    reference : str or None
        The method of exact recovery.
    dispersion_ratio : Estimate or None
        Measured over predicted dispersion of the honest messages, averaged over
        iterations; over seeds.
    seconds : Estimate
        Training time of an iteration, over launches.
    phases : dict of float
        Its parts as of :func:`~analysis.timing.phase_seconds`, in seconds: medians
        over launches, and what these leave of ``seconds``.
    uplink_bytes, downlink_bytes : float
        Traffic of an iteration.
    gradients : int or None
        Subset gradients that all devices compute in an iteration.
    oversubscribed : bool
        Whether some run had more threads than processors.
    emulated_network : str
        The network that was emulated; empty where none was.
    machine : str
        Models of the processors and devices that the times come from.
    to_target : Reach or None
        What it took to reach the loss that was asked for, if any was.
    """

    label: str
    seeds: int
    launches: int
    ranks: int
    final_loss: Estimate
    ratio_to_exact: Estimate | None
    reference: str | None
    dispersion_ratio: Estimate | None
    seconds: Estimate
    phases: dict[str, float]
    uplink_bytes: float
    downlink_bytes: float
    gradients: int | None
    oversubscribed: bool
    emulated_network: str
    machine: str
    to_target: Reach | None


def summarise(collection: Collection, target_loss: float | None = None) -> list[Summary]:
    """Return a row for every method, the least final loss first.

    Parameters
    ----------
    collection : Collection
        The runs.
    target_loss : float, optional
        A loss of which is told what it took to reach it.
    """
    rows = [_summarise(method, collection.methods, target_loss) for method in collection.methods]
    return sorted(rows, key=lambda row: row.final_loss.median)


_PREDICTED = "honest_dispersion_predicted"


def dispersion_ratio(run: RunLog) -> float | None:
    """Return measured over predicted dispersion, averaged over iterations.

    Every ratio has the expectation one where the prediction is exact. Iterations
    in which no dispersion is predicted say nothing.
    """
    measured, predicted = run.metrics["honest_dispersion"], run.metrics[_PREDICTED]
    told = predicted > 0
    return float(np.mean(measured[told] / predicted[told])) if told.any() else None


def _summarise(method: Method, methods: Sequence[Method], target_loss: float | None) -> Summary:
    by_seed = method.by_seed
    reference = exact_reference(method, methods)
    seconds = estimate(
        [float(np.median(after_warmup(run, iteration_seconds(run)))) for run in method.runs]
    )
    ratios = [ratio for run in by_seed.values() if (ratio := dispersion_ratio(run)) is not None]
    return Summary(
        label=method.label,
        seeds=len(by_seed),
        launches=len(method.runs),
        ranks=method.ranks,
        final_loss=estimate([final_loss(run) for run in by_seed.values()]),
        ratio_to_exact=None if reference is None else _ratio(method, reference),
        reference=None if reference is None else reference.label,
        dispersion_ratio=estimate(ratios) if ratios else None,
        seconds=seconds,
        phases=_phases(method, seconds.median),
        uplink_bytes=_median([np.median(run.traffic["uplink_bytes"]) for run in method.runs]),
        downlink_bytes=_median([np.median(run.traffic["downlink_bytes"]) for run in method.runs]),
        gradients=gradients_per_iteration(method.spec),
        oversubscribed=method.oversubscribed,
        emulated_network=method.emulated_network,
        machine="; ".join(sorted({_machine(run) for run in method.runs})),
        to_target=None if target_loss is None else reach(method.runs, target_loss),
    )


def final_loss(run: RunLog) -> float:
    """Return the loss of the final model."""
    return float("nan") if run.final is None else run.final.metrics["loss"]


def _ratio(method: Method, reference: Method) -> Estimate:
    own, other = method.by_seed, reference.by_seed
    seeds = own.keys() & other.keys()
    return estimate([final_loss(own[seed]) / final_loss(other[seed]) for seed in seeds])


def _phases(method: Method, total: float) -> dict[str, float]:
    parts = [phase_seconds(run) for run in method.runs]
    medians = {phase: _median([part[phase] for part in parts]) for phase in parts[0]}
    # Medians do not add up; the rest is again what the work leaves of the whole.
    del medians[COMMUNICATION]
    return {**medians, COMMUNICATION: max(0.0, total - sum(medians.values()))}


def _machine(run: RunLog) -> str:
    models = [run.provenance.get("cpu_model", ""), *run.provenance.get("devices", ())]
    return ", ".join(model for model in dict.fromkeys(models) if model not in {"", "cpu"})


def _median(values: Sequence[Any]) -> float:
    return float(np.median(values))
