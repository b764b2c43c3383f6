"""Rows of a forecast: the time of an iteration, and to a target, at the requested sizes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.forecast.observe import header_bytes
from analysis.forecast.workload import grown, workload_of
from analysis.metrics import best_value
from analysis.statistics import EACH_OF_TWO, Interval, estimate
from analysis.target import first_step

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from analysis.forecast.fit import CostModel, Prediction
    from analysis.forecast.observe import Measured, MeasuredCase
    from analysis.forecast.workload import Workload
    from analysis.target import Target
    from lad_mpi.logs import RunLog
    from lad_mpi.network import Network


@dataclass(frozen=True, slots=True)
class Question:
    """The sizes, networks and target of a forecast. Empty fields mean: as measured.

    Parameters
    ----------
    ranks, loads, dimensions : tuple of int
        Values of P, d and Q.
    networks : tuple of Network
        Networks; each replaces the measured communication.
    target : str or None
        A target, as :func:`~analysis.target.find_target` parses it.
    """

    ranks: tuple[int, ...] = ()
    loads: tuple[int, ...] = ()
    dimensions: tuple[int, ...] = ()
    networks: tuple[Network, ...] = ()
    target: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One method at one size on one network.

    Parameters
    ----------
    method : str
        As in :class:`~analysis.forecast.observe.MeasuredCase`.
    workload : Workload
        The sizes.
    network : Network or None
        None for communication as measured.
    iteration : Prediction
        Time of an iteration.
    progress : StepsToTarget or None
        Iterations to the target; None if there is no target, or no log at this load.
    source : Workload or None
        Sizes of the runs from which the iterations are taken.
    """

    method: str
    workload: Workload
    network: Network | None
    iteration: Prediction
    progress: StepsToTarget | None
    source: Workload | None

    @property
    def to_target_s(self) -> Interval | None:
        """Time to the target in seconds; a range if there are too few seeds for an interval."""
        if self.progress is None or self.progress.iterations is None:
            return None
        return self.progress.iterations.times(self.iteration.surer)


def predict_rows(
    measured: Measured, model: CostModel, question: Question, target: Target | None = None
) -> list[Row]:
    """Predict all requested rows, ordered by method, P, Q, network and d.

    Parameters
    ----------
    measured : Measured
        The measured cases.
    model : CostModel
        A model that was fitted to them.
    question : Question
        Sizes and networks.
    target : Target, optional
        The target of the question.

    Raises
    ------
    SpecError
        A size is not valid, such as d above N or k above Q.
    """
    rows = []
    for method in dict.fromkeys(case.method for case in measured.cases):
        cases = [case for case in measured.cases if case.method == method]
        networks: Sequence[Network | None] = question.networks or (None,)
        for ranks, dimension, network in product(
            question.ranks or _values(cases, "ranks"),
            question.dimensions or _values(cases, "dimension"),
            networks,
        ):
            for load in _loads(cases, question):
                row = row_at(
                    model, cases, method, target=target, network=network,
                    ranks=ranks, load=load, dimension=dimension,
                )  # fmt: skip
                if row is not None:
                    rows.append(row)
    return rows


def row_at(
    model: CostModel,
    cases: Sequence[MeasuredCase],
    method: str,
    *,
    target: Target | None,
    network: Network | None,
    ranks: int,
    load: int | None,
    dimension: int,
) -> Row | None:
    """Predict one method at one size; None if its communication was not measured.

    Parameters
    ----------
    model : CostModel
        A model that was fitted to these cases, among others.
    cases : sequence of MeasuredCase
        Cases of the method.
    method : str
        Name of the method.
    target : Target or None
        The target.
    network, ranks, load, dimension
        As in :class:`Question`; the load is None for a code without a choice of load.
    """
    workload = workload_at(cases, ranks=ranks, load=load, dimension=dimension)
    if network is None and not model.covers(workload):
        return None
    progress, source = _progress(cases, workload, target)
    return Row(method, workload, network, model.predict(workload, network), progress, source)


def cheapest(rows: Sequence[Row]) -> list[tuple[Row, list[Row]]]:
    """Return, for every P, Q and network, the row that reaches the target first.

    Each comes with the rows whose intervals overlap with its own, which cannot be
    distinguished from it.
    """
    groups: dict[tuple[Any, ...], list[tuple[float, Row, Interval]]] = {}
    for row in rows:
        spent = row.to_target_s
        if spent is not None:
            key = (row.workload.ranks, row.workload.dimension, row.network)
            groups.setdefault(key, []).append((spent.value, row, spent))
    found = []
    for members in groups.values():
        _, best, spent = min(members, key=lambda member: member[0])
        near = [row for _, row, other in members if row is not best and other.low <= spent.high]
        found.append((best, near))
    return found


