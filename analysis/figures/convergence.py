"""A metric during training, against iterations, time and traffic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import EngFormatter

from analysis.families import setting_of
from analysis.figures import canvas
from analysis.figures.notes import (
    left_out_caption,
    seeds_caption,
    sentence,
    spread_caption,
    times_caption,
    times_heading,
)
from analysis.figures.panels import arrange, errors_of, lines_of, times_of
from analysis.metrics import meaning_of, metric_curve, title_of
from analysis.statistics import estimate
from analysis.target import iterations_before, seconds_before, uplink_bytes_before
from lad_mpi.metrics.names import LOSS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from analysis import style
    from analysis.figures.panels import Arrangement, Panel
    from analysis.runs import Collection
    from lad_mpi.logs import RunLog
    from lad_mpi.types import HostFloats, Metric

#: The horizontal axis is logarithmic if the ends of the methods differ by a larger factor.
_WIDE = 5.0
#: A line leaves a logarithmic axis at the top if it exceeds the largest initial value by this
#: factor.
_LOST = 30.0
#: Opacity of a band, and sum over all bands of a panel.
_BAND, _BANDS = 0.1, 1.0
_BYTES = "uplink of all devices"
_OTHERS = "other methods"
_PALE: dict[str, Any] = {"color": "#DCDCDC", "linewidth": 0.6}


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A median over seeds with a band.

    Parameters
    ----------
    x : ndarray of float64, shape (n,)
        What was spent, median over seeds.
    median, low, high : ndarray of float64, shape (n,)
        Values at these points.
    """

    x: HostFloats
    median: HostFloats
    low: HostFloats
    high: HostFloats


def against_iterations(collection: Collection, metric: Metric) -> tuple[Figure, str] | None:
    """Draw a metric against iterations."""
    return _draw(collection, metric, iterations_before, "iteration", "iterations.")


def against_seconds(collection: Collection, metric: Metric) -> tuple[Figure, str] | None:
    """Draw a metric against training time."""
    caption = "training time: the server's clock, without evaluation."
    return _draw(collection, metric, seconds_before, "training time (s)", caption, timed=True)


def against_bytes(collection: Collection, metric: Metric) -> tuple[Figure, str] | None:
    """Draw a metric against uplink traffic."""
    caption = "bytes sent by all devices to the server."
    return _draw(collection, metric, uplink_bytes_before, _BYTES, caption)


def median_curve(
    runs: Sequence[RunLog], metric: str, spent: Callable[[RunLog], HostFloats]
) -> Curve:
    """Return a metric of a method against what was spent, where it is finite.

    Parameters
    ----------
    runs : sequence of RunLog
        One run for each seed, with evaluations at the same iterations.
    metric : str
        Name of the metric.
    spent : callable
        Returns what a run has spent before each iteration and after the last one,
        shape (T + 1,).
    """
    values = np.array([metric_curve(run, metric) for run in runs])
    costs = np.array([spent(run) for run in runs])
    evaluated = np.isfinite(values).all(axis=0)
    estimates = [estimate(column.tolist()) for column in values[:, evaluated].T]
    return Curve(
        x=np.median(costs[:, evaluated], axis=0),
        median=np.array([found.median for found in estimates]),
        low=np.array([found.low for found in estimates]),
        high=np.array([found.high for found in estimates]),
    )


def _draw(
    collection: Collection,
    metric: Metric,
    spent: Callable[[RunLog], HostFloats],
    label: str,
    against: str,
    *,
    timed: bool = False,
) -> tuple[Figure, str] | None:
    methods = collection.methods
    sources = times_of(methods) if timed else errors_of(methods)
    found = {one.label: median_curve(one.runs, metric.name, spent) for one in sources}
    curves = {name: curve for name, curve in found.items() if curve.x.size}
    if not curves:
        return None
    arrangement = arrange([line for line in lines_of(sources, metric) if line.label in curves])
    panels = canvas.grid(arrangement)
    first = _start(list(curves.values()))
    lost: dict[str, None] = {}
    for panel, axes in zip(arrangement.panels, panels.axes, strict=True):
        _draw_panel(axes, panel, curves, arrangement.styles, first)
        _scale_spent(axes, [curve.x for curve in curves.values()], first)
        if metric.better != "higher":
            lost |= dict.fromkeys(_scale_values(axes, panel, curves))
        if label == _BYTES:
            axes.xaxis.set_major_formatter(EngFormatter(unit="B"))
    panels.label(label, axis_label(metric))
    canvas.legend(panels.figure, _entries(arrangement, curves), beside=len(arrangement.panels) == 1)
    conditions = [one.conditions for method in methods for one in method.timings] if timed else []
    setting = setting_of(method.spec for method in methods)
    canvas.heading(panels.figure, setting, *times_heading(conditions))
    title = title_of(metric)
    meaning = "" if metric.name == LOSS else f"{sentence(f'{title}: {meaning_of(metric)}')}"
    said = [
        f"{title.capitalize()} against {against}",
        meaning,
        times_caption(conditions),
        seeds_caption(collection),
        spread_caption(collection, "Bands"),
        f"Above the axes at the end: {'; '.join(lost)}." if lost else "",
        left_out_caption(arrangement, "grey", title),
        *(f"{name} has no finite {title}." for name in found if name not in curves),
    ]
    return panels.figure, " ".join(text for text in said if text)


