"""Where the time of an iteration goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.families import setting_of
from analysis.figures import canvas
from analysis.figures.bars import Row, draw_bars
from analysis.figures.notes import times_caption, times_heading
from analysis.marks import mark
from analysis.runs import natural_key
from analysis.summary import summarise

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from analysis.runs import Collection

_MS = 1e3


def phase_times(collection: Collection) -> tuple[Figure, str]:
    """Draw a bar a method, stacked from the times of the phases."""
    times = [time for row in summarise(collection) for time in row.times]
    times.sort(key=lambda time: natural_key(time.label))
    conditions = [time.conditions for time in times]
    # What is true of all is said once, above.
    marked = len({mark(one) for one in conditions}) > 1
    # Only means add up to the whole.
    bars = [
        Row(
            name=time.label + (mark(time.conditions) if marked else ""),
            whole=_MS * time.mean_s,
            parts={name: _MS * phase.mean for name, phase in time.phases.items()},
        )
        for time in times
    ]
    figure = draw_bars(bars)
    specs = [method.spec for method in collection.methods]
    canvas.heading(figure, setting_of(specs), *times_heading(conditions, marked=marked))
    caption = (
        "Training time of an iteration: means over iterations after warm-up, medians over runs. "
        "Work is that of the slowest rank; what it leaves of the server's clock is communication "
        "and waiting. Numbers: the whole, in ms."
    )
    return figure, f"{caption} {times_caption(conditions)}".strip()
