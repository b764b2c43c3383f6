"""Logs, grouped into methods."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lad_mpi.errors import LadError, UsageError
from lad_mpi.logs import find_logs, read_log
from lad_mpi.spec import flatten

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from lad_mpi.logs import RunLog

_REASONS = {"running": "still running"}


@dataclass(frozen=True, slots=True, eq=False)
class Method:
    """Complete runs of one spec on one number of ranks, whatever their seed.

    Parameters
    ----------
    label : str
        The runs' name; with what sets it apart where several methods share one.
    spec : mapping
        The spec without its seed.
    ranks : int
        Number of ranks.
    runs : tuple of RunLog
        All launches, ordered by seed.
    """

    label: str
    spec: Mapping[str, Any]
    ranks: int
    runs: tuple[RunLog, ...]

    @property
    def by_seed(self) -> dict[int, RunLog]:
        """One run a seed: launches of the same seed give the same errors."""
        return {run.spec["seed"]: run for run in reversed(self.runs)}

    @property
    def oversubscribed(self) -> bool:
        """Whether some run had more threads than processors."""
        return any(run.provenance.get("oversubscribed", False) for run in self.runs)

    @property
    def emulated_network(self) -> str:
        """The network that was emulated; empty where none was."""
        return self.runs[0].emulated_network

    def table(self, name: str) -> Mapping[str, Any]:
        """Return a table of the spec; empty where there is none."""
        found = self.spec.get(name, {})
        return found if isinstance(found, dict) else {}


@dataclass(frozen=True, slots=True)
class Excluded:
    """A log that no number comes from.

    Parameters
    ----------
    path : Path
        The file.
    name : str
        Name of the run; empty where the file cannot be read.
    seed : int or None
        Its seed.
    status : str
        ``"unreadable"``, or the log's status.
    reason : str
        Why it is left out.
    """

    path: Path
    name: str
    seed: int | None
    status: str
    reason: str


@dataclass(frozen=True, slots=True)
class Collection:
    """All that was found.

    Parameters
    ----------
    methods : tuple of Method
        In natural order of their labels.
    excluded : tuple of Excluded
        In order of their paths.
    """

    methods: tuple[Method, ...]
    excluded: tuple[Excluded, ...]

    def describe_excluded(self) -> list[str]:
        """Name every log that was left out, with the reason."""
        return [
            f"{log.path.name}: {log.name or 'unknown'}"
            + (f", seed {log.seed}" if log.seed is not None else "")
            + f": {log.reason}"
            for log in self.excluded
        ]


def load_collection(paths: Iterable[Path]) -> Collection:
    """Read the logs in files and folders and group them.

    Raises
    ------
    UsageError
        A path does not exist, or there is no complete run.
    """
    places = list(paths)
    found = find_logs(places)
    if not found:
        raise UsageError(
            f"no logs in {', '.join(map(str, places))}",
            hint="name .h5 files that runs wrote, or folders that hold them",
        )
    complete: list[RunLog] = []
    excluded: list[Excluded] = []
    for path in found:
        try:
            run = read_log(path)
        except LadError as error:
            excluded.append(Excluded(path, "", None, "unreadable", error.message))
            continue
        if reason := _why_unfit(run):
            excluded.append(Excluded(path, run.name, run.spec.get("seed"), run.status, reason))
        else:
            complete.append(run)
    collection = Collection(tuple(_group(complete)), tuple(excluded))
    if not collection.methods:
        reasons = "\n  ".join(collection.describe_excluded())
        raise UsageError(f"none of {len(found)} logs is of a complete run:\n  {reasons}")
    return collection


def natural_key(text: str) -> tuple[tuple[int, int | str], ...]:
    """Sort key that puts ``d=5`` before ``d=10``, whatever the case of letters.

    Examples
    --------
    >>> sorted(["d=10", "D=5"], key=natural_key)
    ['D=5', 'd=10']
    """
    parts = re.split(r"(\d+)", text)
    return tuple((1, int(part)) if part.isdecimal() else (0, part.lower()) for part in parts)


def with_unique_labels(methods: Sequence[Method]) -> list[Method]:
    """Add to labels that several methods share the values in which these methods differ."""
    counts = Counter(method.label for method in methods)
    return [
        method
        if counts[method.label] == 1
        else replace(method, label=f"{method.label} ({_distinction(method, methods)})")
        for method in methods
    ]


def _why_unfit(run: RunLog) -> str:
    if run.status != "complete":
        done = f"{len(run.iteration)} of {run.spec.get('iterations', '?')} iterations"
        return f"{run.failure or _REASONS.get(run.status, run.status)} ({done})"
    if run.final is None or not len(run.iteration):
        return "says that it is complete, but has no iterations or no final state"
    return ""


def _group(runs: Sequence[RunLog]) -> list[Method]:
    groups: dict[str, list[RunLog]] = defaultdict(list)
    for run in runs:
        groups[json.dumps([_without_seed(run), run.ranks], sort_keys=True, default=str)].append(run)
    methods = [
        Method(
            label=group[0].name,
            spec=_without_seed(group[0]),
            ranks=group[0].ranks,
            runs=tuple(sorted(group, key=lambda run: run.spec.get("seed", 0))),
        )
        for group in groups.values()
    ]
    methods = with_unique_labels(methods)
    return sorted(methods, key=lambda method: natural_key(method.label))


def _without_seed(run: RunLog) -> dict[str, Any]:
    return {key: value for key, value in run.spec.items() if key != "seed"}


def _distinction(method: Method, methods: Sequence[Method]) -> str:
    """Write out the values in which a method differs from others of its label."""
    namesakes = [
        {**flatten(other.spec), "ranks": other.ranks}
        for other in methods
        if other.label == method.label
    ]
    own = {**flatten(method.spec), "ranks": method.ranks}
    keys = sorted({key for spec in namesakes for key in spec})
    differing = [key for key in keys if len({str(spec.get(key)) for spec in namesakes}) > 1]
    return ", ".join(f"{key.rsplit('.', 1)[-1]}={own.get(key, 'none')}" for key in differing)