def axis_label(metric: Metric) -> str:
    """Return the label of an axis, with an arrow towards higher values if they are better."""
    if metric.name == LOSS:
        return "loss $F(x)$"
    units = "" if metric.units == "1" else f" ({metric.units})"
    arrow = " (↑ better)" if metric.better == "higher" else ""
    return canvas.literal(f"{title_of(metric)}{units}{arrow}")


def _draw_panel(
    axes: Axes,
    panel: Panel,
    curves: Mapping[str, Curve],
    styles: Mapping[str, style.Style],
    first: float,
) -> None:
    for name in panel.others:
        curve = curves[name]
        axes.plot(curve.x[curve.x >= first], curve.median[curve.x >= first], zorder=1, **_PALE)
    for method, name in panel.names.items():
        curve, look = curves[method], styles[name]
        shown = curve.x >= first
        x, median = curve.x[shown], curve.median[shown]
        alpha = min(_BAND, _BANDS / len(panel.names))
        band: dict[str, Any] = {"color": look.color, "alpha": alpha, "linewidth": 0}
        axes.fill_between(x, curve.low[shown], curve.high[shown], **band)
        axes.plot(
            x, median, color=look.color, linestyle=look.line, zorder=2 + look.layer / 10,
            # A line with one point is invisible without a marker.
            marker="o" if len(x) == 1 else "", label=name,
        )  # fmt: skip


def _entries(arrangement: Arrangement, curves: Mapping[str, Curve]) -> dict[str, Artist]:
    """Return the legend: in the order of the final values, or of rules and loads."""
    names = list(arrangement.styles)
    if len(arrangement.panels) == 1:
        own = {name: method for method, name in arrangement.panels[0].names.items()}
        names.sort(key=lambda name: -float(curves[own[name]].median[-1]))
    looks = {name: arrangement.styles[name] for name in names}
    entries: dict[str, Artist] = {
        name: canvas.sample(color=look.color, linestyle=look.line) for name, look in looks.items()
    }
    if any(panel.others for panel in arrangement.panels):
        entries[_OTHERS] = canvas.sample(**_PALE)
    return entries


def _start(curves: Sequence[Curve]) -> float:
    """Return the start of the x axis: above 0 if it is logarithmic, otherwise 0."""
    ends = [float(curve.x[-1]) for curve in curves]
    above = [float(curve.x[curve.x > 0].min()) for curve in curves if curve.x[-1] > 0]
    return min(above) if above and max(ends) > _WIDE * min(ends) else 0.0


def _scale_spent(axes: Axes, spent: Sequence[HostFloats], first: float) -> None:
    last = max(float(x[-1]) for x in spent)
    if first > 0:
        axes.set_xscale("log")
        axes.set_xlim(first, 1.1 * last)
    else:
        axes.set_xlim(0, 1.02 * last or 1.0)


def _scale_values(axes: Axes, panel: Panel, curves: Mapping[str, Curve]) -> list[str]:
    """Make the vertical axis logarithmic if possible; return the lines that leave its top."""
    shown = {name: curves[name] for name in (*panel.names, *panel.others)}
    if any((curve.low < 0).any() for curve in shown.values()):
        return []
    begun = max(float(curve.median[0]) for curve in shown.values())
    if begun <= 0:
        return []
    # Zero has no place on a logarithmic axis; the line leaves it at the bottom.
    axes.set_yscale("log", nonpositive="clip")
    top = _LOST * begun
    lost = [name for name in panel.names if curves[name].median.max() > top]
    if axes.get_ylim()[1] > top:
        axes.set_ylim(top=top)
    return lost
