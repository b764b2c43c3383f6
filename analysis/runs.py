"""Logs, read and grouped into methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis.methods import Method, group_runs
from analysis.text import natural_key
from lad_mpi.errors import LadError, UsageError
from lad_mpi.logs import find_logs, read_log
from lad_mpi.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from lad_mpi.logs import RunLog

__all__ = ["Collection", "Excluded", "Method", "load_collection", "natural_key"]

_REASONS = {"running": "still running"}


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
    notes : tuple of str
        What a person should know of how runs were grouped.
    """

    methods: tuple[Method, ...]
    excluded: tuple[Excluded, ...]
    notes: tuple[str, ...] = ()

    @property
    def runs(self) -> list[RunLog]:
        """Every run once, also those that are shown under several names."""
        return list({run.uuid: run for method in self.methods for run in method.runs}.values())

    def describe_excluded(self) -> list[str]:
        """Name every log that was left out, with the reason."""
        return [
            one_line(
                f"{log.path}: {log.name or 'unknown'}"
                + (f", seed {log.seed}" if log.seed is not None else "")
                + f": {log.reason}"
            )
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
    runs: list[RunLog] = []
    excluded: list[Excluded] = []
    for path in found:
        read = _read(path)
        if isinstance(read, Excluded):
            excluded.append(read)
        else:
            runs.append(read)
    complete: list[RunLog] = []
    for run, original in _with_originals(runs):
        reason = _why_unfit(run) if run is original else f"a copy of {original.path}"
        if reason:
            excluded.append(Excluded(run.path, run.name, run.spec.get("seed"), run.status, reason))
        else:
            complete.append(run)
    excluded.sort(key=lambda log: log.path)
    methods, notes = group_runs(complete)
    collection = Collection(tuple(methods), tuple(excluded), tuple(notes))
    if not collection.methods:
        reasons = "\n  ".join(collection.describe_excluded())
        raise UsageError(f"none of {len(found)} logs is of a complete run:\n  {reasons}")
    return collection


def _read(path: Path) -> RunLog | Excluded:
    try:
        return read_log(path)
    except LadError as error:
        return Excluded(path, "", None, "unreadable", error.message)


def _with_originals(runs: Sequence[RunLog]) -> list[tuple[RunLog, RunLog]]:
    """Return each log with the one that counts for its run: of copies, the most complete."""
    originals: dict[str, RunLog] = {}
    for run in runs:
        best = originals.setdefault(run.uuid, run)
        if (run.status == "complete", run.recorded) > (best.status == "complete", best.recorded):
            originals[run.uuid] = run
    return [(run, originals[run.uuid]) for run in runs]


def _why_unfit(run: RunLog) -> str:
    if run.status != "complete":
        done = f"{len(run.iteration)} of {run.spec.get('iterations', '?')} iterations"
        return f"{run.failure or _REASONS.get(run.status, run.status)} ({done})"
    if run.final is None or not len(run.iteration):
        return "says that it is complete, but has no iterations or no final state"
    return ""
