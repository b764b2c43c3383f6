"""A cost model fitted to measured cases, its predictions with intervals, and its check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import nnls
from scipy.stats import t as student

from analysis.forecast.workload import COMMUNICATION, TERMS, features, network_seconds
from analysis.statistics import CONFIDENCE, EACH_OF_TWO, Interval

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from analysis.forecast.observe import Measured, MeasuredCase
    from analysis.forecast.workload import Workload
    from lad_mpi.network import Network
    from lad_mpi.types import HostFloats, HostInts


#: Draws of the bootstrap. The seed is fixed, so the same logs give the same forecast.
DRAWS = 400
_SEED = 1
#: Least relative error of the model, even if it fits better.
LEAST_ERROR = 0.02
#: A column counts as varied if it changes by more than this share of its largest value.
_VARIED = 0.05
#: Passes of the fit. Weights are the inverse of the times that the last pass predicted. With
#: measured times, cases that happened to be fast would have too much weight.
_PASSES = 3
_LEAST_S = 1e-12
#: Largest exponent of the noise; larger ones would overflow.
_MOST = 100.0


@dataclass(frozen=True, slots=True)
class Prediction:
    """The predicted time of an iteration.

    Parameters
    ----------
    seconds : Interval
        Training time of an iteration, with coverage ``CONFIDENCE``.
    surer : Interval
        The same with coverage ``EACH_OF_TWO``, for products with another interval.
    parts : dict of float
        Seconds by term.
    """

    seconds: Interval
    surer: Interval
    parts: dict[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class TermFit:
    """Coefficients of a term for one kind of components.

    Parameters
    ----------
    kept : tuple of int
        Columns of :func:`~analysis.forecast.workload.features` in the fit.
    proportional : bool
        Whether columns were left out because they were not varied.
    coefficients : ndarray of float64, shape (k,)
        Seconds per unit of each kept column.
    draws : ndarray of float64, shape (draws, k)
        Coefficients in each draw of the bootstrap.
    least, greatest : float
        Measured range of the last column.
    """

    kept: tuple[int, ...]
    proportional: bool
    coefficients: HostFloats
    draws: HostFloats
    least: float
    greatest: float


@dataclass(frozen=True, slots=True, eq=False)
class CostModel:
    """A sum of terms, each linear in a few sizes with nonnegative coefficients.

    Parameters
    ----------
    fits : dict of TermFit
        Coefficients, by term and kind of components.
    error : float
        Relative error of the model: root mean square over cases that were left out.
    work_error : float
        The same without communication, for forecasts with a given network.
    degrees : int
        Number of these cases.
    """

    fits: dict[tuple[str, str], TermFit]
    error: float
    work_error: float
    degrees: int

    def covers(self, workload: Workload) -> bool:
        """Return whether the model has coefficients for all components of a workload."""
        return _covered(self.fits, workload)

    def predict(self, workload: Workload, network: Network | None = None) -> Prediction:
        """Predict an iteration.

        Parameters
        ----------
        workload : Workload
            A workload that the model covers.
        network : Network, optional
            Replaces the measured communication.

        Notes
        -----
        The interval is that of the draws of the bootstrap, each multiplied by exp(s ε).
        Here s is the ``error`` of the model, and ε follows Student's t distribution with
        ``degrees`` degrees of freedom. With a network, s is ``work_error``, and the time of
        the network is added afterwards.
        """
        parts: dict[str, float] = {}
        draws = np.zeros(DRAWS)
        for term in TERMS:
            if term == COMMUNICATION and network is not None:
                parts[term] = network_seconds(workload, network)
                continue
            fit = self.fits[term, workload.group(term)]
            columns = np.array(features(term, workload))[list(fit.kept)]
            parts[term] = float(columns @ fit.coefficients)
            draws += fit.draws @ columns
        error, sent = (self.error, 0.0)
        if network is not None:
            error, sent = self.work_error, parts[COMMUNICATION]
        noise = error * _standard_errors(self.degrees)
        draws = draws * np.exp(np.clip(noise, -_MOST, _MOST)) + sent
        value = sum(parts.values())
        seconds, surer = (_interval(value, draws, wanted) for wanted in (CONFIDENCE, EACH_OF_TWO))
        return Prediction(seconds, surer, parts)


def _interval(value: float, draws: HostFloats, coverage: float) -> Interval:
    outer = (1 - coverage) / 2
    low, high = np.quantile(draws, [outer, 1 - outer])
    return Interval(value, min(float(low), value), max(float(high), value), coverage)


def fit_model(cases: Sequence[MeasuredCase]) -> CostModel:
    """Fit the model to cases. The launches of a case are replicates.

    Parameters
    ----------
    cases : sequence of MeasuredCase
        At least three cases. At least two of them must be covered by the others.

    Notes
    -----
    Medians over launches are fitted term by term by nonnegative least squares. Each case is
    weighted by the inverse of its fitted time of an iteration, so that small cases count as
    much as large ones. The bootstrap resamples the launches within every case. The error of
    the model is that of predicting each case from the others, on a logarithmic scale.
    """
    errors = leave_one_out(cases)
    whole, work = np.sqrt(np.mean(np.square(errors), axis=0)) if errors else (1.0, 1.0)
    return CostModel(
        fits=_fit_terms(cases, DRAWS),
        error=max(float(whole), LEAST_ERROR),
        work_error=max(float(work), LEAST_ERROR),
        degrees=max(1, len(errors)),
    )


def leave_one_out(cases: Sequence[MeasuredCase]) -> list[tuple[float, float]]:
    """Return log(measured / predicted), in total and of work, of each case the others cover."""
    errors = []
    for case in cases:
        fits = _fit_terms([other for other in cases if other is not case], 0)
        if _covered(fits, case.workload):
            parts = {term: _value(fits, term, case.workload) for term in TERMS}
            whole = sum(parts.values())
            pairs = (case.total_s, whole), (case.work_s, whole - parts[COMMUNICATION])
            was, said = np.maximum(pairs, _LEAST_S).T
            errors.append(tuple(np.log(was / said).tolist()))
    return errors


def _covered(fits: Mapping[tuple[str, str], TermFit], workload: Workload) -> bool:
    return all((term, workload.group(term)) in fits for term in TERMS)


def _value(fits: Mapping[tuple[str, str], TermFit], term: str, workload: Workload) -> float:
    fit = fits[term, workload.group(term)]
    return float(np.array(features(term, workload))[list(fit.kept)] @ fit.coefficients)


def _standard_errors(degrees: int) -> HostFloats:
    """Return evenly spaced quantiles of Student's t distribution, in random order."""
    places = (np.arange(DRAWS) + 0.5) / DRAWS
    errors: HostFloats = student.ppf(np.random.default_rng(_SEED).permutation(places), degrees)
    return errors


