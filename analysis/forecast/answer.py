"""Answers of a forecast: costs at the requested ranks and networks, and the cheapest method."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from analysis.metrics import best_value
from analysis.quantities import spent_on
from analysis.statistics import EACH_OF_TWO, Interval, estimate
from lad_mpi.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from analysis.forecast.model import CostModel, Prediction
    from analysis.forecast.observe import Measured
    from analysis.methods import Method
    from analysis.target import Target
    from lad_mpi.network import Network

#: Name of the real network of the measurements.
AS_MEASURED = "the measured network"


@dataclass(frozen=True, slots=True)
class Question:
    """What to predict.

    Parameters
    ----------
    ranks : tuple of int
        Values of P; empty for the measured ones.
    networks : dict of Network
        Networks by name; empty for the measured ones.
    target : str or None
        A target, as :func:`~analysis.target.find_target` parses it.
    """

    ranks: tuple[int, ...] = ()
    networks: Mapping[str, Network] = field(default_factory=dict)
    target: str | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """The iterations that the runs of a method took to a target.

    Parameters
    ----------
    iterations : Interval or None
        Iterations to the target, over seeds: median, with an interval of coverage
        ``EACH_OF_TWO``, or the smallest and largest value if there are too few seeds. A seed
        that did not reach the target counts as infinite. None if the median is infinite.
    within : int
        Number of iterations that were run.
    best : float
        Best value of all evaluations, median over seeds; NaN if a seed has none.
    steps : dict of float
        Iterations to the target, by seed; infinite if it was not reached.
    """

    iterations: Interval | None
    within: int
    best: float
    steps: Mapping[int, float]

    @property
    def reached(self) -> int:
        """Number of seeds that reached the target."""
        return sum(map(math.isfinite, self.steps.values()))


@dataclass(frozen=True, slots=True)
class Row:
    """One method on one number of ranks and one network.

    Parameters
    ----------
    method : str
        Label of the method.
    ranks, devices : int
        P and N.
    network : str
        Name of the network.
    iteration : Prediction
        Time of an iteration.
    progress : Progress or None
        Iterations to the target; None if there is no target.
    servers : int
        S.
    """

    method: str
    ranks: int
    devices: int
    network: str
    iteration: Prediction
    progress: Progress | None
    servers: int = 1

    @property
    def cost_s(self) -> Interval | None:
        """Seconds to the target, or of an iteration if there is none; None if not reached.

        A range without a coverage if there are too few seeds for an interval.
        """
        if self.progress is None:
            return self.iteration.seconds
        if self.progress.iterations is None:
            return None
        return self.progress.iterations.times(self.iteration.surer)

    def is_surely_cheaper(self, other: Row) -> bool:
        """Return whether this method is cheaper than another one, beyond the intervals.

        The interval of this iteration has to end before the other one starts. Iterations to a
        target are compared seed by seed, because all methods of a seed have the same data and
        the same Byzantine devices.
        """
        if self.progress is None or other.progress is None:
            return self.iteration.seconds.high < other.iteration.seconds.low
        own, theirs = self.progress.steps, other.progress.steps
        # A seed that did not reach the target may need any number of iterations.
        ratios = [
            max(1, own[seed]) / max(1, theirs[seed]) if math.isfinite(own[seed]) else math.inf
            for seed in own.keys() & theirs.keys()
        ]
        most = estimate(ratios, EACH_OF_TWO).high if ratios else math.inf
        return most * self.iteration.surer.high < other.iteration.surer.low


@dataclass(frozen=True, slots=True)
class Scenario:
    """All methods on one number of ranks and one network.

    Parameters
    ----------
    ranks : int
        P.
    network : str
        Name of the network.
    rows : tuple of Row
        By ascending cost. Methods that do not reach the target come last.
    """

    ranks: int
    network: str
    rows: tuple[Row, ...]

    def rank_of(self, row: Row) -> int | None:
        """Return 1 plus the number of methods that are surely cheaper; None without a cost.

        Methods with rank 1 cannot be distinguished from the cheapest one.
        """
        if row.cost_s is None:
            return None
        known = (other for other in self.rows if other.cost_s is not None)
        return 1 + sum(other.is_surely_cheaper(row) for other in known)

    @property
    def best(self) -> tuple[Row, ...]:
        """The cheapest method, and those that cannot be distinguished from it."""
        return tuple(row for row in self.rows if self.rank_of(row) == 1)

    @property
    def not_reached(self) -> tuple[Row, ...]:
        """Methods of which at least half of the seeds did not reach the target."""
        return tuple(row for row in self.rows if row.cost_s is None)


def answer(
    measured: Measured, model: CostModel, question: Question, target: Target | None
) -> list[Scenario]:
    """Predict all methods in all requested scenarios.

    Raises
    ------
    UsageError
        A number of ranks is larger than N + S, or the real network was not measured on it.
    """
    scenarios: dict[tuple[int, str], list[Row]] = {}
    for label in model.cases:
        progress = None if target is None else progress_to(target, measured.methods[label])
        own = model.cases[label]
        devices = own[0].devices
        for ranks in question.ranks or sorted({case.ranks for case in own}):
            if ranks > devices + own[0].servers:
                raise UsageError(
                    f"--ranks {ranks}: {label} has {devices} devices, which occupy at most "
                    f"{devices + own[0].servers} ranks",
                    hint="measure a study with more devices; a rank can host many of them",
                )
            for name, network in (question.networks or measured_networks(model)).items():
                found = model.predict(label, ranks, network)
                if found is not None:
                    row = Row(label, ranks, devices, name, found, progress, own[0].servers)
                    scenarios.setdefault((ranks, name), []).append(row)
    if not scenarios:
        known = sorted({case.ranks for own in model.cases.values() for case in own})
        raise UsageError(
            f"--ranks: the real network was measured only with P = {', '.join(map(str, known))}",
            hint="add a network, such as --network latency=50us,bandwidth=1GB/s",
        )
    return [
        Scenario(ranks, name, tuple(sorted(rows, key=_cost)))
        for (ranks, name), rows in sorted(scenarios.items(), key=lambda item: item[0][0])
    ]


def measured_networks(model: CostModel) -> dict[str, Network | None]:
    """Return the networks of the measurements by name."""
    networks = dict.fromkeys(case.network for own in model.cases.values() for case in own)
    return {AS_MEASURED if one is None else str(one): one for one in networks}


def progress_to(target: Target, method: Method) -> Progress:
    """Count the iterations to a target over the seeds of a method.

    A run may have reached the target some iterations before the evaluation that shows it.
    """
    runs = method.by_seed.values()
    spent = spent_on("iterations", target)
    steps = {seed: spent.measure(run) for seed, run in method.by_seed.items()}
    found = estimate(list(steps.values()), EACH_OF_TWO)
    interval = Interval(found.median, found.low, found.high, found.coverage)
    return Progress(
        iterations=interval if math.isfinite(found.median) else None,
        within=max(run.recorded for run in runs),
        best=float(np.median([best_value(run, target.metric) for run in runs])),
        steps=steps,
    )


def _cost(row: Row) -> tuple[bool, float]:
    cost = row.cost_s
    return cost is None, row.iteration.seconds.value if cost is None else cost.value


@dataclass(frozen=True, slots=True)
class Comparison:
    """A forecast and a measurement of the same method, ranks and network.

    Parameters
    ----------
    method : str
        Label of the method.
    ranks : int
        P.
    network : str
        Name of the network.
    predicted : Interval
        Predicted seconds of an iteration.
    measured_s : float
        Measured seconds of an iteration, median over launches.
    launches : int
        Number of launches.
    oversubscribed : bool
        Whether the measurement was oversubscribed, which the forecast is not about.
    """

    method: str
    ranks: int
    network: str
    predicted: Interval
    measured_s: float
    launches: int
    oversubscribed: bool

    @property
    def inside(self) -> bool:
        """Whether the interval contains the measured time."""
        return self.predicted.holds(self.measured_s)


def compare(model: CostModel, later: Measured, question: Question) -> list[Comparison]:
    """Predict measured cases that the model has not seen.

    Cases on a real network are compared with the networks of the question, if there are any.

    Raises
    ------
    UsageError
        None of the cases can be predicted.
    """
    found = []
    for case in later.cases:
        if case.method not in model.cases:
            continue
        networks: Mapping[str, Network | None] = question.networks or {AS_MEASURED: None}
        if case.network is not None:
            networks = {str(case.network): case.network}
        for name, network in networks.items():
            predicted = model.predict(case.method, case.ranks, network)
            if predicted is not None:
                found.append(
                    Comparison(
                        method=case.method,
                        ranks=case.ranks,
                        network=name,
                        predicted=predicted.seconds,
                        measured_s=float(np.median(case.totals_s)),
                        launches=len(case.launches),
                        oversubscribed=case.oversubscribed,
                    )
                )
    if not found:
        theirs = ", ".join(dict.fromkeys(case.method for case in later.cases))
        raise UsageError(
            f"--check: none of its runs can be predicted. Its methods are {theirs}; the forecast "
            f"has {', '.join(model.cases)}",
            hint="use the same names in both studies; for runs on a real network, add --network",
        )
    return found
