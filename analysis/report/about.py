"""What a report says besides numbers: warnings, what was run, where, and the provenance."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analysis.facts import CHANGED, launches_of
from analysis.keys import in_order, value_text
from analysis.marks import time_notes
from analysis.scaling import load_scaling, summarise_scaling
from analysis.statistics import CONFIDENCE, least_count
from analysis.text import some_of
from lad_mpi.errors import LadError
from lad_mpi.records.scaling import SCALING_FILE
from lad_mpi.spec import spec_facts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from analysis.keys import KeyTable
    from analysis.runs import Collection
    from analysis.summary import Summary
    from lad_mpi.logs import Launch, RunLog

#: Keys of the summary of a study, whether they vary or not.
_STUDY = (
    "data", "model", "devices.count", "devices.byzantine", "attack", "coding", "coding.load",
    "compression", "aggregation.pre", "aggregation", "optimizer", "optimizer.step_size",
    "iterations", "seed",
)  # fmt: skip
_WHY_OUT = {"complete": "copied or empty", "running": "still running"}
_ERRORS = "Errors are medians over seeds. Best values are over all evaluated models of a run."
_TIMES = (
    "Times are those of the training phases on the server's clock: medians over iterations after "
    "warm-up, then over launches and seeds. Medians of phases do not add up to the total."
)
_PHASES = (
    "A phase is the time of its slowest rank. Communication is the rest of an iteration, including "
    "waiting."
)
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
    found += _excluded(collection)
    labels = tuple(method.label for method in collection.methods)
    found += [
        Warned(doubt if doubt.startswith(labels) else _sentence(doubt))
        for doubt in collection.doubts
    ]
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


def notes_of(collection: Collection, rows: Sequence[Summary]) -> list[str]:
    """Return how to read the numbers, and remarks on the grouping that are no warnings."""
    references = sorted({row.reference for row in rows if row.reference})
    compared = [f"Exact: {' or '.join(references)}, with the same seed."] if references else []
    intervals = (
        f"[low, high] is a rank-based confidence interval of the median, {CONFIDENCE:.0%} or more. "
        f"(least … greatest) is the range of fewer than {least_count()} values."
    )
    return [_ERRORS, intervals, *compared, _TIMES, _PHASES, *collection.notes]


def study(runs: Sequence[RunLog], keys: KeyTable) -> list[Fact]:
    """Return the components of runs and the keys that vary, with all values."""
    varying = [key for key in keys.differing(runs) if not key.endswith(".kind")]
    shown = dict.fromkeys([*(key for key in _STUDY if key in keys.known), *varying])
    return [_values(key, runs, keys) for key in shown]


def spec_keys(runs: Sequence[RunLog], keys: KeyTable) -> list[Fact]:
    """Return all keys of the specs with all values."""
    found = dict.fromkeys(key for run in runs for key in spec_facts(run.spec))
    return [_values(key, runs, keys) for key in sorted(found) if f"{key}.kind" not in found]


def _values(key: str, runs: Sequence[RunLog], keys: KeyTable) -> Fact:
    values = [keys.value(run, key) for run in runs]
    return Fact(key, tuple(in_order({value_text(value): value for value in values})))


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


def _excluded(collection: Collection) -> list[Warned]:
    lines: dict[str, list[str]] = defaultdict(list)
    for log, line in zip(collection.excluded, collection.describe_excluded(), strict=True):
        lines[log.status].append(line)
    return [
        Warned(
            f"Left out, because {_WHY_OUT.get(status, status)}: "
            f"{found[0] if len(found) == 1 else _counted(len(found), 'log')}.",
            tuple(found),
        )
        for status, found in lines.items()
    ]


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
            f"The checks before {len(found)} of {_counted(launches, 'launch')} said: {found[0]}.",
            tuple(dict.fromkeys(found)),
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
