"""Lines of a forecast: one of P, d, Q and bandwidth varies, and the others are constant."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from analysis.forecast.answer import Row, cheapest, row_at, workload_at
from analysis.statistics import Interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analysis.forecast import Forecast
    from analysis.forecast.answer import Question
    from analysis.forecast.observe import MeasuredCase
    from lad_mpi.network import Network

AXES = ("load", "ranks", "dimension", "bandwidth")
_POINTS = 25
#: The range of bandwidths relative to that of the network.
_SLOWER, _FASTER = 1e-2, 1e1


@dataclass(frozen=True, slots=True)
class Setting:
    """The constant values of a line.

    Parameters
    ----------
    ranks, load, dimension : int
        P, d and Q.
    network : Network or None
        None for communication as measured.
    """

    ranks: int
    load: int
    dimension: int
    network: Network | None = None


@dataclass(frozen=True, slots=True)
class SweepLine:
    """A method along an axis.

    Parameters
    ----------
    method : str
        Name of the method.
    places : tuple of float
        Positions along the axis.
    values : tuple of Interval
        Seconds at these positions.
    """

    method: str
    places: tuple[float, ...]
    values: tuple[Interval, ...]


def measured_setting(forecast: Forecast) -> Setting:
    """Return the setting of the largest measured case."""
    w = forecast.check.case.workload
    return Setting(w.ranks, round(w.load), w.dimension)


def asked_setting(forecast: Forecast, question: Question) -> Setting:
    """Return the largest requested ranks and dimension, at the cheapest load."""
    base = measured_setting(forecast)
    largest = max(forecast.rows, key=lambda row: (row.workload.ranks, row.workload.dimension))
    free = {method for method, cases in _by_method(forecast).items() if _has_load(cases)}
    best = [row.workload for row, _ in cheapest(forecast.rows) if row.method in free]
    loads = [round(w.load) for w in best if w.ranks == largest.workload.ranks]
    return Setting(
        ranks=largest.workload.ranks,
        load=(loads or list(question.loads) or [base.load])[-1],
        dimension=largest.workload.dimension,
        network=question.networks[0] if question.networks else None,
    )


def lines_along(
    axis: str, forecast: Forecast, setting: Setting, *, to_target: bool
) -> list[SweepLine]:
    """Return a line for each method; for times to a target, only with known errors."""
    lines = []
    # Errors are only known at loads and dimensions that were run.
    dense = axis == "ranks" or (axis == "dimension" and not to_target)
    for method, cases in _by_method(forecast).items():
        rows = [
            (place, _row(forecast, cases, method, at))
            for place, at in _settings(axis, forecast, setting, cases, dense=dense)
        ]
        known = [(place, _value(row, to_target=to_target)) for place, row in rows if row]
        shown = [(place, value) for place, value in known if value is not None and value.value > 0]
        if shown:
            places, values = zip(*shown, strict=True)
            lines.append(SweepLine(method, places, values))
    return lines


def points_along(axis: str, forecast: Forecast, *, to_target: bool) -> list[SweepLine]:
    """Return the measured cases on the line through the largest one, with all their launches."""
    base = measured_setting(forecast)
    lines = []
    for method, cases in _by_method(forecast).items():
        shown = []
        for case in cases:
            w = case.workload
            at = Setting(w.ranks, round(w.load), w.dimension)
            place = getattr(at, axis)
            if replace(base, **{axis: place}) != at:
                continue
            row = _row(forecast, cases, method, at)
            factor = 1.0
            if to_target:
                if row is None or row.progress is None or row.progress.iterations is None:
                    continue
                factor = row.progress.iterations.value
                if factor == 0:
                    continue
            totals = [factor * sum(launch.values()) for launch in case.seconds]
            shown.append((place, Interval(factor * case.total_s, min(totals), max(totals))))
        if shown:
            places, values = zip(*sorted(shown, key=lambda point: point[0]), strict=True)
            lines.append(SweepLine(method, places, values))
    return lines


def _by_method(forecast: Forecast) -> dict[str, list[MeasuredCase]]:
    methods: dict[str, list[MeasuredCase]] = {}
    for case in forecast.measured.cases:
        methods.setdefault(case.method, []).append(case)
    return methods


def _settings(
    axis: str, forecast: Forecast, setting: Setting, cases: Sequence[MeasuredCase], *, dense: bool
) -> list[tuple[float, Setting]]:
    if axis == "bandwidth":
        if setting.network is None:
            return []
        own = setting.network.bandwidth_bytes_per_s
        if not np.isfinite(own):
            return []
        rates = np.geomspace(_SLOWER * own, _FASTER * own, _POINTS).tolist()
        return [
            (rate, replace(setting, network=replace(setting.network, bandwidth_bytes_per_s=rate)))
            for rate in rates
        ]
    if axis == "load" and not _has_load(cases):
        sizes = workload_at(cases, ranks=setting.ranks, load=None, dimension=setting.dimension)
        return [(sizes.load, setting)]
    method = cases[0].method
    known = {round(getattr(case.workload, axis)) for case in cases}
    known |= {round(getattr(row.workload, axis)) for row in forecast.rows if row.method == method}
    values = sorted(known | {getattr(setting, axis)})
    if dense and len(values) > 1:
        between = np.geomspace(values[0], values[-1], _POINTS).round().astype(int).tolist()
        values = sorted({*values, *between})
    return [(value, replace(setting, **{axis: value})) for value in values]


def _row(forecast: Forecast, cases: Sequence[MeasuredCase], method: str, at: Setting) -> Row | None:
    load = at.load if _has_load(cases) else None
    # With few ranks there may be fewer devices than the load of the line.
    devices = max(at.ranks - 1, cases[0].workload.devices)
    if load is not None and load > devices:
        return None
    return row_at(
        forecast.model, cases, method, target=forecast.target, network=at.network,
        ranks=at.ranks, load=load, dimension=at.dimension,
    )  # fmt: skip


def _has_load(cases: Sequence[MeasuredCase]) -> bool:
    """Return whether the code of a method has a choice of load."""
    return "load" in cases[0].runs[0].spec["coding"]


def _value(row: Row, *, to_target: bool) -> Interval | None:
    return row.to_target_s if to_target else row.iteration.seconds
