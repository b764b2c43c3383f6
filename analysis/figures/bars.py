"""Stacked bars of the phases of an iteration."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from matplotlib.patches import Patch

from analysis import style
from analysis.families import brief_labels, setting_of
from analysis.figures import canvas
from analysis.figures.notes import times_caption, times_heading
from analysis.marks import mark
from analysis.runs import natural_key
from analysis.summary import summarise
from analysis.text import significant
from analysis.timing import COMMUNICATION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from analysis.runs import Collection


#: Heights of rows in inches: a bar alone, and a bar with its bounds below.
_ROW, _PAIR = 0.2, 0.34
_LEAST_HEIGHT = 0.5
_MARGIN = 0.55
_BAR = 0.76
#: Rows that need more inches are split into two columns.
_TALLEST = 6.5
_NAMES = {1: 170.0, 2: 100.0}
#: Length of the axis over the longest bar, which leaves room for the numbers.
_ROOM = {1: 1.1, 2: 1.28}
_REST = "communication, waiting"
#: A phase has its own colour if it takes this share of any iteration.
_LEAST_SHARE = 0.01
_OTHERS = "other phases"


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar.

    Parameters
    ----------
    name : str
        Label beside the bar.
    whole : float
        Its length in milliseconds.
    parts : dict of float
        Milliseconds by phase. The rest of the bar is communication.
    bounds : dict of float
        Lower bounds of the phases, for a thinner bar below.
    """

    name: str
    whole: float
    parts: Mapping[str, float]
    bounds: Mapping[str, float] = field(default_factory=dict)

    def stacked(self) -> dict[str, float]:
        """Return parts that add up to the whole. Work that exceeds it is scaled down."""
        work = {name: part for name, part in self.parts.items() if name != COMMUNICATION}
        busy = sum(work.values())
        if busy > self.whole:
            work = {name: part * self.whole / busy for name, part in work.items()}
        return {**work, COMMUNICATION: max(0.0, self.whole - busy)}

    def seen(self) -> set[str]:
        """Return the phases that are wide enough for a colour of their own."""
        return {name for name, part in self.parts.items() if part >= _LEAST_SHARE * self.whole}


@dataclass(frozen=True, slots=True)
class _DrawnBar:
    """A bar as it is drawn, with a folded name and with its short phases joined."""

    name: str
    whole: float
    above: dict[str, float]
    below: dict[str, float]

    @property
    def height(self) -> float:
        """Height in inches."""
        lines = self.name.count("\n") + 1
        return max(_PAIR if self.below else _ROW, lines * canvas.LINE + 0.04)


def draw_bars(rows: Sequence[Bar]) -> Figure:
    """Draw bars from top to bottom in one or two columns, with a legend of the phases."""
    least = _PAIR if any(row.bounds for row in rows) else _ROW
    columns = 1 if least * len(rows) <= _TALLEST else 2
    deep = -(-len(rows) // columns)
    seen = {COMMUNICATION}.union(*(row.seen() for row in rows))
    bars = [
        _DrawnBar(
            canvas.fold_name(row.name, _NAMES[columns], canvas.SMALL),
            row.whole,
            _pooled(row.stacked(), seen),
            _pooled(row.bounds, seen),
        )
        for row in rows
    ]
    phases = list(dict.fromkeys(phase for bar in bars for phase in (*bar.above, *bar.below)))
    phases.sort(key=lambda phase: (phase == COMMUNICATION, phase == _OTHERS))
    colors = style.phase_colors(phases, rest=COMMUNICATION)
    blocks = [bars[start : start + deep] for start in range(0, len(bars), deep)]
    height = max(_LEAST_HEIGHT, *(sum(bar.height for bar in block) for block in blocks))
    figure = canvas.new_figure(_MARGIN + height)
    ends = [sum(parts.values()) for bar in bars for parts in (bar.above, bar.below)]
    longest = max(filter(math.isfinite, ends), default=0.0)
    for block, axes in zip(blocks, figure.subplots(1, columns, squeeze=False)[0], strict=True):
        _draw_column(axes, block, colors)
        # One unit of the y axis is one inch.
        axes.set_ylim(height, 0)
        axes.set_xlim(0, _ROOM[columns] * longest or 1.0)
    entries: dict[str, Artist] = {
        _REST if name == COMMUNICATION else name: Patch(color=colors[name]) for name in phases
    }
    canvas.legend(figure, entries)
    return figure


def _draw_column(axes: Axes, bars: Sequence[_DrawnBar], colors: Mapping[str, str]) -> None:
    top, places = 0.0, []
    for bar in bars:
        place = top + bar.height / 2
        # If there are bounds, the bar is above the middle and they are below.
        upper = place - (_ROW * _BAR / 2 if bar.below else 0.0)
        _stack(axes, bar.above, upper, _ROW * _BAR, colors)
        _stack(axes, bar.below, upper + _ROW * _BAR, _ROW * _BAR / 2, colors)
        axes.annotate(
            _number(bar.whole), (bar.whole, upper), xytext=(3, 0), textcoords="offset points",
            va="center", fontsize=canvas.SMALL,
        )  # fmt: skip
        places.append(place)
        top += bar.height
    names = [bar.name for bar in bars]
    axes.set_yticks(places, names, fontsize=canvas.SMALL, parse_math=False)
    axes.set_xlabel("time of an iteration (ms)")
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 1e3 else significant(value, 3)


def _pooled(parts: Mapping[str, float], seen: set[str]) -> dict[str, float]:
    """Join the phases that are too short into one."""
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


_MS = 1e3


def phase_times(collection: Collection) -> tuple[Figure, str]:
    """Draw a bar for each method, stacked from the times of its phases."""
    names = brief_labels(collection.methods)
    named = {
        names[row.label] + time.label.removeprefix(row.label): time
        for row in summarise(collection)
        for time in row.times
    }
    times = [(name, named[name]) for name in sorted(named, key=natural_key)]
    conditions = [time.conditions for _, time in times]
    # A mark that all methods share is explained once, in the heading.
    marked = len({mark(one) for one in conditions}) > 1
    # Only means add up to the whole.
    bars = [
        Bar(
            name=name + (mark(time.conditions) if marked else ""),
            whole=_MS * time.mean_s,
            parts={name: _MS * phase.mean for name, phase in time.phases.items()},
        )
        for name, time in times
    ]
    figure = draw_bars(bars)
    specs = [method.spec for method in collection.methods]
    canvas.heading(figure, setting_of(specs), *times_heading(conditions, marked=marked))
    caption = (
        "Training time of an iteration: means over iterations after warm-up, medians over runs. "
        "Work: on the slowest rank. The rest of the server's clock is communication and "
        "waiting. Numbers: the total in ms."
    )
    return figure, f"{caption} {times_caption(conditions)}".strip()