def _fit_terms(cases: Sequence[MeasuredCase], draws: int) -> dict[tuple[str, str], TermFit]:
    generator = np.random.default_rng(_SEED)
    chosen = [
        generator.integers(len(case.seconds), size=(draws, len(case.seconds))) for case in cases
    ]
    totals = [case.total_s for case in cases]
    for _ in range(_PASSES):
        fits = _fit_groups(cases, totals, [none[:0] for none in chosen])
        totals = [sum(_value(fits, term, case.workload) for term in TERMS) for case in cases]
    return _fit_groups(cases, totals, chosen)


def _fit_groups(
    cases: Sequence[MeasuredCase], totals: Sequence[float], chosen: Sequence[HostInts]
) -> dict[tuple[str, str], TermFit]:
    weights = 1 / np.maximum(totals, _LEAST_S)
    fits = {}
    for term in TERMS:
        for group in dict.fromkeys(case.workload.group(term) for case in cases):
            members = [i for i, case in enumerate(cases) if case.workload.group(term) == group]
            fits[term, group] = _fit_term(
                term, [cases[i] for i in members], [chosen[i] for i in members], weights[members]
            )
    return fits


def _fit_term(
    term: str, cases: Sequence[MeasuredCase], chosen: Sequence[HostInts], weights: HostFloats
) -> TermFit:
    matrix = np.array([features(term, case.workload) for case in cases])
    kept, proportional = _choose_columns(matrix)
    # Columns differ by orders of magnitude, but nnls has a single tolerance.
    scales = np.maximum(matrix[:, kept].max(axis=0), 1e-300)
    weighted = matrix[:, kept] / scales * weights[:, None]
    samples = [np.array([launch[term] for launch in case.seconds]) for case in cases]
    medians = np.array([np.median(values) for values in samples])
    pairs = zip(samples, chosen, strict=True)
    drawn = np.array([np.median(values[places], axis=1) for values, places in pairs]).T
    solved = [nnls(weighted, row * weights)[0] for row in (medians, *drawn)]
    coefficients, *others = [solution / scales for solution in solved]
    return TermFit(
        kept=tuple(kept),
        proportional=proportional,
        coefficients=coefficients,
        draws=np.array(others).reshape(len(others), len(kept)),
        least=float(matrix[:, -1].min()),
        greatest=float(matrix[:, -1].max()),
    )


def _choose_columns(matrix: HostFloats) -> tuple[list[int], bool]:
    """Keep the columns that were varied, and of the others only the one that grows fastest.

    The data cannot distinguish columns that were not varied. All of their time is assigned
    to the column that grows fastest with the machine.
    """
    greatest = matrix.max(axis=0)
    varied = np.ptp(matrix, axis=0) > _VARIED * greatest
    fixed = [i for i in range(len(greatest)) if not varied[i] and greatest[i] > 0]
    kept = sorted([int(i) for i in np.flatnonzero(varied)] + fixed[-1:])
    return kept, len(fixed) > 1


@dataclass(frozen=True, slots=True, eq=False)
class Check:
    """The prediction of a case that was left out of the fit.

    Parameters
    ----------
    case : MeasuredCase
        The largest case that the others cover.
    predicted : Interval
        Seconds of its iteration, predicted from the other cases.
    """

    case: MeasuredCase
    predicted: Interval

    @property
    def passed(self) -> bool:
        """Whether the interval contains the measured time."""
        return self.predicted.holds(self.case.total_s)


def leave_out_largest(measured: Measured) -> Check:
    """Predict the largest case with a model that was fitted to all others."""
    largest = measured.largest
    model = fit_model([case for case in measured.cases if case is not largest])
    return Check(largest, model.predict(largest.workload).seconds)
