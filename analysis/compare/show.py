"""A comparison for a terminal and as JSON."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from analysis.compare.significance import LEVEL
from analysis.compare.verdicts import Verdict
from analysis.export import json_text
from analysis.layout import make_table, print_lines
from analysis.marks import OVERSUBSCRIBED, mark, time_notes
from analysis.statistics import CONFIDENCE
from analysis.text import NOTHING, interval_text, significant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analysis.compare import Comparison
    from analysis.compare.verdicts import Change
    from analysis.layout import TextTable

_TITLES = ("quantity", "before", "after", "change", "interval", "verdict")
#: Factor and name of the units in which a table shows a quantity.
_SHOWN_UNITS = {"s": (1e3, "ms"), "B": (1.0, "B")}

_HOW_TO_READ = (
    "before, after: means over seeds or launches; geometric means of times and bytes. change: × "
    "is after over before; otherwise after minus before. [low, high]: Student's interval of the "
    f"change, {CONFIDENCE:.0%}, for each row alone."
)
_HOW_DECIDED = (
    f"better, worse: by a permutation test. The probability of a wrong one among all is {LEVEL:.0%}"
    " or less. A time is equal if its interval is within the tolerance. !: beyond the tolerance."
)


def print_comparison(comparison: Comparison) -> None:
    """Print what differs, a table for each method, how to read them, and the verdict."""
    from lad_mpi.console import open_console  # noqa: PLC0415  (JSON does not need it)

    console = open_console()
    if comparison.provenance:
        print_lines(console, ["What else differs"])
        print_lines(
            console,
            (f"{name}: {old} → {new}" for name, (old, new) in comparison.provenance.items()),
            indent=2,
        )
        console.print()
    methods: dict[str, list[Change]] = defaultdict(list)
    for change in comparison.changes:
        methods[change.method].append(change)
    for label, changes in methods.items():
        console.print(_table(label, changes))
        print_lines(console, _reasons(changes), indent=2)
        console.print()
    print_lines(console, notes(comparison))
    for name, side in (("BEFORE", comparison.before), ("AFTER", comparison.after)):
        if side.excluded:
            print_lines(console, ["", f"Logs of {name} left out: {len(side.excluded)}"])
            print_lines(console, side.describe_excluded(), indent=2)
    console.print()
    print_lines(console, [summary(comparison)])


def to_json(comparison: Comparison) -> str:
    """Return all verdicts with full precision as JSON; NaN and infinity become null."""
    document = {
        "tolerance": comparison.tolerance,
        "confidence": CONFIDENCE,
        "regression": bool(comparison.regressions),
        "summary": summary(comparison),
        "provenance": {
            name: {"before": old, "after": new}
            for name, (old, new) in comparison.provenance.items()
        },
        "notes": notes(comparison),
        "changes": [
            {**dataclasses.asdict(change), "verdict": change.verdict.value}
            for change in comparison.changes
        ],
        "left_out": {
            "before": comparison.before.describe_excluded(),
            "after": comparison.after.describe_excluded(),
        },
    }
    return json_text(document)


def summary(comparison: Comparison) -> str:
    """Return the answer in one line."""
    counts = Counter(change.verdict for change in comparison.changes)
    told = ", ".join(f"{counts[verdict]} {verdict.value}" for verdict in Verdict if counts[verdict])
    found = comparison.regressions
    named = [f"{change.method}: {_name(change)} {_change(change)}" for change in found]
    beyond = f"beyond the tolerance of {100 * comparison.tolerance:.3g}%"
    if not found:
        return f"No regression {beyond}: {told}."
    return f"Regression {beyond}: {'; '.join(named)}. In all: {told}."


def notes(comparison: Comparison) -> list[str]:
    """Explain how to read the numbers."""
    said = [_HOW_TO_READ, _HOW_DECIDED]
    timed = [change.conditions for change in comparison.changes if change.conditions]
    if any(one.oversubscribed for one in timed):
        said.append(f"{OVERSUBSCRIBED} oversubscribed: more threads than cores.")
    said += [f"{sign} {note}." for sign, note in time_notes(timed).items()]
    if "hosts" in comparison.provenance and timed:
        said.append("the hosts differ. Times are compared because the processors have one model.")
    return [*said, *comparison.notes]


def _table(label: str, changes: Sequence[Change]) -> TextTable:
    body = []
    for change in changes:
        factor, unit = _SHOWN_UNITS.get(change.units, (1.0, ""))
        name = _name(change)
        marks = mark(change.conditions) if change.conditions else ""
        body.append(
            (
                f"{name}, {unit}" if unit else name,
                significant(change.before * factor, 4) + marks,
                significant(change.after * factor, 4) + marks,
                _change(change),
                _interval(change),
                change.verdict.value + ("!" if change.regression else ""),
            )
        )
    return make_table(label, _TITLES, body)


def _change(change: Change) -> str:
    if change.effect is None:
        return NOTHING
    value = significant(change.effect.value, 4 if change.is_ratio else 3)
    return f"×{value}" if change.is_ratio else value


def _interval(change: Change) -> str:
    if change.effect is None or change.effect.coverage is None:
        return NOTHING
    return interval_text(change.effect.low, change.effect.high, 3, certain=True)


def _name(change: Change) -> str:
    return change.quantity.removesuffix("_s").removesuffix("_bytes").replace("_", " ")


def _reasons(changes: Sequence[Change]) -> list[str]:
    """Return the reasons for the verdicts, each with the quantities that have it."""
    found: dict[str, list[Change]] = defaultdict(list)
    for change in changes:
        found[change.reason].append(change)
    lines = []
    for reason, those in found.items():
        p = [change.p for change in those if not math.isnan(change.p)]
        ends = dict.fromkeys(significant(end(p), 2) for end in (min, max) if p)
        told = f" (p = {' to '.join(ends)})" if p else ""
        lines.append(f"{', '.join(map(_name, those))}: {reason}{told}")
    return lines
