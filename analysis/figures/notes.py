"""What several captions say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis import style
from analysis.marks import emulated_networks, time_notes
from analysis.statistics import CONFIDENCE, estimate, least_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from analysis.marks import Timed
    from analysis.runs import Collection

_OVERSUBSCRIBED = "oversubscribed: more threads than cores, times show no scaling"


def mark_times(axes: Axes, rows: Sequence[Timed]) -> str:
    """Write over axes what their times are not; return the same for the caption."""
    crowded = [_OVERSUBSCRIBED] if any(row.oversubscribed for row in rows) else []
    # A long title would take its room from the axes.
    above = [*crowded, *(f"emulated network: {name}" for name in emulated_networks(rows))]
    axes.set_title("\n".join(above), color=style.GREY, loc="left")
    said = [note for note in (*crowded, *time_notes(rows).values()) if note]
    return "".join(f" {note[0].upper()}{note[1:]}." for note in said)


def seeds_caption(collection: Collection) -> str:
    """Say over how many seeds medians are."""
    counts = sorted({len(method.by_seed) for method in collection.methods})
    if counts == [1]:
        return "One seed."
    many = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"Lines and marks: medians over {many} seeds."


def spread_caption(collection: Collection, what: str) -> str:
    """Say what bands or bars show."""
    counts = {len(method.by_seed) for method in collection.methods}
    certain = {estimate([0.0] * count).coverage is not None for count in counts}
    said = []
    if True in certain:
        said.append(
            f"{what}: rank-based confidence intervals of the median, {CONFIDENCE:.0%} or more."
        )
    if False in certain and counts != {1}:
        said.append(f"{what} of fewer than {least_count()} seeds: least to greatest.")
    return " ".join(said)
