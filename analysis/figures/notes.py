"""Sentences that several captions share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.marks import (
    EMULATED,
    OVERSUBSCRIBED,
    SHARED,
    emulated_networks,
    time_notes,
)
from analysis.statistics import CONFIDENCE, estimate, least_count
from analysis.text import some_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analysis.figures.panels import Arrangement
    from analysis.marks import Timed
    from analysis.runs import Collection

#: Most names that a caption lists.
_MOST = 20
_OVERSUBSCRIBED = "oversubscribed: more threads than cores, times show no scaling"
_SHARED = "shared compute: a rank computes a gradient once for all of its devices"


def times_heading(rows: Sequence[Timed], *, marked: bool = False) -> list[str]:
    """Return the remarks on times for the heading, with marks if names have marks."""
    said = [(OVERSUBSCRIBED, _OVERSUBSCRIBED)] if any(row.oversubscribed for row in rows) else []
    said += [(EMULATED, f"emulated network: {name}") for name in emulated_networks(rows)]
    said += [(SHARED, _SHARED)] if any(row.shared_compute for row in rows) else []
    return [f"{sign} {text}" if marked else text for sign, text in said]


def times_caption(rows: Sequence[Timed]) -> str:
    """Return the remarks on times for the caption."""
    crowded = [_OVERSUBSCRIBED] if any(row.oversubscribed for row in rows) else []
    return " ".join(sentence(note) for note in (*crowded, *time_notes(rows).values()))


def sentence(text: str) -> str:
    """Capitalise the first letter and add a full stop. Other letters, such as N, stay."""
    return f"{text[:1].upper()}{text[1:]}."


def seeds_caption(collection: Collection) -> str:
    """Return the number of seeds of the medians."""
    counts = sorted({len(method.by_seed) for method in collection.methods})
    if counts == [1]:
        return "One seed."
    many = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"Lines and marks: medians over {many} seeds."


def spread_caption(collection: Collection, what: str) -> str:
    """Explain bands or bars."""
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


def left_out_caption(arrangement: Arrangement, what: str, metric: str) -> str:
    """Explain which lines are named, and list the others, or some of them."""
    if not arrangement.left_out:
        return ""
    named = len(arrangement.styles)
    where = " in their worst panel" if len(arrangement.panels) > 1 else ""
    return (
        f"The {named} with the best final {metric}{where} are named; {what}: "
        f"{some_of(arrangement.left_out, _MOST, '; ')}."
    )
