"""Read logs and group them into methods."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis.keys import select
from analysis.methods import Method, find_doubts, group_runs
from analysis.text import natural_key
from lad_mpi.errors import LadError, UsageError
from lad_mpi.logs import is_foreign, list_files, read_log
from lad_mpi.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from lad_mpi.logs import RunLog
    from lad_mpi.spec import Where

__all__ = ["Collection", "Excluded", "Method", "load_collection", "natural_key"]

_REASONS = {"running": "still running"}
#: From this number of logs on, several processes read them.
_MANY = 50


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
    doubts : tuple of str
        What the logs do not say, or contradict each other in.
    """

    methods: tuple[Method, ...]
    excluded: tuple[Excluded, ...]
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()

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


def load_collection(paths: Iterable[Path], where: Where | None = None) -> Collection:
    """Read the logs in files and folders and group the complete runs.

    Parameters
    ----------
    paths, where
        As for :func:`read_runs`.

    Raises
    ------
    UsageError
        See :func:`read_runs`; or there is no complete run.
    """
    selected, excluded = read_runs(paths, where)
    total = len(selected) + len(excluded)
    complete: list[RunLog] = []
    for run, original in _with_originals(selected):
        reason = _why_unfit(run) if run is original else f"a copy of {original.path}"
        if reason:
            excluded.append(Excluded(run.path, run.name, run.spec.get("seed"), run.status, reason))
        else:
            complete.append(run)
    excluded.sort(key=lambda log: log.path)
    methods, notes = group_runs(complete)
    collection = Collection(
        tuple(methods), tuple(excluded), tuple(notes), tuple(find_doubts(methods))
    )
    if not collection.methods:
        reasons = "\n  ".join(collection.describe_excluded())
        raise UsageError(f"none of {total} logs is of a complete run:\n  {reasons}")
    return collection


def read_runs(
    paths: Iterable[Path], where: Where | None = None
) -> tuple[list[RunLog], list[Excluded]]:
    """Read the logs in files and folders, also of runs that are not complete.

    Parameters
    ----------
    paths : iterable of Path
        Files and folders.
    where : Where, optional
        Only return the runs that fulfil this condition.

    Returns
    -------
    runs : list of RunLog
    unreadable : list of Excluded
        Logs that cannot be read.

    Raises
    ------
    UsageError
        A path does not exist, there is no log, or no run fulfils the condition.
    """
    places = list(paths)
    found = _read_all(list_files(places))
    if not found:
        raise UsageError(
            f"no logs in {', '.join(map(str, places))}",
            hint="name .h5 files that runs wrote, or folders with such files",
        )
    runs: list[RunLog] = []
    excluded: list[Excluded] = []
    for read in found:
        if isinstance(read, Excluded):
            excluded.append(read)
        else:
            runs.append(read)
    return select(runs, where), excluded


def _read_all(files: Mapping[Path, bool]) -> list[RunLog | Excluded]:
    """Read logs, on all processors if there are many; leave out other HDF5 files in folders."""
    items = list(files.items())
    if len(items) < _MANY:
        return _read_some(items)
    # A log has more than a hundred small parts, which HDF5 opens one at a time in a process.
    import joblib  # noqa: PLC0415  (few logs do not need it)

    step = _MANY // 2
    read = joblib.Parallel(n_jobs=len(os.sched_getaffinity(0)))(
        joblib.delayed(_read_some)(items[first : first + step])
        for first in range(0, len(items), step)
    )
    return [one for part in read for one in part]


def _read_some(files: Sequence[tuple[Path, bool]]) -> list[RunLog | Excluded]:
    found = (_read(path, is_named=is_named) for path, is_named in files)
    return [one for one in found if one is not None]


def _read(path: Path, *, is_named: bool) -> RunLog | Excluded | None:
    try:
        return read_log(path)
    except LadError as error:
        if not is_named and is_foreign(path):
            return None
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
