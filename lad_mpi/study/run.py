"""Run a study: all runs one after another, in one launch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from lad_mpi.errors import ExitCode, LadError
from lad_mpi.spec import (
    UNREADABLE_DATA,
    identify,
    identity_of,
    parse_toml_spec,
    to_mapping,
    to_toml,
)
from lad_mpi.study.status import (
    COMPLETE,
    FAILED,
    PENDING,
    clear_failure,
    note_failure,
    run_status,
    study_status,
)
from lad_mpi.training import Existing, Outcome, Progress, run_spec
from lad_mpi.training.checkpoint import Checkpoints

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lad_mpi.study.plan import Run, Study
    from lad_mpi.study.status import RunStatus
    from lad_mpi.training.interrupt import InterruptRequest
    from lad_mpi.transport import Link

_END = ""


class StudyProgress(Progress, Protocol):
    """Reports to the user while a study runs."""

    def start(self, run: Run, position: int, total: int) -> None:
        """Report the start of a run."""

    def end(self, run: Run, outcome: Outcome) -> None:
        """Report the end of a run."""


@dataclass(frozen=True, slots=True)
class StudyResult:
    """Result of one launch.

    Parameters
    ----------
    completed, skipped : int
        Number of runs that completed now, and that were complete before.
    failed : tuple of (Run, Outcome)
        Runs that did not complete.
    interrupted : bool
        Whether a signal ended the launch before all runs were started.
    """

    completed: int
    skipped: int
    failed: tuple[tuple[Run, Outcome], ...]
    interrupted: bool


def run_study(
    study: Study,
    link: Link,
    folder: Path,
    progress: StudyProgress,
    interrupt: InterruptRequest,
    *,
    remarks: Sequence[str] = (),
) -> StudyResult:
    """Run all runs that are not complete. Only the server calls this.

    The other ranks call :func:`follow_study` and receive each run from the server. After a
    failed run the next one starts. The ``remarks`` about the environment are written to all
    logs.
    """
    for state in study_status(study, folder):
        if state.status == PENDING and state.failure:
            progress.note(f"{state.run.title} (seed {state.run.spec.seed}): {state.failure}")
    completed, skipped = 0, 0
    failed: list[tuple[Run, Outcome]] = []
    interrupted = False
    for position, planned in enumerate(study.runs, start=1):
        # The data may have changed since the study was read.
        run = replace(planned, identity=identify(planned.spec))
        found = run_status(run, folder)
        if found.status == COMPLETE:
            if failure := _tidy(found):
                progress.note(f"{run.title} (seed {run.spec.seed}): {failure}")
            skipped += 1
            continue
        if interrupt.signal_name:
            interrupted = True
            break
        if found.path.is_symlink():
            # Another user may have created the link, so that a file elsewhere is overwritten.
            outcome = Outcome("failed", f"{found.path}: {found.failure}", ExitCode.USAGE)
            failed.append((run, outcome))
            continue
        progress.start(run, position, len(study.runs))
        link.share(to_toml(run.spec))
        outcome = run_spec(
            run.spec,
            link,
            found.path,
            progress=progress,
            existing=Existing.RESUME if found.path.exists() else Existing.REFUSE,
            interrupt=interrupt,
            remarks=remarks,
            names=run.names,
        )
        progress.end(run, outcome)
        _note(run, folder, outcome)
        if outcome.status == COMPLETE:
            completed += 1
            continue
        failed.append((run, outcome))
        interrupted = outcome.status == "interrupted"
        if interrupted:
            break
    link.share(_END)
    return StudyResult(completed, skipped, tuple(failed), interrupted)


def _tidy(found: RunStatus) -> str:
    """Write the current names of a run to its complete log; return why that failed."""
    # Only the server needs HDF5.
    from lad_mpi.logs import relabel  # noqa: PLC0415

    try:
        if found.names != found.run.names:
            relabel(found.path, found.run.names)
        # A launch that was killed at the end of a run may have left checkpoints.
        Checkpoints(found.path).clear()
    except (LadError, OSError) as error:
        return f"it is complete but keeps its old name: {error}"
    return ""


def _note(run: Run, folder: Path, outcome: Outcome) -> None:
    """Write a note of the failure if the run has no log."""
    # Only the server needs HDF5.
    from lad_mpi.logs import is_being_written  # noqa: PLC0415

    path = run.locate(folder)
    if outcome.status == FAILED and not path.exists():
        # If another job has just started the run, it was refused here, and did not fail.
        if not is_being_written(path):
            note_failure(path, outcome.failure)
        return
    clear_failure(path)
    # An earlier launch may not have found the data, and noted its failure under another identity.
    unread = identity_of(to_mapping(run.spec), UNREADABLE_DATA, run.identity.packages)
    clear_failure(replace(run, identity=unread).locate(folder))


def follow_study(link: Link, folder: Path, progress: Progress, interrupt: InterruptRequest) -> None:
    """Take part in the runs that the server sends. All other ranks call this."""
    while text := link.share(_END):
        run_spec(
            parse_toml_spec(text),
            link,
            folder,
            progress=progress,
            interrupt=interrupt,
        )
