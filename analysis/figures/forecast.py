"""Figures of a forecast along d, P, Q and bandwidth, with the measured cases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from analysis import style
from analysis.families import setting_of
from analysis.figures import canvas
from analysis.figures.notes import sentence
from analysis.figures.panels import MOST_LINES
from analysis.forecast.sweep import (
    AXES,
    asked_setting,
    lines_along,
    measured_setting,
    points_along,
)
from analysis.forecast.table import check_line, notes
from analysis.text import with_prefix

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

    from analysis.forecast import Forecast
    from analysis.forecast.answer import Question
    from analysis.forecast.sweep import Setting, SweepLine

_HEIGHT = 2.3
_BAND = 0.15
_SIZE = 4
_FEW = 200
_TITLES = {
    "load": "load $d$ (subsets a device)",
    "ranks": "ranks $P$ (one is the server)",
    "dimension": "dimension $Q$",
    "bandwidth": "bandwidth of a link",
}


def forecast_iteration(forecast: Forecast, question: Question) -> tuple[Figure, str] | None:
    """Draw the time of an iteration along every axis; None where there is none to go along."""
    return _draw(forecast, question, "Time of an iteration.", to_target=False)


def forecast_target(forecast: Forecast, question: Question) -> tuple[Figure, str] | None:
    """Draw the time to the target along every axis; None without one that is reached."""
    if forecast.target is None or not any(row.to_target_s for row in forecast.rows):
        return None
    caption = (
        f"Time to {forecast.target}: the time of an iteration times the iterations that the logs "
        "took."
    )
    return _draw(forecast, question, caption, to_target=True)


@dataclass(frozen=True, slots=True)
class _Sweep:
    """What is drawn along an axis: forecast, model at the measured setting, and measurements."""

    axis: str
    lines: list[SweepLine]
    fitted: list[SweepLine]
    points: list[SweepLine]

    @property
    def methods(self) -> set[str]:
        return {line.method for line in (*self.lines, *self.fitted, *self.points)}

    @property
    def places(self) -> set[float]:
        return {place for line in (*self.lines, *self.fitted) for place in line.places}


def _draw(
    forecast: Forecast, question: Question, caption: str, *, to_target: bool
) -> tuple[Figure, str] | None:
    asked, base = asked_setting(forecast, question), measured_setting(forecast)
    elsewhere = (asked.ranks, asked.dimension, asked.network) != (
        base.ranks,
        base.dimension,
        base.network,
    )
    chosen, left_out = _chosen(forecast, to_target=to_target)
    sweeps = []
    for axis in AXES:
        lines = lines_along(axis, forecast, asked, to_target=to_target)
        fitted, points = [], []
        if axis != "bandwidth":
            points = points_along(axis, forecast, to_target=to_target)
            fitted = lines_along(axis, forecast, base, to_target=to_target) if elsewhere else []
        sweep = _Sweep(axis, *(_only(chosen, found) for found in (lines, fitted, points)))
        sweeps += [sweep] if len(sweep.places) > 1 else []
    if not sweeps:
        return None
    looks = style.line_styles((method, None) for method in chosen)
    styles = {method: looks[method, None] for method in chosen}
    rows, columns = -(-len(sweeps) // 2), min(2, len(sweeps))
    figure = canvas.new_figure(0.2 + rows * _HEIGHT)
    free = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in free[len(sweeps) :]:
        axes.remove()
    for sweep, axes in zip(sweeps, free, strict=False):
        _lines(axes, sweep.lines, styles, "-", band=True)
        _lines(axes, sweep.fitted, styles, "--", band=False)
        _points(axes, sweep.points, styles)
        _finish(axes, sweep, to_target=to_target)
    drawn = {method for sweep in sweeps for method in sweep.methods}
    canvas.legend(figure, _entries([m for m in chosen if m in drawn], styles, elsewhere=elsewhere))
    specs = [run.spec for case in forecast.measured.cases for run in case.runs]
    canvas.heading(figure, f"measured: {setting_of(specs)}", alarm=_alarm(forecast))
    said = [
        caption,
        f"Lines and bands: forecast and interval at {_name(asked)}, one of them varied.",
        *notes(forecast, to_target=to_target),
        f"Dashed: the model at {_name(base)}, communication as measured." if elsewhere else "",
        "Filled marks: medians over launches there; bars: least to greatest.",
        "Hollow marks: lines with a single point.",
        left_out,
        sentence(check_line(forecast)),
        *(f"VOID: {reason}." for reason in forecast.measured.void),
        "Assumed:",
        *forecast.assumptions,
    ]
    return figure, " ".join(text for text in said if text)


def _chosen(forecast: Forecast, *, to_target: bool) -> tuple[list[str], str]:
    """Choose the fastest methods if there are too many, and name the others."""
    best: dict[str, float] = {}
    for row in forecast.rows:
        spent = row.to_target_s if to_target else row.iteration.seconds
        if spent is not None:
            best[row.method] = min(spent.value, best.get(row.method, spent.value))
    order = sorted(best, key=lambda method: best[method])
    kept, rest = order[:MOST_LINES], order[MOST_LINES:]
    said = f"The {len(kept)} fastest; not drawn: {'; '.join(rest)}." if rest else ""
    return [method for method in best if method in kept], said


def _only(methods: Sequence[str], lines: Sequence[SweepLine]) -> list[SweepLine]:
    return [line for line in lines if line.method in methods]


def _lines(
    axes: Axes,
    lines: Sequence[SweepLine],
    styles: Mapping[str, style.Style],
    look: str,
    *,
    band: bool,
) -> None:
    for line in lines:
        color = styles[line.method].color
        values = [value.value for value in line.values]
        low, high = ([getattr(value, end) for value in line.values] for end in ("low", "high"))
        if len(line.places) == 1:
            # A line with one point is invisible.
            (mark,) = axes.plot(line.places, values, "D", color=color, markersize=_SIZE)
            mark.set_markerfacecolor("white")
            if band:
                axes.vlines(line.places, low, high, color=color, alpha=0.5, linewidth=1.0)
            continue
        axes.plot(line.places, values, look, color=color, linewidth=1.1)
        if band:
            axes.fill_between(line.places, low, high, color=color, alpha=_BAND, linewidth=0)


def _points(axes: Axes, lines: Sequence[SweepLine], styles: Mapping[str, style.Style]) -> None:
    for line in lines:
        look = styles[line.method]
        for place, value in zip(line.places, line.values, strict=True):
            axes.plot([place] * 2, [value.low, value.high], color=look.color, linewidth=1.0)
            axes.plot(place, value.value, look.marker, color=look.color, markersize=_SIZE)


def _finish(axes: Axes, sweep: _Sweep, *, to_target: bool) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(_TITLES[sweep.axis])
    axes.set_ylabel("time to the target" if to_target else "time of an iteration")
    x = EngFormatter(unit="B/s" if sweep.axis == "bandwidth" else "", sep="")
    _ticks(axes.xaxis, axes.get_xlim(), x)
    _ticks(axes.yaxis, axes.get_ylim(), EngFormatter(unit="s"))
    if sweep.axis == "load":
        # There are few loads, those that were run.
        canvas.mark_places(axes.xaxis, sorted(sweep.places), log=True)


def _ticks(axis: Axis, limits: tuple[float, float], formatter: EngFormatter) -> None:
    """Label 1, 2 and 5 of every decade if there are few decades, otherwise only decades."""
    few = limits[1] < _FEW * limits[0]
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
    axis.set_major_formatter(formatter)
    axis.set_minor_formatter(NullFormatter())


def _entries(
    methods: Sequence[str], styles: Mapping[str, style.Style], *, elsewhere: bool
) -> dict[str, Artist]:
    entries: dict[str, Artist] = {}
    for method in methods:
        look = styles[method]
        entries[method] = canvas.sample(color=look.color, marker=look.marker, markersize=_SIZE)
    grey = {"color": style.GREY}
    entries["forecast"] = canvas.sample(**grey)
    if elsewhere:
        entries["model, as measured"] = canvas.sample(linestyle="--", **grey)
    entries["measured"] = canvas.sample(marker="o", markersize=_SIZE, linewidth=0, **grey)
    return entries


def _alarm(forecast: Forecast) -> str:
    if forecast.measured.void:
        return "VOID: no claim is made, see the caption"
    if not forecast.check.passed:
        return "the largest measured case is not predicted, see the caption"
    return ""


def _name(setting: Setting) -> str:
    on = "" if setting.network is None else f", {setting.network}"
    return f"P={setting.ranks}, d={setting.load}, Q={with_prefix(setting.dimension)}{on}"
