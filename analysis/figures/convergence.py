"""Loss as training goes on, against iterations, time and traffic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from analysis import style
from analysis.figures.notes import mark_times, seeds_caption, spread_caption
from analysis.spent import iterations_before, seconds_before, uplink_bytes_before
from analysis.statistics import estimate
from analysis.summary import final_loss

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes

    from analysis.runs import Collection, Method
    from lad_mpi.logs import RunLog
    from lad_mpi.types import HostFloats

_HEIGHT = 3.3
#: A logarithmic axis shows methods whose ends lie further apart than this.
_WIDE = 5.0
_BAND = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A median over seeds with its band.

    Parameters
    ----------
    x : ndarray of float64, shape (n,)
        What was spent up to a point, median over seeds.
    median, low, high : ndarray of float64, shape (n,)
        Loss at these points.
    """

    x: HostFloats
    median: HostFloats
    low: HostFloats
    high: HostFloats


def against_iterations(collection: Collection) -> tuple[Figure, str]:
    """Draw loss against iterations."""
    figure, _ = _draw(collection, iterations_before, "iteration")
    return figure, f"Loss against iterations. {_over_seeds(collection)}"


def against_seconds(collection: Collection) -> tuple[Figure, str]:
    """Draw loss against training time."""
    figure, axes = _draw(collection, seconds_before, "training time (s)")
    caption = "Loss against training time: the server's clock, evaluation left out."
    caption += mark_times(axes, collection.methods)
    return figure, f"{caption} {_over_seeds(collection)}"


def against_bytes(collection: Collection) -> tuple[Figure, str]:
    """Draw loss against uplink traffic."""
    figure, axes = _draw(collection, uplink_bytes_before, "uplink traffic of all devices (bytes)")
    axes.xaxis.set_major_formatter(EngFormatter(unit="B"))
    caption = "Loss against bytes sent by all devices to the server."
    return figure, f"{caption} {_over_seeds(collection)}"


def loss_curve(method: Method, spent: Callable[[RunLog], HostFloats]) -> Curve:
    """Return the loss of a method over what was spent, evaluated points only.

    Parameters
    ----------
    method : Method
        Its runs evaluate the same iterations.
    spent : callable
        Gives what a run has spent before each iteration, and after the last,
        shape (T + 1,).
    """
    runs = list(method.by_seed.values())
    losses = np.array([[*run.metrics["loss"], final_loss(run)] for run in runs])
    costs = np.array([spent(run) for run in runs])
    evaluated = np.isfinite(losses).all(axis=0)
    estimates = [estimate(column.tolist()) for column in losses[:, evaluated].T]
    return Curve(
        x=np.median(costs[:, evaluated], axis=0),
        median=np.array([found.median for found in estimates]),
        low=np.array([found.low for found in estimates]),
        high=np.array([found.high for found in estimates]),
    )


def _draw(
    collection: Collection, spent: Callable[[RunLog], HostFloats], label: str
) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(style.WIDTH, _HEIGHT))
    axes = figure.add_subplot()
    styles = style.method_styles(method.label for method in collection.methods)
    curves = {method.label: loss_curve(method, spent) for method in collection.methods}
    first = _scale_spent(axes, [curve.x for curve in curves.values()])
    # Names stand in the order in which the curves end.
    for name in sorted(curves, key=lambda name: -float(curves[name].median[-1])):
        curve, look = curves[name], styles[name]
        shown = curve.x >= first
        x, median = curve.x[shown], curve.median[shown]
        axes.fill_between(
            x, curve.low[shown], curve.high[shown], color=look.color, alpha=_BAND, linewidth=0
        )
        layer = 2 + look.layer / 10
        axes.plot(x, median, color=look.color, linestyle=look.line, zorder=layer, label=name)
    if all((curve.low > 0).all() for curve in curves.values()):
        axes.set_yscale("log")
    axes.set_xlabel(label)
    axes.set_ylabel("loss $F(x)$")
    figure.legend(loc="outside right center")
    return figure, axes


def _scale_spent(axes: Axes, spent: Sequence[HostFloats]) -> float:
    """Take a logarithmic axis where methods spend very different amounts; return its start."""
    ends = [float(x[-1]) for x in spent]
    if max(ends) <= _WIDE * min(ends):
        axes.set_xlim(0, 1.02 * max(ends))
        return 0.0
    first = min(float(x[x > 0].min()) for x in spent)
    axes.set_xscale("log")
    axes.set_xlim(first, 1.1 * max(ends))
    return first


def _over_seeds(collection: Collection) -> str:
    return f"{seeds_caption(collection)} {spread_caption(collection, 'Bands')}"
