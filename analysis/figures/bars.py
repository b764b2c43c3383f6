"""Bars stacked from the phases of an iteration; they end where their numbers say."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.patches import Patch

from analysis import style
from analysis.figures import canvas
from analysis.formatting import significant
from analysis.timing import COMMUNICATION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Heights of a row in inches: of one bar, and of one with its bounds below.
_ROW, _PAIR = 0.2, 0.34
_LEAST_HEIGHT = 0.7
_MARGIN = 0.55
_BAR = 0.76
#: More rows are parted into two columns.
_MOST_ROWS = 32
_NAMES = {1: 170.0, 2: 100.0}
#: Room for the numbers, over the longest bar.
_ROOM = {1: 1.1, 2: 1.28}
_REST = "communication, waiting"
#: A phase is seen that takes this share of some iteration.
_LEAST_SHARE = 0.01
_OTHERS = "other phases"


@dataclass(frozen=True, slots=True)
class Row:
    """A bar.

    Parameters
    ----------
    name : str
        Beside it.
    whole : float
        Where it ends, in milliseconds.
    parts : dict of float
        Milliseconds by phase. What they leave of the whole is communication.
    bounds : dict of float
        The bounds of phases, for a thinner bar below.
    """

    name: str
    whole: float
    parts: Mapping[str, float]
    bounds: Mapping[str, float] = field(default_factory=dict)

    def stacked(self) -> dict[str, float]:
        """Return parts that add up to the whole: work in proportion where it exceeds it."""
        work = {name: part for name, part in self.parts.items() if name != COMMUNICATION}
        busy = sum(work.values())
        if busy > self.whole:
            work = {name: part * self.whole / busy for name, part in work.items()}
        return {**work, COMMUNICATION: max(0.0, self.whole - busy)}

    def seen(self) -> set[str]:
        """Return the phases that are wide enough to be seen."""
        return {name for name, part in self.parts.items() if part >= _LEAST_SHARE * self.whole}


def draw_bars(rows: Sequence[Row]) -> Figure:
    """Draw bars from top to bottom, in one column or two, with the legend of the phases."""
    columns = 1 if len(rows) <= _MOST_ROWS else 2
    deep = -(-len(rows) // columns)
    names = [canvas.plain(row.name, _NAMES[columns], canvas.SMALL) for row in rows]
    bounded = any(row.bounds for row in rows)
    least = _PAIR if bounded else _ROW
    tall = [max(least, (name.count("\n") + 1) * canvas.LINE + 0.04) for name in names]
    parts = [slice(start, start + deep) for start in range(0, len(rows), deep)]
    # Axes are as tall in their units as in inches.
    height = max(_LEAST_HEIGHT, *(sum(tall[part]) for part in parts))
    figure = canvas.new_figure(_MARGIN + height)
    seen = {COMMUNICATION}.union(*(row.seen() for row in rows))
    above = [_pooled(row.stacked(), seen) for row in rows]
    below = [_pooled(row.bounds, seen) for row in rows]
    phases = list(dict.fromkeys(phase for parts in (*above, *below) for phase in parts))
    phases.sort(key=lambda phase: (phase == COMMUNICATION, phase == _OTHERS))
    colors = style.phase_colors(phases, rest=COMMUNICATION)
    ends = [sum(parts.values()) for parts in (*above, *below)]
    longest = max(filter(math.isfinite, ends), default=0.0)
    for part, axes in zip(parts, figure.subplots(1, columns, squeeze=False)[0], strict=True):
        places = np.cumsum([0.0, *tall[part][:-1]]) + np.array(tall[part]) / 2
        for row, place in zip(range(len(rows))[part], places, strict=True):
            upper = place - (least * _BAR / 4 if bounded else 0.0)
            _stack(axes, above[row], upper, least * _BAR / (2 if bounded else 1), colors)
            _stack(axes, below[row], place + least * _BAR / 4, least * _BAR / 3, colors)
            axes.annotate(
                _number(rows[row].whole), (rows[row].whole, upper), xytext=(3, 0),
                textcoords="offset points", va="center", fontsize=canvas.SMALL,
            )  # fmt: skip
        axes.set_yticks(places, names[part], fontsize=canvas.SMALL, parse_math=False)
        axes.set_ylim(height, 0)
        axes.set_xlim(0, _ROOM[columns] * longest or 1.0)
        axes.set_xlabel("time of an iteration (ms)")
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
    entries: dict[str, Artist] = {
        _REST if name == COMMUNICATION else name: Patch(color=colors[name]) for name in phases
    }
    canvas.legend(figure, entries)
    return figure


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 1e3 else significant(value, 3)


def _pooled(parts: Mapping[str, float], seen: set[str]) -> dict[str, float]:
    """Make one phase of those that are too short to be seen."""
    pooled: dict[str, float] = {}
    for name, part in parts.items():
        shown = name if name in seen else _OTHERS
        pooled[shown] = pooled.get(shown, 0.0) + part
    return pooled


def _stack(
    axes: Axes, parts: Mapping[str, float], place: float, height: float, colors: Mapping[str, str]
) -> None:
    end = 0.0
    for name in sorted(parts, key=list(colors).index):
        axes.barh(place, parts[name], height, left=end, color=colors[name], label=name)
        end += parts[name]
