"""Watch the runs of a study: look at its folder again and again, and read only what changed."""

from __future__ import annotations

import math
import os
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import TYPE_CHECKING

from lad_mpi.errors import UsageError
from lad_mpi.metrics import names
from lad_mpi.study.status import COMPLETE, PENDING, RUNNING, failure_path, read_status

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lad_mpi.logs import LogBrief
    from lad_mpi.study.plan import Run, Study
    from lad_mpi.study.status import RunStatus
    from lad_mpi.types import HostFloats

#: The metrics that are read.
WATCHED = (names.LOSS, names.on_test("accuracy"), names.on_train("accuracy"))
#: Looks over which the rate of the study is measured, and the least time between them.
_LOOKS = 300
_SETTLED_S = 20.0


@dataclass(frozen=True, slots=True, eq=False)
class WatchedRun:
    """One run at one look.

    Parameters
    ----------
    state : RunStatus
        Its state, from the log.
    latest : mapping of str to float
        Metrics of the final model, or else of the last evaluated iteration.
    curves : mapping of ndarray of float64, shape (T,)
        Metrics by iteration, of a run in progress; NaN where an iteration was not evaluated.
    rate : float
        Iterations per second since the last launch started; NaN if unknown.
    written_s : float
        When its log or the note on its failure was last written, in seconds since the
        epoch; 0 without both.
    """

    state: RunStatus
    latest: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, HostFloats] = field(default_factory=dict)
    rate: float = math.nan
    written_s: float = 0.0

    @property
    def seconds_left(self) -> float:
        """Time left at the rate of the run; NaN if unknown."""
        return (self.state.run.spec.iterations - self.state.iterations) / self.rate


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """All runs of a study at one time.

    Parameters
    ----------
    runs : tuple of WatchedRun
        The runs, in the order of the study.
    rate : float
        Iterations per second of all runs together; NaN if unknown.
    """

    runs: tuple[WatchedRun, ...]
    rate: float

    @property
    def counts(self) -> Counter[str]:
        """Number of runs by status."""
        return Counter(run.state.status for run in self.runs)

    @property
    def is_over(self) -> bool:
        """Whether no run is pending or running."""
        return not self.counts.keys() & {PENDING, RUNNING}

    @property
    def has_failed(self) -> bool:
        """Whether a run ended without completing."""
        return bool(self.counts.keys() - {PENDING, RUNNING, COMPLETE})

    @property
    def fraction(self) -> float:
        """Share of all iterations that are done."""
        done = sum(run.state.iterations for run in self.runs)
        return done / sum(run.state.run.spec.iterations for run in self.runs)

    @property
    def seconds_left(self) -> float:
        """Time left for pending and running runs at the rate of the study; NaN if unknown."""
        open_runs = [run.state for run in self.runs if run.state.status in {PENDING, RUNNING}]
        return sum(one.run.spec.iterations - one.iterations for one in open_runs) / self.rate


#: What a run is read from: the name, time, size and inode of its log, and those of the note on
#: its failure.
_Signature = tuple[str, tuple[int, ...] | None, tuple[int, ...] | None]


class StudyWatch:
    """Looks at the runs of a study without disturbing their writers.

    Logs are opened for reading only, and no lock is held between two looks.

    Parameters
    ----------
    study : Study
        The runs.
    folder : Path
        Folder of the logs, which need not exist yet.
    """

    def __init__(self, study: Study, folder: Path) -> None:
        self._study = study
        self._folder = folder
        self._seen: dict[str, tuple[_Signature, WatchedRun]] = {}
        self._history: deque[tuple[float, int]] = deque(maxlen=_LOOKS)

    def look(self) -> Look:
        """Return the present states. Read the logs that have changed since the last look.

        Raises
        ------
        UsageError
            The folder cannot be searched.
        """
        files = _files_in(self._folder)
        logs: dict[str, list[str]] = {}
        for name in files:
            logs.setdefault(_ending(name), []).append(name)
        runs = tuple(self._watch(run, files, logs.get(run.ending, [])) for run in self._study.runs)
        self._history.append((monotonic(), sum(run.state.iterations for run in runs)))
        return Look(runs, self._rate(runs))

    def _watch(
        self, run: Run, files: Mapping[str, tuple[int, ...]], found: list[str]
    ) -> WatchedRun:
        path = self._folder / run.file_name(found)
        signature = (path.name, files.get(path.name), files.get(failure_path(path).name))
        before, seen = self._seen.get(run.run_id, (None, None))
        if seen is None or before != signature or _has_stopped(seen):
            seen = _read(run, path, signature, seen)
            self._seen[run.run_id] = signature, seen
        return seen

    def _rate(self, runs: tuple[WatchedRun, ...]) -> float:
        (began_s, first), (now_s, last) = self._history[0], self._history[-1]
        if now_s - began_s >= _SETTLED_S and last > first:
            return (last - first) / (now_s - began_s)
        return sum(run.rate for run in runs if run.rate > 0) or math.nan


def _read(run: Run, path: Path, signature: _Signature, seen: WatchedRun | None) -> WatchedRun:
    # Ranks that run a study do not need HDF5.
    from lad_mpi.logs import read_brief  # noqa: PLC0415

    state, log = read_status(run, path, lambda place: read_brief(place, WATCHED))
    written = signature[1] or signature[2]
    written_s = 0.0 if written is None else written[0] / 1e9
    if log is None:
        if seen is not None and {state.status, seen.state.status} == {RUNNING}:
            # It cannot be read while it is written.
            return replace(seen, written_s=written_s)
        return WatchedRun(state, written_s=written_s)
    if state.status != RUNNING:
        return WatchedRun(state, log.latest(), written_s=written_s)
    return WatchedRun(state, log.latest(), log.metrics, _rate_of(log, written_s), written_s)


def _rate_of(log: LogBrief, written_s: float) -> float:
    seconds = written_s - log.created_s
    done = log.recorded - log.first
    return done / seconds if done > 0 and seconds > 0 else math.nan


def _has_stopped(seen: WatchedRun) -> bool:
    """Return whether a run that was in progress has lost its writer."""
    from lad_mpi.logs import is_being_written  # noqa: PLC0415

    return seen.state.status == RUNNING and is_being_written(seen.state.path) is False


def _files_in(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return the time in nanoseconds, size and inode of the files of a study by name."""
    files: dict[str, tuple[int, ...]] = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith((".h5", ".failure.txt")):
                    try:
                        found = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    files[entry.name] = (found.st_mtime_ns, found.st_size, found.st_ino)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UsageError(f"{folder} cannot be searched: {error.strerror}") from error
    return files


def _ending(name: str) -> str:
    """Return the part of a file name by which a run is looked up, with seed and id."""
    return "-" + "-".join(name.rsplit("-", 2)[1:])
