"""Errors and other metrics against load, with the law of the dispersion."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis import style
from analysis.exact import exact_reference
from analysis.families import load_families, load_of, setting_of
from analysis.figures import canvas
from analysis.figures.convergence import axis_label
from analysis.figures.notes import left_out_caption, seeds_caption, sentence, spread_caption
from analysis.figures.panels import Line, arrange, errors_of, lines_of
from analysis.metrics import ascending_from_best, final_value, meaning_of, title_of
from analysis.statistics import estimate
from lad_mpi.metrics.names import AGGREGATION_ERROR, BETA_SQUARED, HONEST_DISPERSION, LOSS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from analysis.families import LoadFamily
    from analysis.runs import Collection, Method
    from analysis.statistics import Estimate
    from lad_mpi.logs import RunLog
    from lad_mpi.types import Metric

_HEIGHT = 2.2
_SIZE = 4
_THIN = 0.9
#: Families with the same load are drawn side by side, over this share of the axis.
_SPREAD, _MOST_SPREAD = 0.012, 0.06
#: Factor between the outermost loads and the ends of the axis.
_MARGIN = 1.3
#: A smaller square relative to β² is rounding.
_ROUNDING = 1e-12
_ZERO = "zero"
_AT_ZERO: dict[str, Any] = {"marker": "v", "markerfacecolor": "white", "markersize": _SIZE}
_EXACT: dict[str, Any] = {"color": style.GREY, "linestyle": "--", "linewidth": 0.9, "zorder": 1}
_LAW_NAME = "law of the dispersion"
_LAW_IN_WORDS = (
    "The law of the code is the expected dispersion of uncompressed messages. For cyclic coding it "
    "is N(H−1)(N−d)/(Hd(N−1)²)."
)
_LAW: dict[str, Any] = {"color": "#C8C8C8", "linewidth": 3.0, "zorder": 1}


@dataclass(frozen=True, slots=True)
class PlottedQuantity:
    """A quantity that is drawn against the load.

    Parameters
    ----------
    title : str
        Label of the y axis.
    value : callable
        Returns the value of a run.
    floor : float
        Values up to this one are drawn as zero.
    log : bool
        Whether the y axis is logarithmic if all values allow it.
    """

    title: str
    value: Callable[[RunLog], float]
    floor: float
    log: bool = True


def error_against_load(collection: Collection, metric: Metric) -> tuple[Figure, str] | None:
    """Draw final loss, dispersion with its law, and aggregation error, against load.

    Returns None if no methods differ only in load.
    """
    said = [
        "The effect of redundancy. Left: final loss against load d.",
        "Middle and right: squares relative to β² at the same model, averaged over iterations.",
    ]
    return _draw(collection, metric, (_final(metric), *_SQUARES), said)


def metric_against_load(collection: Collection, metric: Metric) -> tuple[Figure, str] | None:
    """Draw the final value of a metric against load.

    Returns None if no methods differ only in load, or if none has the metric.
    """
    runs = [run for family in load_families(collection) for m in family.members for run in m.runs]
    if not any(math.isfinite(final_value(run, metric.name)) for run in runs):
        return None
    title = title_of(metric)
    said = [f"Final {title} against load d.", sentence(f"{title}: {meaning_of(metric)}")]
    return _draw(collection, metric, (_final(metric),), said)


def _draw(
    collection: Collection,
    metric: Metric,
    quantities: Sequence[PlottedQuantity],
    said: Sequence[str],
) -> tuple[Figure, str] | None:
    families = {family.name: family for family in load_families(collection)}
    if not families:
        return None
    arrangement = arrange(
        [_line(f, metric) for f in families.values()],
        lines_of(errors_of(collection.methods), metric),
    )
    rows = len(arrangement.panels)
    figure = canvas.new_figure(0.3 + rows * _HEIGHT)
    entries: dict[str, Artist] = {
        name: canvas.sample(**_line_of(look)) for name, look in arrangement.styles.items()
    }
    for panel, axes in zip(
        arrangement.panels, figure.subplots(rows, len(quantities), squeeze=False), strict=True
    ):
        shown = [(families[own], arrangement.styles[name]) for own, name in panel.names.items()]
        for one, quantity in zip(axes, quantities, strict=True):
            entries |= _draw_families(one, shown, quantity)
        members = [family for family, _ in shown]
        entries |= _draw_exact(axes[0], members, collection, metric)
        if len(axes) > 1:
            entries |= _draw_laws(axes[1], members)
        canvas.title(axes[0], panel.title)
    canvas.legend(figure, entries)
    methods = [method for family in families.values() for method in family.members]
    canvas.heading(figure, setting_of(method.spec for method in methods))
    caption = [
        *said,
        _LAW_IN_WORDS if _LAW_NAME in entries else "",
        "Triangles at the bottom: zeros, which are not on a logarithmic axis."
        if _ZERO in entries
        else "",
        seeds_caption(collection),
        spread_caption(collection, "Bars"),
        left_out_caption(arrangement, "left out", title_of(metric)),
    ]
    return figure, " ".join(text for text in caption if text)


def relative_to_variance(run: RunLog, squares: Any) -> float:
    """Return the mean over evaluated iterations of squares over β²."""
    beta_squared = run.metrics[BETA_SQUARED]
    told = beta_squared > 0
    return float(np.mean(squares[told] / beta_squared[told])) if told.any() else math.nan


def _dispersion(run: RunLog) -> float:
    return relative_to_variance(run, run.metrics[HONEST_DISPERSION])


def _squared_error(run: RunLog) -> float:
    return relative_to_variance(run, run.metrics[AGGREGATION_ERROR] ** 2)


def _final(metric: Metric) -> PlottedQuantity:
    title = "final loss $F(x_T)$" if metric.name == LOSS else f"final {axis_label(metric)}"
    is_log = metric.better != "higher"
    floor = 0.0 if is_log else -math.inf
    return PlottedQuantity(title, lambda run: final_value(run, metric.name), floor, is_log)


_SQUARES = (
    PlottedQuantity(r"honest dispersion / $\beta^2$", _dispersion, _ROUNDING),
    PlottedQuantity(r"squared aggregation error / $\beta^2$", _squared_error, _ROUNDING),
)


def _line_of(look: style.Style) -> dict[str, Any]:
    return {
        "color": look.color,
        "linestyle": look.line,
        "marker": look.marker,
        "linewidth": _THIN,
        "markersize": _SIZE,
    }


def _line(family: LoadFamily, metric: Metric) -> Line:
    runs = [run for method in family.members for run in method.runs]
    best = min(ascending_from_best(metric, final_value(run, metric.name)) for run in runs)
    return Line(family.name, family.data, family.setting, family.rule, None, best)


def _draw_families(
    axes: Axes, families: Sequence[tuple[LoadFamily, style.Style]], quantity: PlottedQuantity
) -> dict[str, Artist]:
    """Draw medians with bars; return a legend entry for zeros, if there are any."""
    found = _estimates([method for family, _ in families for method in family.members], quantity)
    loads = sorted({load_of(method) or 0 for family, _ in families for method in family.members})
    signed = any(one.low < 0 for one in found.values())
    floor = -math.inf if signed else quantity.floor
    zeros = False
    for place, (family, look) in enumerate(families):
        spread = min(_SPREAD * len(families), _MOST_SPREAD)
        shift = spread * (place / max(1, len(families) - 1) - 0.5)
        places = [(load_of(m) or 0) * (loads[-1] / loads[0]) ** shift for m in family.members]
        medians = [math.nan] * len(places)
        for i, (x, method) in enumerate(zip(places, family.members, strict=True)):
            one = found.get(method.label)
            if one is None:
                continue
            if one.median > floor:
                medians[i] = one.median
                axes.plot([x, x], [one.low, one.high], color=look.color, linewidth=1.0)
            else:
                zeros = True
                bottom = axes.get_xaxis_transform()
                axes.plot(x, 0.0, color=look.color, transform=bottom, clip_on=False, **_AT_ZERO)
        axes.plot(places, medians, label=family.name, **_line_of(look))
    positive = any(one.median > floor for one in found.values())
    _finish(axes, loads, quantity.title, log=quantity.log and positive and not signed)
    if not positive:
        axes.set_yticks([])
    return {_ZERO: canvas.sample(color=style.GREY, linewidth=0, **_AT_ZERO)} if zeros else {}


def _estimates(methods: Sequence[Method], quantity: PlottedQuantity) -> dict[str, Estimate]:
    """Return the estimates of the methods with only finite values, by label."""
    values = {m.label: [quantity.value(run) for run in m.by_seed.values()] for m in methods}
    return {label: estimate(v) for label, v in values.items() if all(map(math.isfinite, v))}


def _draw_exact(
    axes: Axes, families: Sequence[LoadFamily], collection: Collection, metric: Metric
) -> dict[str, Artist]:
    """Draw the level of exact recovery if all families have the same."""
    references = {
        None if found is None else found.label: found
        for family in families
        if not family.compressed
        for found in [exact_reference(family.members[0], collection.methods)]
    }
    if len(references) != 1:
        return {}
    (reference,) = references.values()
    if reference is None:
        return {}
    values = [final_value(run, metric.name) for run in reference.by_seed.values()]
    level = estimate(values).median
    return {"exact recovery": axes.axhline(level, **_EXACT)}


def _draw_laws(axes: Axes, families: Sequence[LoadFamily]) -> dict[str, Artist]:
    most = max(load_of(method) or 0 for family in families for method in family.members)
    laws = [family.law() for family in families if not family.compressed]
    entries: dict[str, Artist] = {}
    for law in sorted({tuple(law.items()) for law in laws if law}):
        loads, values = zip(*law, strict=True)
        shown = [place for place, load in enumerate(loads) if load <= _MARGIN * most]
        (entries[_LAW_NAME],) = axes.plot(
            [loads[place] for place in shown], [values[place] for place in shown], **_LAW
        )
    return entries


def _finish(axes: Axes, loads: Sequence[int], title: str, *, log: bool) -> None:
    axes.set_xscale("log")
    if log:
        axes.set_yscale("log", nonpositive="clip")
    axes.set_xlim(loads[0] / _MARGIN, loads[-1] * _MARGIN)
    axes.set_xlabel("load $d$")
    axes.set_ylabel(title)
    canvas.mark_places(axes.xaxis, loads, log=True)
