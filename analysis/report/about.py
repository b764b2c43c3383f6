"""What a report says besides numbers: warnings, what was run, where, and the provenance."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analysis.facts import CHANGED, launches_of
from analysis.keys import in_order, value_text
from analysis.marks import time_notes
from analysis.methods import doubts
from analysis.scaling import load_scaling, summarise_scaling
from analysis.text import some_of
from lad_mpi.errors import LadError
from lad_mpi.records.scaling import SCALING_FILE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from analysis.keys import KeyTable
    from analysis.runs import Collection
    from analysis.summary import Summary
    from lad_mpi.logs import Launch, RunLog

_DIGITS = re.compile(r"[0-9]+(\.[0-9]+)?")
#: Facts of the machines, by their names in the provenance.
_WHERE = {
    "hosts": "Hosts",
    "cpu_model": "Processor",
    "devices": "Devices",
    "mpi_ranks": "Ranks",
    "mpi_library": "MPI",
    "blas": "BLAS",
    "blas_threads": "Threads of BLAS",
    "affinity": "Affinity",
    "lad_mpi_version": "lad_mpi",
    "python_version": "Python",
    "numpy_version": "NumPy",
    "git_revision": "Revision",
}


@dataclass(frozen=True, slots=True)
class Warned:
    """A warning: one sentence, and the cases that it is about."""

    text: str
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fact:
    """A named fact with all its values."""

    name: str
    values: tuple[str, ...]


def warnings_of(
    collection: Collection, rows: Sequence[Summary], paths: Iterable[Path]
) -> list[Warned]:
    """Return what a reader must know before reading any number, the worst first."""
    found = [Warned(f"Void: {reason}.") for reason in _void(paths)]
    reasons: dict[str, list[str]] = defaultdict(list)
    for log, line in zip(collection.excluded, collection.describe_excluded(), strict=True):
        reasons[log.status if log.status != "complete" else "a copy or incomplete"].append(line)
    found += [
        Warned(f"Left out: {_counted(len(lines), 'log')} ({status}).", tuple(lines))
        for status, lines in reasons.items()
    ]
    found += [Warned(_sentence(text)) for text in doubts(collection.methods)]
    times = [time for row in rows for time in row.times]
    if crowded := [time.label for time in times if time.conditions.oversubscribed]:
        found.append(
            Warned(
                "Oversubscribed: more threads than cores, so times show no scaling "
                f"({_all_or_some(crowded, len(times))}).",
                tuple(crowded),
            )
        )
    for note in time_notes([time.conditions for time in times]).values():
        found.append(Warned(_sentence(note)))
    if cold := [time.label for time in times if not time.warm]:
        found.append(Warned(f"Only warm-up was timed: {_all_or_some(cold, len(times))}."))
    if len({time.conditions.machine for time in times}) > 1:
        found.append(Warned("Times come from different machines and cannot be compared."))
    return [*found, *_remarks(collection.runs)]


def notes_of(collection: Collection) -> list[str]:
    """Return the remarks on the grouping of runs that are no warnings."""
    warned = set(doubts(collection.methods))
    return [note for note in collection.notes if note not in warned]


def spec_facts_of(runs: Sequence[RunLog], keys: KeyTable) -> tuple[list[Fact], list[Fact]]:
    """Return the keys in which runs differ, and those that all runs share, with their values."""
    varying, shared = [], []
    for key in sorted(keys.known):
        if f"{key}.kind" in keys.known or key in _LAUNCH_KEYS:
            continue
        values = {value_text(value): value for run in runs for value in [keys.value(run, key)]}
        fact = Fact(key, tuple(in_order(values)))
        (varying if len(values) > 1 else shared).append(fact)
    return varying, shared


def where(runs: Sequence[RunLog]) -> list[Fact]:
    """Return on which machines and with which software the runs were made."""
    known = provenance(runs)
    return [Fact(title, known[key].values) for key, title in _WHERE.items() if key in known]


def provenance(runs: Sequence[RunLog]) -> dict[str, Fact]:
    """Return all values of the provenance, each with its number of launches."""
    launches = [launch for run in runs for launch in launches_of(run)]
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for launch in launches:
        for key, text in _provenance(launch).items():
            counts[key][text] += 1
    return {
        key: Fact(
            key,
            tuple(
                text if number == len(launches) else f"{text} ({_counted(number, 'launch')})"
                for text, number in found.most_common()
            ),
        )
        for key, found in sorted(counts.items())
    }


#: Keys that :func:`where` shows with more detail.
_LAUNCH_KEYS = {"ranks", "hosts", "machine", "threads", "mpi", "revision", "packages", "seed"}


def _provenance(launch: Launch) -> Mapping[str, str]:
    made = launch.provenance
    dirty = CHANGED if made.get("git_dirty", False) else ""
    texts = {key: _listed(value) for key, value in made.items() if value not in ("", [])}
    if "git_revision" in texts:
        texts["git_revision"] += dirty and " with uncommitted changes"
    return texts


def _listed(value: Any) -> str:
    """Write a value; equal values of ranks are written once, with their number."""
    if not isinstance(value, (list, tuple)):
        return value_text(value)
    counts = Counter(map(str, value))
    return ", ".join(f"{n} × {text}" if n > 1 else text for text, n in counts.items())


def _void(paths: Iterable[Path]) -> list[str]:
    """Return why scaling studies, or launches of them, are void."""
    found: list[str] = []
    for path in paths:
        if not (path / SCALING_FILE).exists():
            continue
        try:
            study = load_scaling(path)
        except LadError as error:
            found.append(error.message)
            continue
        found += study.void
        found += [reason for row in summarise_scaling(study) for reason in row.drift]
        found += [line for case in study.cases for line in case.void]
    return list(dict.fromkeys(found))


def _remarks(runs: Sequence[RunLog]) -> list[Warned]:
    """Return what checks before the launches found. Remarks that differ in numbers are joined."""
    alike: dict[str, list[str]] = defaultdict(list)
    launches = 0
    for run in runs:
        for launch in launches_of(run):
            launches += 1
            for remark in map(str, launch.provenance.get("remarks", ())):
                alike[_DIGITS.sub("0", remark)].append(remark)
    return [
        Warned(
            f"Before {len(found)} of {_counted(launches, 'launch')}: {found[0]}.",
            tuple(dict.fromkeys(found[1:])),
        )
        for found in alike.values()
    ]


def _counted(number: int, noun: str) -> str:
    plural = "es" if noun.endswith("ch") else "s"
    return f"{number} {noun}{'' if number == 1 else plural}"


def _all_or_some(labels: Sequence[str], total: int) -> str:
    return "all rows" if len(labels) == total else some_of(labels)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].removesuffix('.')}."
