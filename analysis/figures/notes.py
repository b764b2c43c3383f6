"""What several captions say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.statistics import CONFIDENCE, estimate

if TYPE_CHECKING:
    from analysis.runs import Collection

OVERSUBSCRIBED = "oversubscribed: more threads than cores, times show no scaling"


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
        said.append(f"{what} of fewer than 6 seeds: least to greatest.")
    return " ".join(said)