def workload_at(
    cases: Sequence[MeasuredCase], *, ranks: int, load: int | None, dimension: int
) -> Workload:
    """Return the sizes of a method at other ranks, load and dimension.

    If there are more device ranks than devices, devices are added until each rank has one,
    and Byzantine devices in proportion.
    """
    run = _closest(cases, dimension).runs[0]
    devices = run.spec["devices"]
    changes: dict[str, Any] = {}
    if load is not None:
        changes["coding.load"] = load
    if ranks - 1 > devices["count"]:
        factor = (ranks - 1) / devices["count"]
        for name in ("byzantine", "assumed_byzantine"):
            if name in devices:
                changes[f"devices.{name}"] = int(devices[name] * factor)
        changes["devices.count"] = ranks - 1
    return workload_of(grown(run.spec, changes), ranks, dimension, header_bytes(run))


def _closest(cases: Sequence[MeasuredCase], dimension: int) -> MeasuredCase:
    alike = [case for case in cases if case.workload.dimension == dimension]
    return max(alike or cases, key=lambda case: case.workload.dimension)


def _values(cases: Sequence[MeasuredCase], name: str) -> list[int]:
    return sorted({int(getattr(case.workload, name)) for case in cases})


def _loads(cases: Sequence[MeasuredCase], question: Question) -> Sequence[int | None]:
    """Return the loads of the rows; None for a code without a choice of load."""
    own = sorted(
        {
            int(run.spec["coding"]["load"])
            for case in cases
            for run in case.runs
            if "load" in run.spec["coding"]
        }
    )
    if not own:
        return [None]
    return question.loads or own


def _progress(
    cases: Sequence[MeasuredCase], workload: Workload, target: Target | None
) -> tuple[StepsToTarget | None, Workload | None]:
    """Count iterations in runs with the same load and the closest N and Q."""
    alike = [case for case in cases if _same_load(case, workload)]
    if target is None or not alike:
        return None, None
    source = min(
        (case.workload for case in alike),
        key=lambda w: (w.devices != workload.devices, abs(w.dimension - workload.dimension)),
    )
    sizes = (source.devices, source.dimension, source.samples)
    runs = [
        run
        for case in alike
        if (case.workload.devices, case.workload.dimension, case.workload.samples) == sizes
        for run in case.runs
    ]
    return progress_to(target, runs), source


def _same_load(case: MeasuredCase, workload: Workload) -> bool:
    """Return whether two have the same load; True for a code without a choice of load."""
    return case.workload.load == workload.load or "load" not in case.runs[0].spec["coding"]


@dataclass(frozen=True, slots=True)
class StepsToTarget:
    """The iterations that the runs of a method took to a target.

    Parameters
    ----------
    iterations : Interval or None
        Iterations to the target, over seeds: median, with an interval of coverage
        ``EACH_OF_TWO``, or the smallest and largest value if there are too few seeds. None
        if a seed did not reach the target.
    seeds, reached : int
        Number of seeds, and of those that reached the target.
    within : int
        Number of iterations that were run.
    best : float
        Best value of all evaluations, median over seeds; NaN if a seed has none.
    """

    iterations: Interval | None
    seeds: int
    reached: int
    within: int
    best: float


def progress_to(target: Target, runs: Iterable[RunLog]) -> StepsToTarget:
    """Count the iterations to a target over the seeds of one method.

    Launches of a seed have the same errors, so each seed counts once. A run may have reached
    the target some iterations before the evaluation that shows it.
    """
    by_seed = {run.spec["seed"]: run for run in runs}
    counts = [first_step(run, target) for run in by_seed.values()]
    reached = [count for count in counts if count is not None]
    iterations = None
    if len(reached) == len(counts):
        found = estimate([float(count) for count in reached], EACH_OF_TWO)
        iterations = Interval(found.median, found.low, found.high, found.coverage)
    return StepsToTarget(
        iterations=iterations,
        seeds=len(counts),
        reached=len(reached),
        within=max(run.recorded for run in by_seed.values()),
        best=float(np.median([best_value(run, target.metric) for run in by_seed.values()])),
    )
