"""The canvas of all figures: settings, axes, legends, headings and names."""

from __future__ import annotations

import textwrap
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.lines import Line2D
from matplotlib.textpath import text_to_path
from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

from analysis import style
from lad_mpi.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.legend import Legend

    from analysis.figures.panels import Arrangement

#: This font comes with matplotlib.
_FONT = "DejaVu Sans"
SMALL = 7
#: Height of a small line of text in inches.
LINE = 1.25 * SMALL / 72
_TEXT = 8
_POINTS = 72
#: Width of a sample in the legend with its gaps, in points.
_SAMPLE = 42
_BESIDE = 130
_BELOW = 200
_ALARM = "#AA0000"
#: Labels of ticks touch if they are closer than this share of the axis.
_APART = 0.07


#: Largest number of panels for each number of columns, and height of a panel in inches.
_COLUMNS = {1: 1, 2: 4, 3: 9, 4: 10**9}
_HEIGHTS = {1: 3.0, 2: 2.2, 3: 1.6, 4: 1.3}


@contextmanager
def settings() -> Iterator[None]:
    """Use the defaults of matplotlib and our settings, ignoring the user's ``matplotlibrc``."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(style.SETTINGS)
        yield


def new_figure(height: float) -> Figure:
    """Return an empty figure with the width of a page and a height in inches."""
    figure = Figure(figsize=(style.WIDTH, height))
    FigureCanvasAgg(figure)
    return figure


@dataclass(frozen=True, slots=True)
class PanelGrid:
    """Panels of the same size.

    Parameters
    ----------
    figure : Figure
        The figure.
    axes : list of Axes
        Axes of the panels.
    columns : int
        Panels in a row.
    """

    figure: Figure
    axes: list[Axes]
    columns: int

    def label(self, x: str, y: str) -> None:
        """Label both axes once for all panels."""
        if len(self.axes) == 1:
            self.axes[0].set(xlabel=x, ylabel=y)
            return
        # supxlabel would overlap the legend.
        last = (len(self.axes) - 1) // self.columns * self.columns
        for axes in self.axes[last:]:
            axes.set_xlabel(x)
        self.figure.supylabel(y, fontsize=9)


def grid(arrangement: Arrangement) -> PanelGrid:
    """Return axes for all panels, with titles. Panels with the same data share their scales."""
    count = len(arrangement.panels)
    columns = next((few for few, most in _COLUMNS.items() if count <= most), 4)
    rows = -(-count // columns)
    shared = arrangement.one_data
    room = style.WIDTH * _POINTS / columns - (24 if shared else 50)
    titles = [fold_name(panel.title, room) for panel in arrangement.panels]
    lines = max(title.count("\n") + bool(title) for title in titles)
    figure = new_figure(0.4 + rows * (_HEIGHTS[columns] + lines * 1.3 * _TEXT / _POINTS))
    free = list(figure.subplots(rows, columns, squeeze=False, sharex=shared, sharey=shared).flat)
    for place, (axes, title) in enumerate(zip(free, titles, strict=False)):
        axes.set_title(title, loc="left", fontsize=_TEXT, parse_math=False)
        # A panel without another one below it needs tick labels.
        axes.tick_params(labelbottom=not shared or place + columns >= count)
    for axes in free[count:]:
        axes.remove()
    return PanelGrid(figure, free[:count], columns)


def fold_name(name: str, points: float, size: float = _TEXT) -> str:
    """Fold a name into lines of a width in points, and escape characters without a glyph.

    Draw the result with ``parse_math=False``.
    """
    shown = "".join(
        c if ord(c) in _glyphs() else c.encode("unicode_escape").decode() for c in one_line(name)
    )
    # Do not break a line within "d = 5".
    shown = shown.replace(" = ", "\u00a0=\u00a0")
    length = len(shown)
    lines = [shown]
    while (widest := max(text_width(line, size) for line in lines)) > points and length > 1:
        length = max(1, min(length - 1, int(length * points / widest)))
        lines = textwrap.wrap(shown, length) or [shown]
    return "\n".join(lines).replace("\u00a0=\u00a0", " = ")


def literal(text: str) -> str:
    """Return a text for a label that matplotlib would search for formulae."""
    return fold_name(text, np.inf).replace("$", r"\$")


def sample(**look: Any) -> Line2D:
    """Return a line that is only drawn in the legend."""
    return Line2D([], [], **look)


def legend(figure: Figure, entries: Mapping[str, Artist], *, beside: bool = False) -> Legend:
    """Add a legend, and enlarge the figure as the number and length of the names require.

    Parameters
    ----------
    figure : Figure
        The figure with its axes.
    entries : mapping of Artist
        Samples, by name.
    beside : bool
        Whether to put the legend to the right of the axes if names are short.
    """
    beside = beside and not any("\n" in fold_name(name, _BESIDE) for name in entries)
    names = [fold_name(name, _BESIDE if beside else _BELOW) for name in entries]
    widest = max(
        (text_width(line, _TEXT) for name in names for line in name.split("\n")), default=0.0
    )
    columns = max(1, int((style.WIDTH * _POINTS - 10) / (widest + _SAMPLE)))
    rows = -(-len(names) // columns)
    made = figure.legend(
        list(entries.values()),
        # Set the names afterwards: matplotlib hides names that start with an underscore.
        [str(place) for place in range(len(names))],
        loc="outside right center" if beside else "outside lower center",
        ncols=1 if beside else -(-len(names) // max(1, rows)),
        fontsize=_TEXT,
    )
    for text, name in zip(made.get_texts(), names, strict=True):
        text.set(text=name, parse_math=False)
    lines = sum(name.count("\n") + 1 for name in names)
    tall = (1.2 * lines + 0.5 * len(names) + 1.5) * _TEXT / _POINTS
    if beside:
        figure.set_figheight(max(figure.get_figheight(), tall + 0.3))
    else:
        figure.set_figheight(figure.get_figheight() + tall * rows / max(1, len(names)))
    return made


def heading(figure: Figure, *lines: str, alarm: str = "") -> None:
    """Write lines above all axes, in red if there is an alarm."""
    room = style.WIDTH * _POINTS - 12
    text = "\n".join(fold_name(line, room, SMALL) for line in (alarm, *lines) if line)
    figure.suptitle(
        text, x=0.01, ha="left", fontsize=SMALL, color=_ALARM if alarm else style.GREY,
        parse_math=False,
    )  # fmt: skip
    figure.set_figheight(figure.get_figheight() + LINE * (text.count("\n") + 1))


def title(axes: Axes, text: str) -> None:
    """Write the title of a row of panels above its first panel."""
    # A longer title would push the panels apart.
    shown = fold_name(text, style.WIDTH * _POINTS * 0.4)
    axes.set_title(shown, loc="left", fontsize=_TEXT, parse_math=False)


def mark_places(axis: Axis, places: Sequence[float], *, log: bool) -> None:
    """Label some places along an axis, as many as there is room for."""
    scaled = np.log(places) if log else np.asarray(places, dtype=float)
    least = _APART * float(np.ptp(scaled))
    # Always label both ends, and places between them that are far enough from the others.
    kept = [0]
    for place in range(1, len(places) - 1):
        if min(scaled[place] - scaled[kept[-1]], scaled[-1] - scaled[place]) >= least:
            kept.append(place)
    kept.append(len(places) - 1)
    axis.set_major_locator(FixedLocator([float(places[place]) for place in dict.fromkeys(kept)]))
    axis.set_major_formatter(ScalarFormatter())
    axis.set_minor_locator(NullLocator())


def text_width(text: str, size: float) -> float:
    """Return the width of a text in points."""
    found: Any = text_to_path.get_text_width_height_descent(
        text, FontProperties(family=_FONT, size=size), ismath=False
    )
    return float(found[0])


@cache
def _glyphs() -> frozenset[int]:
    return frozenset(get_font(findfont(FontProperties(family=_FONT))).get_charmap())
