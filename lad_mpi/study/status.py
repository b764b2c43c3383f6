"""The state of each run of a study, from its log or from a note of its failure."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from lad_mpi.errors import LadError
from lad_mpi.files import open_regular, whole_file
from lad_mpi.spec import identity_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from lad_mpi.logs import LogHead
    from lad_mpi.spec import Identity
    from lad_mpi.study.plan import Run, Study


_Log = TypeVar("_Log", bound="LogHead")

PENDING = "pending"
RUNNING = "running"
COMPLETE = "complete"
INTERRUPTED = "interrupted"
FAILED = "failed"
DAMAGED = "damaged"
#: Number of differences that a message lists.
_MOST_DIFFERENCES = 10
#: Bytes of a note that are read.
_MOST_BYTES = 2**16


@dataclass(frozen=True, slots=True)
class RunStatus:
    """State of one run.

    Parameters
    ----------
    run : Run
        The run.
    path : Path
        Path of the log, which need not exist.
    status : str
        ``"pending"`` if there is no log, ``"failed"`` if there is only a note of a failure,
        ``"damaged"`` if the log cannot be read or belongs to another run, otherwise the
        status in the log.
    iterations : int
        Number of iterations in the log.
    failure : str
        Why the run failed or its log cannot be read. For a pending run, the earlier run that
        it replaces.
    names : tuple of str
        Names in the log.
    """

    run: Run
    path: Path
    status: str
    iterations: int = 0
    failure: str = ""
    names: tuple[str, ...] = ()


def run_status(run: Run, folder: Path) -> RunStatus:
    """Return the state of one run."""
    # Only the server reads logs and needs HDF5.
    from lad_mpi.logs import read_head  # noqa: PLC0415

    return read_status(run, run.locate(folder), read_head)[0]


def read_status(
    run: Run, path: Path, read: Callable[[Path], _Log]
) -> tuple[RunStatus, _Log | None]:
    """Return the state of one run, and what ``read`` reads from its log if that is valid."""
    if path.is_symlink():
        link = "it is a link, which a study does not follow"
        return RunStatus(run, path, DAMAGED, failure=link), None
    try:
        if not path.exists():
            failure = read_failure(path)
            return RunStatus(run, path, FAILED if failure else PENDING, failure=failure), None
        log = read(path)
    except (LadError, OSError) as error:
        return _unreadable(run, path, error), None
    # A file may have been renamed: compare the identity in the log.
    if differences := run.identity.differences(_identity(log)):
        failure = f"its log is of another run: {_some(differences)}"
        return RunStatus(run, path, DAMAGED, log.recorded, failure), None
    return RunStatus(run, path, log.status, log.recorded, log.failure, log.names), log


def _unreadable(run: Run, path: Path, error: LadError | OSError) -> RunStatus:
    # Only the server reads logs and needs HDF5.
    from lad_mpi.logs import is_being_written  # noqa: PLC0415

    if is_being_written(path):
        # Without SWMR mode, for example.
        failure = "its log cannot be read while it is written"
        return RunStatus(run, path, RUNNING, failure=failure)
    if isinstance(error, LadError):
        return RunStatus(run, path, DAMAGED, failure=error.message)
    return RunStatus(run, path, DAMAGED, failure=f"cannot be read: {error.strerror}")


def study_status(study: Study, folder: Path) -> list[RunStatus]:
    """Return the states of all runs, in the order of the study.

    If the spec of a pending run was run before, on other data or with other packages, its
    ``failure`` says so.
    """
    states = [run_status(run, folder) for run in study.runs]
    if all(state.status != PENDING for state in states):
        return states
    earlier = _other_logs(folder, {state.path for state in states})
    return [
        replace(state, failure=_superseded(state.run, earlier))
        if state.status == PENDING
        else state
        for state in states
    ]


def _other_logs(folder: Path, known: set[Path]) -> dict[str, tuple[Path, Identity]]:
    """Return one log of each spec among the files that are not in ``known``."""
    from lad_mpi.logs import read_head  # noqa: PLC0415

    found: dict[str, tuple[Path, Identity]] = {}
    for path in sorted(set(folder.glob("*.h5")) - known):
        with contextlib.suppress(LadError, OSError):
            identity = _identity(read_head(path))
            found.setdefault(identity.spec_key, (path, identity))
    return found


def _superseded(run: Run, earlier: Mapping[str, tuple[Path, Identity]]) -> str:
    """Describe how an earlier run of the same spec differs; empty if there is none."""
    if run.identity.spec_key not in earlier:
        return ""
    path, identity = earlier[run.identity.spec_key]
    return f"{path.name} is of an earlier run: {_some(run.identity.differences(identity))}"


def _some(differences: Sequence[str]) -> str:
    more = len(differences) - _MOST_DIFFERENCES
    return "; ".join([*differences[:_MOST_DIFFERENCES], *([f"{more} more"] if more > 0 else [])])


def _identity(log: LogHead) -> Identity:
    return identity_of(log.spec, log.data_digest, log.packages)


def failure_path(log: Path) -> Path:
    """Return the path of the note on why a run has no log."""
    return log.with_suffix(".failure.txt")


def note_failure(log: Path, reason: str) -> None:
    """Write a note on why a run has no log, if the folder is writable."""
    with contextlib.suppress(OSError), whole_file(failure_path(log), text=True) as stream:
        stream.write(f"{reason}\n")


def read_failure(log: Path) -> str:
    """Return why a run has no log; empty if there is no readable note."""
    try:
        with open_regular(failure_path(log), follow_links=False) as stream:
            return stream.read(_MOST_BYTES).decode(errors="replace").strip()
    except OSError:
        return ""


def clear_failure(log: Path) -> None:
    """Remove the note."""
    with contextlib.suppress(OSError):
        failure_path(log).unlink()
