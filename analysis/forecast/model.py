"""Predictions of an iteration on other ranks and networks, with intervals."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtrit

from analysis.forecast.observe import OVERHEAD, hosted_devices
from analysis.statistics import CONFIDENCE, EACH_OF_TWO, Interval
from analysis.timing import DEVICE_PHASES, SERVER_PHASES
from lad_mpi.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from analysis.forecast.observe import MeasuredCase
    from lad_mpi.network import Network

#: Least relative spread of the work. A few launches in a row may agree by chance.
LEAST_SPREAD = 0.02
#: Largest exponent of the noise; larger ones would overflow.
_MOST = 100.0
_LEAST_S = 1e-12
#: The parts of an iteration.
DEVICES, SERVER, NETWORK = "devices", "server", "network"
PARTS = (DEVICES, SERVER, OVERHEAD, NETWORK)


@dataclass(frozen=True, slots=True)
class Prediction:
    """The predicted time of an iteration.

    Parameters
    ----------
    seconds : Interval
        Training time of an iteration of a new launch, with coverage ``CONFIDENCE``.
    surer : Interval
        The same with coverage ``EACH_OF_TWO``, for products with another interval.
    parts : dict of float
        Seconds by the names of ``PARTS``. They add up to the predicted value.
    measured_ranks : int
        Number of ranks of the launches that the prediction starts from.
    """

    seconds: Interval
    surer: Interval
    parts: dict[str, float]
    measured_ranks: int


@dataclass(frozen=True, slots=True, eq=False)
class CostModel:
    """The measured cases, and what they say about noise and constants.

    Parameters
    ----------
    cases : dict of list of MeasuredCase
        The cases of each method.
    spread : float
        Standard deviation of the logarithm of the time of an iteration without the network,
        between launches of a method on the same number of ranks.
    degrees : int
        Degrees of freedom of the spread.
    constants : dict of float
        Least seconds of a phase in any case, medians over launches, by phase and kind of
        components. The part of a phase that does not depend on the number of devices is not
        longer.
    """

    cases: Mapping[str, Sequence[MeasuredCase]]
    spread: float
    degrees: int
    constants: Mapping[tuple[str, str], float]

    def predict(self, method: str, ranks: int, network: Network | None) -> Prediction | None:
        """Predict an iteration.

        Parameters
        ----------
        method : str
            A method of the cases.
        ranks : int
            P, at most N + 1.
        network : Network or None
            The network; None for the real network of the measurements.

        Returns
        -------
        Prediction or None
            None if the real network was not measured on this number of ranks.

        Notes
        -----
        The work of the server does not depend on P and the network. Let a phase of a device
        take t with n devices on a rank. With n′ devices, it takes between t n′/n, if no part
        of it is constant, and a + (t − a) n′/n, where a is the largest possible constant. The
        overhead is the measured one on the same ranks and an emulated network. On another
        network, it is between zero and the measured one; on other ranks, between zero and the
        sum of the measured one and all work. The predicted value is the middle of the
        bounds. The interval ends are the bounds times exp(±t s √(1 + 1/L)), where s is the
        spread, t a quantile of Student's t distribution and L the number of launches, plus
        the time of the network.
        """
        own = self.cases[method]
        wanted = hosted_devices(own[0].devices, ranks, own[0].servers)
        if network is None:
            own = [case for case in own if case.network is None and case.ranks == ranks]
        if not own:
            return None
        closest = min(own, key=lambda case: _distance(case, ranks, wanted)).ranks
        bases = [case for case in own if case.ranks == closest]
        bounds = [
            self._bounds(case, launch, ranks, network) for case in bases for launch in case.launches
        ]
        # Medians of the sums: those of the parts would not add up.
        low, high = (median(sum(each[end].values()) for each in bounds) for end in (0, 1))
        sent = 0.0 if network is None else bases[0].network_s(network)
        value = sent + (low + high) / 2
        scale = self.spread * math.sqrt(1 + 1 / len(bounds))
        seconds, surer = (
            _interval(value, sent, (low, high), scale * self._quantile(coverage), coverage)
            for coverage in (CONFIDENCE, EACH_OF_TWO)
        )
        return Prediction(seconds, surer, _parts(bounds, sent, value), closest)

    def _bounds(
        self,
        case: MeasuredCase,
        launch: Mapping[str, float],
        ranks: int,
        network: Network | None,
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Return the least and the most seconds of each part, without noise and network."""
        ratio = hosted_devices(case.devices, ranks, case.servers) / case.hosted
        low, high = dict.fromkeys(PARTS[:-1], 0.0), dict.fromkeys(PARTS[:-1], 0.0)
        for phase in DEVICE_PHASES:
            spent = launch[phase]
            constant = min(spent, self.constants[phase, case.kinds[phase]])
            if case.shared_compute and phase == DEVICE_PHASES[0]:
                # Fewer devices on a rank have fewer subsets in common.
                constant = spent
            ends = spent * ratio, constant + (spent - constant) * ratio
            low[DEVICES] += min(ends)
            high[DEVICES] += max(ends)
        high[SERVER] = sum(launch[phase] for phase in SERVER_PHASES)
        low[SERVER] = high[SERVER]
        overhead = launch[OVERHEAD]
        if network is not None:
            overhead = max(0.0, overhead)
        measured = ranks == case.ranks
        kept = measured and (network is None or case.network is not None)
        low[OVERHEAD] = overhead if kept else 0.0
        work = high[DEVICES] + high[SERVER]
        # MPI adds to what made the measured ranks late, such as other load of the processors.
        high[OVERHEAD] = overhead if measured else max(0.0, overhead) + work
        return low, high

    def _quantile(self, coverage: float) -> float:
        return float(stdtrit(self.degrees, (1 + coverage) / 2))


