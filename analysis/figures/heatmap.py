"""Heat maps with numbers in their cells and one colour scale for all panels."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.colors import LogNorm, Normalize
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import LogFormatterSciNotation

from analysis import style
from analysis.families import setting_of
from analysis.figures import canvas
from analysis.figures.notes import sentence
from analysis.text import significant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

    from analysis.heatmap import HeatMap, Within

#: It is perceptually uniform, and readers who are colour-blind can read it.
_MAP = "viridis"
#: Heights of a cell in inches, and of all cells of a panel if there are few.
_LOWEST, _HIGHEST, _PANEL = 0.13, 0.34, 2.6
#: Most panels of each number of columns, and width in inches of a cell with a large number.
_COLUMNS = {1: 3, 2: 6, 3: 12, 4: 24}
_WIDTH = 0.34
#: Width in inches that names and the scale take.
_BESIDE = 2.0
#: Greatest height in inches of the scale.
_TALLEST = 4.0
#: Largest and smallest size of a number in points, and its share of the cell.
_LARGEST, _SMALLEST, _ROOM = 7.0, 4.0, 0.88
#: The scale is logarithmic if values differ by a larger factor. It ends at this factor from the
#: median, so that a run that diverged does not make all others look alike.
_WIDE, _ENDS = 10.0, 1e6
_NO_RUNS, _NO_VALUE = "no runs", "runs without a value"
_INFINITE = "∞: never reached, or infinite"
_LOOKS: dict[str, dict[str, Any]] = {
    _NO_RUNS: {"facecolor": "white", "edgecolor": "#BBBBBB", "linewidth": 0.4, "hatch": "/////"},
    _NO_VALUE: {"facecolor": "#DDDDDD", "edgecolor": "white", "linewidth": 0.4},
    _INFINITE: {"facecolor": "#333333", "edgecolor": "white", "linewidth": 0.4},
}
_OUTLINE = ((3.2, "white"), (1.6, "black"))
_NAMES = 130.0


@dataclass(frozen=True, slots=True)
class _Scale:
    """Colours and texts of values, for all panels."""

    norm: Normalize
    colors: Colormap
    texts: dict[float, str]

    def color(self, value: float) -> tuple[float, ...]:
        """Return the colour of a value, as red, green, blue and opacity."""
        return tuple(self.colors(float(self.norm(value))))


def draw_heatmap(heatmap: HeatMap) -> tuple[Figure, str]:
    """Draw a heat map; return the figure and its caption."""
    scale = _scale(heatmap)
    figure, panels = _panels(heatmap)
    entries: dict[str, Artist] = {}
    for name, axes in panels.items():
        entries |= _draw_cells(axes, heatmap, name, scale)
        if heatmap.within is not None:
            entries |= _draw_outline(axes, heatmap, heatmap.within, name)
    if scale.texts:
        _draw_scale(figure, list(panels.values()), heatmap, scale)
    if entries:
        canvas.legend(figure, entries)
    canvas.heading(figure, setting_of(run.spec for run in heatmap.runs))
    # The size of the cells decides that of the numbers. The second pass improves the layout,
    # which then stays the same in all formats.
    figure.draw_without_rendering()
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    size = _number_size(figure, next(iter(panels.values())), heatmap, scale)
    if size:
        for name, axes in panels.items():
            _write_numbers(axes, heatmap, name, scale, size)
    return figure, _caption(heatmap, has_numbers=bool(size or not scale.texts))


def _scale(heatmap: HeatMap) -> _Scale:
    """Choose colours and texts. Bright is better."""
    better = heatmap.quantity.better
    values = [cell.median for cell in heatmap.cells.values() if math.isfinite(cell.median)]
    colors = mpl.colormaps[_MAP]
    colors = colors.reversed() if better == "lower" else colors
    if not values:
        return _Scale(Normalize(0.0, 1.0), colors, {})
    low, high = min(values), max(values)
    positive = [value for value in values if value > 0]
    if better != "higher" and low >= 0 and positive and high > _WIDE * min(positive):
        middle = float(np.median(positive))
        ends = max(min(positive), middle / _ENDS), min(high, middle * _ENDS)
        norm: Normalize = LogNorm(*ends, clip=True)
        return _Scale(norm, colors, {value: _digits(value) for value in values})
    # Without a difference, all cells have the colour in the middle.
    norm = Normalize(low, high) if high > low else Normalize(low - 1.0, high + 1.0)
    most = max(abs(low), abs(high))
    if most and not 1e-3 <= most < 1e4:
        return _Scale(norm, colors, {value: _digits(value) for value in values})
    decimals = max(0, 2 - math.floor(math.log10(most))) if most >= 1 else 3
    return _Scale(norm, colors, {value: f"{value:.{decimals}f}" for value in values})


def _digits(value: float) -> str:
    """Write three digits, with a short exponent."""
    return re.sub(r"e([+-])0*", r"e\1", significant(value, 3)).replace("e+", "e")


def _panels(heatmap: HeatMap) -> tuple[Figure, dict[str, Axes]]:
    """Return a figure with labelled axes, by panel."""
    count = len(heatmap.panels)
    across = max(
        next(few for few, most in _COLUMNS.items() if count <= most),
        min(4, count, int((style.WIDTH - _BESIDE) / _WIDTH / len(heatmap.columns))),
    )
    down = -(-count // across)
    across = -(-count // down)
    rows = [canvas.fold_name(row, _NAMES, canvas.SMALL) for row in heatmap.rows]
    lines = max(row.count("\n") + 1 for row in rows)
    height = max(_LOWEST, min(_HIGHEST, _PANEL / len(rows)), lines * canvas.LINE + 0.02)
    width = (style.WIDTH - _BESIDE) * 72 / across / len(heatmap.columns)
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
            key = heatmap.keys[0].rpartition(".")[2]
            axes.set_title(
                canvas.fold_name(f"{key} = {name}", width * len(columns), canvas.SMALL + 1),
                loc="left", fontsize=canvas.SMALL + 1, parse_math=False,
            )  # fmt: skip
    for axes in free[count:]:
        axes.remove()
    panels = dict(zip(heatmap.panels, free, strict=False))
    grid = canvas.PanelGrid(figure, list(panels.values()), across)
    grid.label(canvas.literal(heatmap.keys[2]), canvas.literal(heatmap.keys[1]))
    return figure, panels


def _draw_cells(axes: Axes, heatmap: HeatMap, panel: str, scale: _Scale) -> dict[str, Artist]:
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
                special[_INFINITE].append(Rectangle((x, y), 1, 1))
                axes.annotate(
                    "∞", (x + 0.5, y + 0.5), color="white", ha="center", va="center",
                    fontsize=canvas.SMALL,
                )  # fmt: skip
            else:
                values[y, x] = cell.median
    axes.pcolormesh(
        np.ma.masked_invalid(values), norm=scale.norm, cmap=scale.colors, edgecolors="white",
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
            )
        )
    sample = Patch(facecolor="none", edgecolor="black", linewidth=_OUTLINE[-1][0])
    return {name: sample} if near else {}


def _draw_scale(figure: Figure, panels: Sequence[Axes], heatmap: HeatMap, scale: _Scale) -> None:
    below = min(scale.texts) < (scale.norm.vmin or 0.0)
    above = max(scale.texts) > (scale.norm.vmax or 0.0)
    ends = {(False, False): "neither", (True, False): "min", (False, True): "max"}
    bar = figure.colorbar(
        ScalarMappable(scale.norm, scale.colors), ax=panels, aspect=25, pad=0.015,
        anchor=(0.0, 1.0),
        extend=ends.get((below, above), "both"), shrink=min(1.0, _TALLEST / figure.get_figheight()),
    )  # fmt: skip
    if isinstance(scale.norm, LogNorm):
        # Label 2, 3, … between the powers of ten as well, if there are few of these.
        bar.ax.yaxis.set_minor_formatter(LogFormatterSciNotation(minor_thresholds=(2, 0.5)))
        bar.ax.tick_params(which="minor", labelsize=canvas.SMALL)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=canvas.SMALL)
    quantity = heatmap.quantity
    units = "" if quantity.units == "1" else f" ({quantity.units})"
    better = f", {quantity.better} is better" if quantity.better else ""
    room = 72 * figure.get_figheight() * 0.8
    bar.set_label(
        canvas.fold_name(f"{quantity.title}{units}{better}", room), fontsize=8, parse_math=False
    )


def _number_size(figure: Figure, axes: Axes, heatmap: HeatMap, scale: _Scale) -> float:
    """Return the size of the numbers in points; 0 if they do not fit."""
    box = axes.get_window_extent()
    points = 72 * _ROOM / figure.dpi
    wide, high = box.width / len(heatmap.columns), box.height / len(heatmap.rows)
    longest = max((canvas.text_width(text, 10.0) / 10 for text in scale.texts.values()), default=0)
    size = min(_LARGEST, points * high / 1.1, points * wide / longest) if longest else 0.0
    return size if size >= _SMALLEST else 0.0


def _write_numbers(axes: Axes, heatmap: HeatMap, panel: str, scale: _Scale, size: float) -> None:
    for y, row in enumerate(heatmap.rows):
        for x, column in enumerate(heatmap.columns):
            cell = heatmap.cells.get((panel, row, column))
            if cell is not None and math.isfinite(cell.median):
                axes.text(
                    x + 0.5, y + 0.5, scale.texts[cell.median], fontsize=size, ha="center",
                    va="center_baseline", color=_contrasting(scale.color(cell.median)),
                )  # fmt: skip


def _contrasting(color: tuple[float, ...]) -> str:
    """Return black or white, whichever has the higher contrast (WCAG 2.1, relative luminance)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color[:3]]
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
