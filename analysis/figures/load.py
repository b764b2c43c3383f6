"""What redundancy buys: errors against load, beside the law."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

from analysis import style
from analysis.exact import exact_reference
from analysis.families import load_families, load_of
from analysis.figures.notes import seeds_caption, spread_caption
from analysis.statistics import estimate
from analysis.summary import final_loss

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes

    from analysis.families import Family
    from analysis.runs import Collection
    from lad_mpi.logs import RunLog

_HEIGHT = 3.5
_MARKERS = "osD^vP"
_SIZE = 5
_THIN = 0.7
#: Families stand beside each other where their loads are the same.
_SHIFT = 1.06
#: Below this a square relative to β² is rounding; a logarithmic axis has no zero.
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Look:
    """How a family is drawn.

    Parameters
    ----------
    marker : str
        Marker of matplotlib.
    shift : float
        Factor on the load.
    styles : dict of Style
        Of the methods, by label.
    """

    marker: str
    shift: float
    styles: dict[str, style.Style]


def error_against_load(collection: Collection) -> tuple[Figure, str] | None:
    """Draw final loss, and dispersion and aggregation error beside the law, against load.

    None where no methods differ in load alone.
    """
    families = load_families(collection)
    if not families:
        return None
    figure = Figure(figsize=(style.WIDTH, _HEIGHT))
    left, right = figure.subplots(1, 2)
    styles = style.method_styles(method.label for method in collection.methods)
    for place, family in enumerate(families):
        shift = _SHIFT ** (place - (len(families) - 1) / 2)
        look = Look(_MARKERS[place % len(_MARKERS)], shift, styles)
        _draw_family(left, family, look, final_loss)
        _draw_family(right, family, look, _dispersion, linked=False)
        _draw_family(right, family, look, _squared_error, filled=False)
        _name(left, look.marker, family.name)
    _draw_exact(left, families, collection)
    _draw_laws(right, families)
    _name(right, "o", "dispersion of honest messages", linked=False)
    _name(right, "o", "squared aggregation error", filled=False)
    loads = sorted({load_of(method) for family in families for method in family.members})
    for axes in (left, right):
        _finish(axes, loads)
    left.set_ylabel("final loss $F(x_T)$")
    right.set_ylabel(r"mean square, in units of $\beta^2$")
    figure.legend(handles=left.get_legend_handles_labels()[0], loc="outside lower left")
    figure.legend(handles=right.get_legend_handles_labels()[0], loc="outside lower right")
    caption = (
        "What redundancy buys. Left: final loss against load d. Right: squares relative to β² at "
        "the same model, averaged over iterations; the line is the expected dispersion of "
        "uncompressed messages by the law of the code, for cyclic coding "
        "N(H−1)(N−d)/(Hd(N−1)²); zeros, at d = N, are not drawn. "
        "Colours are those of the methods in the other figures. "
        f"{seeds_caption(collection)} {spread_caption(collection, 'Bars')}"
    )
    return figure, caption


def relative_to_variance(run: RunLog, squares: Any) -> float:
    """Return the mean over evaluated iterations of squares relative to β²."""
    beta_squared = run.metrics["beta_squared"]
    told = beta_squared > 0
    return float(np.mean(squares[told] / beta_squared[told])) if told.any() else float("nan")


def _dispersion(run: RunLog) -> float:
    return relative_to_variance(run, run.metrics["honest_dispersion"])


def _squared_error(run: RunLog) -> float:
    return relative_to_variance(run, run.metrics["aggregation_error"] ** 2)


def _draw_family(
    axes: Axes,
    family: Family,
    look: Look,
    value: Callable[[RunLog], float],
    *,
    filled: bool = True,
    linked: bool = True,
) -> None:
    loads: list[float] = []
    medians: list[float] = []
    for method in family.members:
        found = estimate([value(run) for run in method.by_seed.values()])
        if not found.low > _ROUNDING:
            continue
        color = look.styles[method.label].color
        loads.append(look.shift * load_of(method))
        medians.append(found.median)
        axes.plot([loads[-1]] * 2, [found.low, found.high], color=color, linewidth=1.0)
        face = color if filled else "white"
        axes.plot(
            loads[-1],
            found.median,
            look.marker,
            color=color,
            markerfacecolor=face,
            markersize=_SIZE,
        )
    if linked:
        axes.plot(loads, medians, color=style.GREY, linewidth=_THIN, zorder=1)


def _name(axes: Axes, marker: str, label: str, *, filled: bool = True, linked: bool = True) -> None:
    face = style.GREY if filled else "white"
    axes.plot(
        [],
        [],
        color=style.GREY,
        marker=marker,
        markerfacecolor=face,
        markersize=_SIZE,
        linewidth=_THIN if linked else 0,
        label=label,
    )


def _draw_exact(axes: Axes, families: Sequence[Family], collection: Collection) -> None:
    """Draw the level of exact recovery where all families share it."""
    references = {
        None if found is None else found.label: found
        for family in families
        if not family.compressed
        for found in [exact_reference(family.members[0], collection.methods)]
    }
    if len(references) != 1:
        return
    (reference,) = references.values()
    if reference is not None:
        level = estimate([final_loss(run) for run in reference.by_seed.values()]).median
        axes.axhline(
            level, color=style.GREY, linestyle="--", linewidth=0.9, zorder=1, label="exact recovery"
        )


def _draw_laws(axes: Axes, families: Sequence[Family]) -> None:
    laws = [family.law() for family in families if not family.compressed]
    different = {tuple(law.items()) for law in laws if law}
    for place, law in enumerate(sorted(different)):
        label = None if place else "law of the dispersion"
        axes.plot(*zip(*law, strict=True), color="black", linewidth=0.9, zorder=1, label=label)


def _finish(axes: Axes, loads: Sequence[int]) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(loads[0] / 1.3, loads[-1] * 1.3)
    axes.set_xlabel("load $d$ (subsets a device)")
    axes.xaxis.set_major_locator(FixedLocator(list(loads)))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_locator(NullLocator())
