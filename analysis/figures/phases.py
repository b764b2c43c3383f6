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
    rows = sorted(summarise(collection), key=lambda row: natural_key(row.label))
    bars = [
        Row(
            name=f"{row.label}{mark(row)}",
            whole=_MS * row.seconds.median,
            parts={name: _MS * seconds for name, seconds in row.phases.items()},
        )
        for row in rows
    ]
    figure = draw_bars(bars)
    specs = [method.spec for method in collection.methods]
    canvas.heading(figure, setting_of(specs), *times_heading(rows, marked=True))
    caption = (
        "Training time of an iteration: medians over iterations after warm-up, and over runs. "
        "Work is that of the slowest rank; what it leaves of the server's clock is communication "
        "and waiting. Numbers: the whole, in ms."
    )
    return figure, f"{caption} {times_caption(rows)}".strip()
