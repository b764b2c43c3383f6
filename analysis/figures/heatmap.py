"""Heat maps with numbers in their cells and one colour scale for all panels."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.colors import LogNorm, Normalize, to_rgb
from matplotlib.patches import Patch, Rectangle

from analysis import style
from analysis.families import setting_of
from analysis.figures import canvas
from analysis.figures.notes import sentence
from analysis.statistics import CONFIDENCE
from analysis.text import significant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from analysis.heatmap import HeatMap, Within

#: It is perceptually uniform, and readers who are colour-blind can read it.
_MAP = "viridis"
#: Heights of a cell in inches, and of all cells of a panel if there are few.
_LOWEST, _HIGHEST, _PANEL = 0.13, 0.34, 2.6
#: Most panels of each number of columns.
_COLUMNS = {1: 1, 2: 4, 3: 9, 4: 24}
#: Largest and smallest size of a number in points, and its share of the cell.
_LARGEST, _SMALLEST, _ROOM = 7.0, 4.0, 0.88
#: The scale is logarithmic if values differ by a larger factor. It ends at this factor from the
#: median, so that a run that diverged does not make all others look alike.
_WIDE, _ENDS = 10.0, 1e6
_NO_RUNS, _NO_VALUE = "no runs", "runs without a value"
_NEVER, _INFINITE = "∞: never reached", "∞: infinite"
_DARK = {"facecolor": "#333333", "edgecolor": "white", "linewidth": 0.4}
_LOOKS: dict[str, dict[str, Any]] = {
    _NO_RUNS: {"facecolor": "white", "edgecolor": "#BBBBBB", "linewidth": 0.4, "hatch": "/////"},
    _NO_VALUE: {"facecolor": "#DDDDDD", "edgecolor": "white", "linewidth": 0.4},
    _NEVER: _DARK,
    _INFINITE: _DARK,
}
_OUTLINE = ((3.2, "white"), (1.6, "black"))
_NAMES = 130.0


def draw_heatmap(heatmap: HeatMap) -> tuple[Figure, str]:
    """Draw a heat map; return the figure and its caption."""
    values = [cell.median for cell in heatmap.cells.values() if math.isfinite(cell.median)]
    norm = _scale(values, heatmap.quantity.better)
    texts = _texts(values, log=isinstance(norm, LogNorm))
    colors = mpl.colormaps[_MAP]
    if heatmap.quantity.better == "lower":
        # Bright is better.
        colors = colors.reversed()
    figure, panels = _panels(heatmap)
    entries: dict[str, Artist] = {}
    mappable = ScalarMappable(norm, colors)
    for name, axes in panels.items():
        entries |= _draw_cells(axes, heatmap, name, mappable)
        if heatmap.within is not None:
            entries |= _draw_outline(axes, heatmap, heatmap.within, name)
    if values:
        _draw_scale(figure, list(panels.values()), mappable, values, heatmap)
    if entries:
        canvas.legend(figure, entries)
    canvas.heading(figure, setting_of(run.spec for run in heatmap.runs))
    figure.canvas.draw()
    size = _number_size(next(iter(panels.values())), heatmap, list(texts.values()))
    if size:
        for name, axes in panels.items():
            _write_numbers(axes, heatmap, name, texts, mappable, size)
    return figure, _caption(heatmap, has_numbers=bool(size))


def _scale(values: Sequence[float], better: str) -> Normalize:
    """Return the colour scale of all panels."""
    if not values:
        return Normalize(0.0, 1.0)
    low, high = min(values), max(values)
    positive = [value for value in values if value > 0]
    if better != "higher" and low >= 0 and positive and high > _WIDE * min(positive):
        middle = float(np.median(positive))
        return LogNorm(max(min(positive), middle / _ENDS), min(high, middle * _ENDS), clip=True)
    # Without a difference, all cells have the colour in the middle.
    apart = high > low
    return Normalize(low, high) if apart else Normalize(low - 1.0, high + 1.0)


def _texts(values: Sequence[float], *, log: bool) -> dict[float, str]:
    """Write numbers: with the same decimals, or with the same digits on a logarithmic scale."""
    most = max(map(abs, values), default=0.0)
    if log or not 1e-3 <= most < 1e4:
        return {
            v: re.sub(r"e([+-])0*", r"e\1", significant(v, 3)).replace("e+", "e") for v in values
        }
    decimals = max(0, 2 - math.floor(math.log10(most))) if most >= 1 else 3
    return {value: f"{value:.{decimals}f}" for value in values}


def _panels(heatmap: HeatMap) -> tuple[Figure, dict[str, Axes]]:
    """Return a figure with labelled axes, by panel."""
    count = len(heatmap.panels)
    across = next(few for few, most in _COLUMNS.items() if count <= most)
    down = -(-count // across)
    rows = [canvas.fold_name(row, _NAMES, canvas.SMALL) for row in heatmap.rows]
    lines = max(row.count("\n") + 1 for row in rows)
    height = max(_LOWEST, min(_HIGHEST, _PANEL / len(rows)), lines * canvas.LINE + 0.02)
    width = (style.WIDTH - 2.2) * 72 / across / len(heatmap.columns)
    columns = [canvas.fold_name(column, _NAMES, canvas.SMALL) for column in heatmap.columns]
    upright = any(canvas.fold_name(c, width, canvas.SMALL) != c for c in columns)
    every = max(1, math.ceil(72 * canvas.LINE / width))
    below = 0.5 + upright * 0.06 * max(map(len, columns))
    figure = canvas.new_figure(0.3 + below + down * (len(rows) * height + 0.3))
    free = list(figure.subplots(down, across, squeeze=False, sharex=True, sharey=True).flat)
    for place, (axes, name) in enumerate(zip(free, heatmap.panels, strict=False)):
        axes.set(xlim=(0, len(columns)), ylim=(len(rows), 0))
        axes.set_xticks(np.arange(0, len(columns), every) + 0.5, columns[::every])
        axes.set_yticks(np.arange(len(rows)) + 0.5, rows)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_tick_params(length=0, labelsize=canvas.SMALL)
            for label in axis.get_ticklabels():
                label.set_parse_math(False)
        axes.tick_params(axis="x", labelbottom=place + across >= count, labelrotation=90 * upright)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        if name:
            axes.set_title(
                canvas.fold_name(name, width * len(columns), canvas.SMALL + 1),
                loc="left", fontsize=canvas.SMALL + 1, parse_math=False,
            )  # fmt: skip
    for axes in free[count:]:
        axes.remove()
    panels = dict(zip(heatmap.panels, free, strict=False))
    grid = canvas.PanelGrid(figure, list(panels.values()), across)
    grid.label(canvas.literal(heatmap.keys[2]), canvas.literal(heatmap.keys[1]))
    return figure, panels


def _draw_cells(
    axes: Axes, heatmap: HeatMap, panel: str, mappable: ScalarMappable
) -> dict[str, Artist]:
    """Fill all cells; return legend entries for those without a number."""
    values = np.full((len(heatmap.rows), len(heatmap.columns)), np.nan)
    special: dict[str, list[Rectangle]] = defaultdict(list)
    for y, row in enumerate(heatmap.rows):
        for x, column in enumerate(heatmap.columns):
            cell = heatmap.cells.get((panel, row, column))
            if cell is None:
                special[_NO_RUNS].append(Rectangle((x, y), 1, 1))
            elif math.isnan(cell.median):
                special[_NO_VALUE].append(Rectangle((x, y), 1, 1))
            elif math.isinf(cell.median):
                name = _NEVER if "_to:" in heatmap.quantity.name else _INFINITE
                special[name].append(Rectangle((x, y), 1, 1))
                axes.annotate(
                    "∞", (x + 0.5, y + 0.5), color="white", ha="center", va="center",
                    fontsize=canvas.SMALL,
                )  # fmt: skip
            else:
                values[y, x] = cell.median
    axes.pcolormesh(
        np.ma.masked_invalid(values), norm=mappable.norm, cmap=mappable.cmap, edgecolors="white",
        linewidth=0.4,
    )  # fmt: skip
    for name, cells in special.items():
        axes.add_collection(PatchCollection(cells, **_LOOKS[name]))
    return {name: Patch(**_LOOKS[name]) for name in special}


def _draw_outline(axes: Axes, heatmap: HeatMap, within: Within, panel: str) -> dict[str, Artist]:
    """Draw the outline of the cells that are nearly exact."""
    near = {
        (x, y)
        for y, row in enumerate(heatmap.rows)
        for x, column in enumerate(heatmap.columns)
        if within.holds((panel, row, column))
    }
    name = f"within {within.margin} of exact recovery"
    edges = []
    for x, y in near:
        edges += [((x, y), (x, y + 1))] * ((x - 1, y) not in near)
        edges += [((x + 1, y), (x + 1, y + 1))] * ((x + 1, y) not in near)
        edges += [((x, y), (x + 1, y))] * ((x, y - 1) not in near)
        edges += [((x, y + 1), (x + 1, y + 1))] * ((x, y + 1) not in near)
    for width, color in _OUTLINE:
        axes.add_collection(
            LineCollection(
                edges,
                colors=color,
                linewidths=width,
                capstyle="projecting",
                clip_on=False,
                zorder=4,
            )  # fmt: skip
        )
    sample = Patch(facecolor="none", edgecolor="black", linewidth=_OUTLINE[-1][0])
    return {name: sample} if near else {}


def _draw_scale(
    figure: Figure,
    panels: Sequence[Axes],
    mappable: ScalarMappable,
    values: Sequence[float],
    heatmap: HeatMap,
) -> None:
    low, high = mappable.get_clim()
    beyond = {(False, False): "neither", (True, False): "min", (False, True): "max"}
    bar = figure.colorbar(
        mappable,
        ax=panels,
        extend=beyond.get((min(values) < low, max(values) > high), "both"),
        pad=0.015,
        aspect=30,
    )
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=canvas.SMALL)
    quantity = heatmap.quantity
    units = "" if quantity.units == "1" else f" ({quantity.units})"
    better = f", {quantity.better} is better" if quantity.better else ""
    room = 72 * figure.get_figheight() * 0.8
    bar.set_label(
        canvas.fold_name(f"{quantity.title}{units}{better}", room), fontsize=8, parse_math=False
    )


def _number_size(axes: Axes, heatmap: HeatMap, texts: Sequence[str]) -> float:
    """Return the size of the numbers in points; 0 if they do not fit."""
    if not texts:
        return 0.0
    box = axes.get_window_extent()
    points = 72 / axes.figure.dpi
    wide = points * box.width / len(heatmap.columns) * _ROOM
    high = points * box.height / len(heatmap.rows) * _ROOM
    longest = max(canvas.text_width(text, 10.0) / 10 for text in texts)
    size = min(_LARGEST, high / 1.1, wide / longest)
    return size if size >= _SMALLEST else 0.0


def _write_numbers(
    axes: Axes,
    heatmap: HeatMap,
    panel: str,
    texts: Mapping[float, str],
    mappable: ScalarMappable,
    size: float,
) -> None:
    for (own, row, column), cell in heatmap.cells.items():
        if own != panel or not math.isfinite(cell.median):
            continue
        axes.text(
            heatmap.columns.index(column) + 0.5,
            heatmap.rows.index(row) + 0.5,
            texts[cell.median],
            color=_contrasting(mappable.to_rgba(cell.median)),
            fontsize=size,
            ha="center",
            va="center_baseline",
        )


def _contrasting(color: Any) -> str:
    """Return black or white, whichever has the higher contrast (WCAG 2.1, relative luminance)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    luminance = float(np.dot(linear, (0.2126, 0.7152, 0.0722)))
    return "black" if luminance > 0.179 else "white"


def _caption(heatmap: HeatMap, *, has_numbers: bool) -> str:
    panel, row, column = heatmap.keys
    counts = sorted({cell.estimate.count for cell in heatmap.cells.values() if cell.estimate})
    seeds = "" if not counts else f"{counts[0]}" + (f" to {counts[-1]}" if len(counts) > 1 else "")
    said = [
        f"{sentence(heatmap.quantity.title)[:-1]} by {row} and {column}"
        + (f", in panels by {panel}." if panel else "."),
        f"Medians over {seeds} seeds." if counts and counts != [1] else "One seed." * bool(counts),
        *map(sentence, (note.removesuffix(".") for note in heatmap.notes)),
        ""
        if has_numbers
        else "The cells are too small for numbers; "
        f"lad-mpi analysis table --rows {row} --columns {column} prints them.",
    ]
    if heatmap.within is not None:
        of = "of the exact value" if heatmap.within.margin.is_relative else "in units of the value"
        said.append(
            f"Outline: no more than {heatmap.within.margin} {of} worse than exact recovery with "
            "the same data, model, optimizer and seeds, in the median over seeds. Neither the "
            "attack nor f changes the exact value."
        )
    return " ".join(text for text in said if text)
