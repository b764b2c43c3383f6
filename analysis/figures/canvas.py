"""Figures that the user's settings do not change, and names as they are in them."""

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

#: It comes with matplotlib.
_FONT = "DejaVu Sans"
SMALL = 7
#: Height of a small line of text in inches.
LINE = 1.25 * SMALL / 72
_TEXT = 8
_POINTS = 72
#: Width of the sample of a line, with the gaps around it, in points.
_SAMPLE = 42
_BESIDE = 130
_BELOW = 200
_ALARM = "#AA0000"
#: Ticks closer than this share of an axis have labels that touch.
_APART = 0.07


#: Up to how many panels stand in so many columns, and how tall each is, in inches.
_COLUMNS = {1: 1, 2: 4, 3: 9, 4: 10**9}
_HEIGHTS = {1: 3.0, 2: 2.2, 3: 1.6, 4: 1.3}


@contextmanager
def settings() -> Iterator[None]:
    """Set matplotlib to its defaults and ours, whatever the user's ``matplotlibrc`` says."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(style.SETTINGS)
        yield


def new_figure(height: float) -> Figure:
    """Return an empty figure as wide as a page, of so many inches of height."""
    figure = Figure(figsize=(style.WIDTH, height))
    FigureCanvasAgg(figure)
    return figure


@dataclass(frozen=True, slots=True)
class PanelGrid:
    """Panels of the same size.

    Parameters
    ----------
    figure : Figure
        Holds them.
    axes : list of Axes
        One a panel.
    columns : int
        Panels in a row.
    """

    figure: Figure
    axes: list[Axes]
    columns: int

    def label(self, x: str, y: str) -> None:
        """Name both axes, once for all panels."""
        if len(self.axes) == 1:
            self.axes[0].set(xlabel=x, ylabel=y)
            return
        # A label of the whole figure would lie on the legend.
        last = (len(self.axes) - 1) // self.columns * self.columns
        for axes in self.axes[last:]:
            axes.set_xlabel(x)
        self.figure.supylabel(y, fontsize=9)


def grid(arrangement: Arrangement) -> PanelGrid:
    """Return axes for all panels, with their titles; they share scales where losses compare."""
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
        # Below the last row's end there is no panel that has the labels.
        axes.tick_params(labelbottom=not shared or place + columns >= count)
    for axes in free[count:]:
        axes.remove()
    return PanelGrid(figure, free[:count], columns)


def fold_name(name: str, points: float, size: float = _TEXT) -> str:
    """Break a name into lines of so many points; characters without a glyph are escaped.

    It is to be drawn with ``parse_math=False``.
    """
    shown = "".join(
        c if ord(c) in _glyphs() else c.encode("unicode_escape").decode() for c in one_line(name)
    )
    # No line ends within d = 5.
    shown = shown.replace(" = ", "\u00a0=\u00a0")
    length = len(shown)
    lines = [shown]
    while (widest := max(_width(line, size) for line in lines)) > points and length > 1:
        length = max(1, min(length - 1, int(length * points / widest)))
        lines = textwrap.wrap(shown, length) or [shown]
    return "\n".join(lines).replace("\u00a0=\u00a0", " = ")


def sample(**look: Any) -> Line2D:
    """Return a line that is drawn in the legend alone."""
    return Line2D([], [], **look)


def legend(figure: Figure, entries: Mapping[str, Artist], *, beside: bool = False) -> Legend:
    """Name what was drawn, beside the axes or below; make room for many names and long ones.

    Parameters
    ----------
    figure : Figure
        Has its axes.
    entries : mapping of Artist
        A sample by its name.
    beside : bool
        Whether it stands to the right of the axes, if names are short.
    """
    beside = beside and not any("\n" in fold_name(name, _BESIDE) for name in entries)
    names = [fold_name(name, _BESIDE if beside else _BELOW) for name in entries]
    widest = max((_width(line, _TEXT) for name in names for line in name.split("\n")), default=0.0)
    columns = max(1, int((style.WIDTH * _POINTS - 10) / (widest + _SAMPLE)))
    rows = -(-len(names) // columns)
    made = figure.legend(
        list(entries.values()),
        # Names are set afterwards: matplotlib hides those that begin with an underscore.
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
    """Write above the axes what all of them share, in red where no claim can be made."""
    room = style.WIDTH * _POINTS - 12
    text = "\n".join(fold_name(line, room, SMALL) for line in (alarm, *lines) if line)
    figure.suptitle(
        text, x=0.01, ha="left", fontsize=SMALL, color=_ALARM if alarm else style.GREY,
        parse_math=False,
    )  # fmt: skip
    figure.set_figheight(figure.get_figheight() + LINE * (text.count("\n") + 1))


def title(axes: Axes, text: str) -> None:
    """Name a row of panels above its first."""
    # A longer one would part the first panel from the second.
    shown = fold_name(text, style.WIDTH * _POINTS * 0.4)
    axes.set_title(shown, loc="left", fontsize=_TEXT, parse_math=False)


def mark_places(axis: Axis, places: Sequence[float], *, log: bool) -> None:
    """Label places along an axis, as far as there is room, and no others."""
    scaled = np.log(places) if log else np.asarray(places, dtype=float)
    least = _APART * float(np.ptp(scaled))
    # The ends come first; what lies between them has to keep its distance.
    kept = [0]
    for place in range(1, len(places) - 1):
        if min(scaled[place] - scaled[kept[-1]], scaled[-1] - scaled[place]) >= least:
            kept.append(place)
    kept.append(len(places) - 1)
    axis.set_major_locator(FixedLocator([float(places[place]) for place in dict.fromkeys(kept)]))
    axis.set_major_formatter(ScalarFormatter())
    axis.set_minor_locator(NullLocator())


def _width(text: str, size: float) -> float:
    found: Any = text_to_path.get_text_width_height_descent(
        text, FontProperties(family=_FONT, size=size), ismath=False
    )
    return float(found[0])


@cache
def _glyphs() -> frozenset[int]:
    return frozenset(get_font(findfont(FontProperties(family=_FONT))).get_charmap())
