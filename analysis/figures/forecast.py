"""What a forecast says along d, P, Q and bandwidth, beside what was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from analysis import style
from analysis.forecast.sweep import (
    AXES,
    asked_setting,
    lines_along,
    measured_setting,
    points_along,
)
from analysis.forecast.table import check_line, notes
from analysis.formatting import with_prefix

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

    from analysis.forecast import Forecast
    from analysis.forecast.answer import Question
    from analysis.forecast.sweep import Line, Setting

_HEIGHT = 5.0
_BAND = 0.15
_SIZE = 4
_FEW = 200
_TITLES = {
    "load": "load $d$ (subsets a device)",
    "ranks": "ranks $P$ (one is the server)",
    "dimension": "dimension $Q$",
    "bandwidth": "bandwidth of a link",
}


def forecast_iteration(forecast: Forecast, question: Question) -> tuple[Figure, str]:
    """Draw the time of an iteration along every axis."""
    figure, caption = _draw(forecast, question, to_target=False)
    return figure, f"Time of an iteration. {caption}"


def forecast_target(forecast: Forecast, question: Question) -> tuple[Figure, str] | None:
    """Draw the time to the target along every axis; None without one that is reached."""
    if forecast.target is None or not any(row.to_target_s for row in forecast.rows):
        return None
    figure, caption = _draw(forecast, question, to_target=True)
    target = f"{forecast.target.metric.replace('_', ' ')} ≤ {forecast.target.value:g}"
    return figure, (
        f"Time to {target}: the time of an iteration times the iterations that the logs took. "
        + caption
    )


def _draw(forecast: Forecast, question: Question, *, to_target: bool) -> tuple[Figure, str]:
    asked, base = asked_setting(forecast, question), measured_setting(forecast)
    elsewhere = (asked.ranks, asked.dimension, asked.network) != (
        base.ranks,
        base.dimension,
        base.network,
    )
    styles = style.method_styles(case.method for case in forecast.measured.cases)
    figure = Figure(figsize=(style.WIDTH, _HEIGHT))
    drawn: set[str] = set()
    free = iter(figure.subplots(2, 2).flat)
    for axis in AXES:
        lines = lines_along(axis, forecast, asked, to_target=to_target)
        fitted, points = [], []
        if axis != "bandwidth":
            points = points_along(axis, forecast, to_target=to_target)
            fitted = lines_along(axis, forecast, base, to_target=to_target) if elsewhere else []
        if len({place for line in (*lines, *fitted) for place in line.places}) < 2:
            continue
        axes = next(free)
        drawn |= {line.method for line in (*lines, *fitted, *points)}
        _lines(axes, lines, styles, "-", band=True)
        _lines(axes, fitted, styles, "--", band=False)
        _points(axes, points, styles)
        _finish(axes, axis, to_target=to_target)
    for axes in free:
        axes.set_visible(False)
    _legend(figure, {name: styles[name] for name in styles if name in drawn}, elsewhere=elsewhere)
    _mark(figure, forecast)
    said = [f"Lines and bands: forecast and interval at {_name(asked)}, one of them varied."]
    said += notes(forecast, to_target=to_target)
    if elsewhere:
        said.append(f"Dashed: the model at {_name(base)}, communication as measured.")
    said.append(
        "Full marks: medians over launches there; bars: least to greatest. Hollow marks: lines "
        "of one point."
    )
    said.append(f"{check_line(forecast).capitalize()}.")
    said += [f"VOID: {reason}." for reason in forecast.measured.void]
    return figure, " ".join([*said, "Assumed:", *forecast.assumptions])


def _lines(
    axes: Axes, lines: Sequence[Line], styles: dict[str, style.Style], look: str, *, band: bool
) -> None:
    for line in lines:
        color = styles[line.method].color
        values = [value.value for value in line.values]
        low, high = ([getattr(value, end) for value in line.values] for end in ("low", "high"))
        if len(line.places) == 1:
            # A line of one point would not be seen.
            (mark,) = axes.plot(line.places, values, "D", color=color, markersize=_SIZE)
            mark.set_markerfacecolor("white")
            if band:
                axes.vlines(line.places, low, high, color=color, alpha=0.5, linewidth=1.0)
            continue
        axes.plot(line.places, values, look, color=color, linewidth=1.1)
        if band:
            axes.fill_between(line.places, low, high, color=color, alpha=_BAND, linewidth=0)


def _points(axes: Axes, lines: Sequence[Line], styles: dict[str, style.Style]) -> None:
    for line in lines:
        color = styles[line.method].color
        for place, value in zip(line.places, line.values, strict=True):
            axes.plot([place] * 2, [value.low, value.high], color=color, linewidth=1.0)
            axes.plot(place, value.value, "o", color=color, markersize=_SIZE)


def _finish(axes: Axes, axis: str, *, to_target: bool) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(_TITLES[axis])
    axes.set_ylabel("time to the target" if to_target else "time of an iteration")
    x = EngFormatter(unit="B/s" if axis == "bandwidth" else "", sep="")
    _ticks(axes.xaxis, axes.get_xlim(), x)
    _ticks(axes.yaxis, axes.get_ylim(), EngFormatter(unit="s"))


def _ticks(axis: Axis, limits: tuple[float, float], formatter: EngFormatter) -> None:
    """Label 1, 2 and 5 of every decade where there are few decades, else the decades."""
    few = limits[1] < _FEW * limits[0]
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
    axis.set_major_formatter(formatter)
    axis.set_minor_formatter(NullFormatter())


def _legend(figure: Figure, styles: dict[str, style.Style], *, elsewhere: bool) -> None:
    handles = [Line2D([], [], color=look.color, label=name) for name, look in styles.items()]
    handles.append(Line2D([], [], color=style.GREY, label="forecast"))
    if elsewhere:
        handles.append(Line2D([], [], color=style.GREY, linestyle="--", label="model, as measured"))
    marks = Line2D(
        [], [], color=style.GREY, marker="o", markersize=_SIZE, linewidth=0, label="measured"
    )
    figure.legend(handles=[*handles, marks], loc="outside lower center", ncols=3)


def _mark(figure: Figure, forecast: Forecast) -> None:
    if forecast.measured.void:
        figure.suptitle("VOID: no claim is made, see the caption", color="#AA0000", fontsize=9)
    elif not forecast.check.passed:
        words = "the largest measured case is not predicted, see the caption"
        figure.suptitle(words, color="#AA0000", fontsize=9)


def _name(setting: Setting) -> str:
    on = "" if setting.network is None else f", {setting.network}"
    return f"P={setting.ranks}, d={setting.load}, Q={with_prefix(setting.dimension)}{on}"
