"""Read logs and group them into methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis.keys import KeyTable, select
from analysis.methods import Method, group_runs
from analysis.text import natural_key, some_of
from lad_mpi.errors import LadError, UsageError
from lad_mpi.logs import find_logs, read_log
from lad_mpi.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from lad_mpi.logs import RunLog
    from lad_mpi.spec import Where

__all__ = ["Collection", "Excluded", "Method", "choose", "load_collection", "natural_key"]

_REASONS = {"running": "still running"}


@dataclass(frozen=True, slots=True)
class Excluded:
    """A log that was left out.

    Parameters
    ----------
    path : Path
        The file.
    name : str
        Name of the run; empty if the file cannot be read.
    seed : int or None
        Its seed.
    status : str
        ``"unreadable"``, or the status of the log.
    reason : str
        Why it was left out.
    """

    path: Path
    name: str
    seed: int | None
    status: str
    reason: str


@dataclass(frozen=True, slots=True)
class Collection:
    """The methods and the excluded logs in some files and folders.

    Parameters
    ----------
    methods : tuple of Method
        Methods, in natural order of their labels.
    excluded : tuple of Excluded
        Excluded logs, in order of their paths.
    notes : tuple of str
        Remarks on the grouping for the user.
    """

    methods: tuple[Method, ...]
    excluded: tuple[Excluded, ...]
    notes: tuple[str, ...] = ()

    @property
    def runs(self) -> list[RunLog]:
        """All runs, each once, even if it has several names."""
        return list({run.uuid: run for method in self.methods for run in method.runs}.values())

    def describe_excluded(self) -> list[str]:
        """Return a line for every log that was left out, with the reason."""
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
            hint="name .h5 files that runs wrote, or folders with such files",
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


def choose(collection: Collection, where: Where | None) -> Collection:
    """Return the runs that fulfil a condition, grouped anew; all runs without one.

    Raises
    ------
    UsageError
        The condition names a key that no run has, or no run fulfils it.
    """
    if where is None:
        return collection
    runs = select(collection.runs, where)
    if not runs:
        table = KeyTable(collection.runs)
        values = {
            key: {one_line(str(table.value(run, key))) for run in collection.runs}
            for key in where.keys
        }
        raise UsageError(
            f"no run fulfils --where {where.text!r}",
            hint="; ".join(
                f"{key} is {some_of(sorted(found, key=natural_key))}"
                for key, found in values.items()
            ),
        )
    methods, notes = group_runs(runs)
    return Collection(tuple(methods), collection.excluded, tuple(notes))


def _read(path: Path) -> RunLog | Excluded:
    try:
        return read_log(path)
    except LadError as error:
        return Excluded(path, "", None, "unreadable", error.message)


def _with_originals(runs: Sequence[RunLog]) -> list[tuple[RunLog, RunLog]]:
    """Return each log with the log that is used for its run: the most complete copy."""
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
        return "its status is complete, but it has no iterations or no final state"
    return ""
