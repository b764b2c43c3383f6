"""Compare the logs of two folders: what became better, what became worse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis.compare.pairing import pair_methods, provenance_differences
from analysis.compare.replicates import by_launch, by_seed
from analysis.compare.verdicts import Change, Verdict, judge
from analysis.metrics import SHOWN
from analysis.quantities import parse_quantity
from lad_mpi.errors import UsageError
from lad_mpi.metrics.names import DOWNLINK_BYTES, UPLINK_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analysis.runs import Collection

__all__ = ["Change", "Comparison", "Verdict", "compare"]


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """The changes between two sides.

    Parameters
    ----------
    before, after : Collection
        The sides.
    changes : tuple of Change
        Verdicts, method by method: numbers first, then times.
    provenance : dict of (str, str)
        What differs in how the sides were made, by name: before and after.
    notes : tuple of str
        Remarks for the user.
    tolerance : float
        Relative change that is no regression.
    """

    before: Collection
    after: Collection
    changes: tuple[Change, ...]
    provenance: dict[str, tuple[str, str]]
    notes: tuple[str, ...]
    tolerance: float

    @property
    def regressions(self) -> list[Change]:
        """Changes for the worse beyond the tolerance."""
        return [change for change in self.changes if change.regression]


def compare(
    before: Collection, after: Collection, values: Sequence[str], tolerance: float
) -> Comparison:
    """Compare two collections of logs.

    Parameters
    ----------
    before, after : Collection
        The sides.
    values : sequence of str
        Quantities that the seed determines, as in :func:`~analysis.quantities.parse_quantity`
        (if empty: loss, and test_accuracy if there is one). Traffic and times are always
        compared.
    tolerance : float
        Relative change that is no regression.

    Raises
    ------
    UsageError
        The sides have no method in common, or no log has one of the quantities.
    """
    runs = [*before.runs, *after.runs]
    known = {name for run in runs for name in run.metric_info}
    names = dict.fromkeys(
        [*(values or [n for n in SHOWN if n in known]), UPLINK_BYTES, DOWNLINK_BYTES]
    )
    quantities = [parse_quantity(name, runs) for name in names]
    for quantity in quantities:
        if quantity.is_timed:
            raise UsageError(
                f"{quantity.name} is a time; compare takes its replicates from launches",
                hint="leave it out: compare shows the times of iterations and phases anyway",
            )
    pairs, notes = pair_methods(before.methods, after.methods)
    if not pairs:
        raise UsageError(
            "BEFORE and AFTER have no method in common:\n  " + "\n  ".join(notes),
            hint="methods match if their specs are the same, apart from seeds and names",
        )
    blocks, changes = [], []
    for ours, theirs in pairs:
        timed, reasons = by_launch(ours, theirs)
        blocks += [by_seed(ours, theirs, quantities), *timed]
        changes += [
            Change(ours.label, "times", "s", Verdict.NOT_COMPARABLE, reason) for reason in reasons
        ]
    changes += judge(blocks, tolerance)
    places = {ours.label: place for place, (ours, _) in enumerate(pairs)}
    for ours, _ in pairs:
        places |= {timing.label: places[ours.label] for timing in ours.timings}
    changes.sort(key=lambda change: places[change.method])
    return Comparison(
        before,
        after,
        tuple(changes),
        provenance_differences(before, after),
        (*notes, *_remarks(before, after)),
        tolerance,
    )


def _remarks(before: Collection, after: Collection) -> list[str]:
    ours, theirs = ({run.uuid for run in side.runs} for side in (before, after))
    notes = [f"BEFORE: {doubt}" for doubt in before.doubts]
    notes += [f"AFTER: {doubt}" for doubt in after.doubts]
    if ours & theirs:
        notes.append(f"{len(ours & theirs)} runs are in both BEFORE and AFTER.")
    dates = [sorted(run.created for run in side.runs) for side in (before, after)]
    if dates[0][-1] < dates[1][0] or dates[1][-1] < dates[0][0]:
        notes.append(
            "all runs of one side are older than those of the other, so a change of the machine "
            "in between looks like a change of the code. Alternate the launches of both sides."
        )
    return notes