def fit_model(cases: Iterable[MeasuredCase]) -> CostModel:
    """Learn from measured cases how times vary between launches.

    Raises
    ------
    UsageError
        No method was launched twice on the same number of ranks.
    """
    by_method: dict[str, list[MeasuredCase]] = defaultdict(list)
    groups: dict[tuple[str, int], list[float]] = defaultdict(list)
    constants: dict[tuple[str, str], float] = {}
    for case in cases:
        by_method[case.method].append(case)
        for launch in case.launches:
            # The overhead may be negative, because phases and iterations are timed apart.
            work = sum(max(0.0, spent) for spent in launch.values())
            groups[case.method, case.ranks].append(math.log(max(_LEAST_S, work)))
        for phase, kind in case.kinds.items():
            spent = median(launch[phase] for launch in case.launches)
            constants[phase, kind] = min(constants.get((phase, kind), math.inf), spent)
    degrees = sum(len(values) - 1 for values in groups.values())
    if not degrees:
        raise UsageError(
            "every method was launched once, so the logs do not show how much times vary",
            hint="run several seeds: axes = { seed = [1, 2, 3] }, or lad-mpi scale … --launches 3",
        )
    squares = sum(float(np.var(values)) * len(values) for values in groups.values())
    spread = max(LEAST_SPREAD, math.sqrt(squares / degrees))
    return CostModel(by_method, spread, degrees, constants)


def _distance(case: MeasuredCase, ranks: int, hosted: int) -> tuple[bool, float, int]:
    return case.ranks != ranks, abs(math.log(case.hosted / hosted)), -case.ranks


def _interval(
    value: float, sent: float, bounds: tuple[float, float], exponent: float, coverage: float
) -> Interval:
    factor = math.exp(min(exponent, _MOST))
    low, high = bounds
    return Interval(value, sent + low / factor, sent + high * factor, coverage)


def _parts(
    bounds: Sequence[tuple[dict[str, float], dict[str, float]]], sent: float, value: float
) -> dict[str, float]:
    """Divide the value without the network in proportion to the medians of the parts."""
    middles = {
        part: median((low[part] + high[part]) / 2 for low, high in bounds) for part in PARTS[:-1]
    }
    total = sum(middles.values()) or 1.0
    parts = {part: (value - sent) * middle / total for part, middle in middles.items()}
    return {**parts, NETWORK: sent}
