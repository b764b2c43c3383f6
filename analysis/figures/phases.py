"""Where the time of an iteration goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from analysis import style
from analysis.figures.notes import mark_times
from analysis.formatting import significant
from analysis.summary import summarise
from analysis.timing import COMMUNICATION

if TYPE_CHECKING:
    from analysis.runs import Collection

_ROW = 0.24
_MARGIN = 1.1
_MS = 1e3


def phase_times(collection: Collection) -> tuple[Figure, str]:
    """Draw a bar a method, stacked from the times of the phases."""
    rows = [time for row in summarise(collection) for time in row.times][::-1]
    phases = list(dict.fromkeys(phase for row in rows for phase in row.phases))
    colors = style.phase_colors(phases, rest=COMMUNICATION)
    figure = Figure(figsize=(style.WIDTH, _MARGIN + _ROW * len(rows)))
    axes = figure.add_subplot()
    names = [row.label for row in rows]
    ends = [0.0] * len(rows)
    for phase in phases:
        # Only means add up to the whole.
        widths = [_MS * row.phases[phase].mean if phase in row.phases else 0.0 for row in rows]
        label = "communication, waiting" if phase == COMMUNICATION else phase
        axes.barh(names, widths, left=ends, color=colors[phase], height=0.72, label=label)
        ends = [end + width for end, width in zip(ends, widths, strict=True)]
    for name, end in zip(names, ends, strict=True):
        axes.annotate(
            significant(end, 3),
            (end, name),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.08, y=0.02)
    axes.set_xlim(left=0)
    axes.set_xlabel("time of an iteration (ms)")
    figure.legend(loc="outside right center")
    caption = (
        "Training time of an iteration: means over iterations after warm-up, medians over runs. "
        "Work is that of the slowest rank; what it leaves of the server's clock is communication "
        "and waiting. Numbers: the whole, in ms."
    )
    return figure, caption + mark_times(axes, [row.conditions for row in rows])
