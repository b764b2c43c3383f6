"""All runs of a study back to back, in one launch."""

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
    """Shown to a person while a study goes on."""

    def start(self, run: Run, position: int, total: int) -> None:
        """Tell that a run begins."""

    def end(self, run: Run, outcome: Outcome) -> None:
        """Tell how a run ended."""


@dataclass(frozen=True, slots=True)
class StudyResult:
    """What one launch did.

    Parameters
    ----------
    completed, skipped : int
        Runs that completed now, and runs that were complete before.
    failed : tuple of (Run, Outcome)
        Runs that did not complete.
    interrupted : bool
        Whether a signal ended the launch before all runs were tried.
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
    """Run what is not complete yet; on the server.

    A run that fails is reported and the next one is begun. The other ranks
    call :func:`follow_study`, and learn from the server what comes next. The logs
    repeat the ``remarks`` about the place.
    """
    for state in study_status(study, folder):
        if state.status == PENDING and state.failure:
            progress.note(f"{state.run.title} (seed {state.run.spec.seed}): {state.failure}")
    completed, skipped = 0, 0
    failed: list[tuple[Run, Outcome]] = []
    interrupted = False
    for position, planned in enumerate(study.runs, start=1):
        # Data may have been replaced since the study was read.
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
            # Somebody else may have put it there, to have a file elsewhere written.
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
    """Give a complete log the labels that its run has now; return what stands against it."""
    # As in run_status.
    from lad_mpi.logs import relabel  # noqa: PLC0415

    try:
        if found.names != found.run.names:
            relabel(found.path, found.run.names)
        # A launch that was killed as it ended a run may have left them.
        Checkpoints(found.path).clear()
    except (LadError, OSError) as error:
        return f"it is complete, and keeps its old name: {error}"
    return ""


def _note(run: Run, folder: Path, outcome: Outcome) -> None:
    """Note why a run failed if it has no log to say so."""
    # As in run_status.
    from lad_mpi.logs import is_being_written  # noqa: PLC0415

    path = run.locate(folder)
    if outcome.status == FAILED and not path.exists():
        # A run that another job is just beginning was refused and has not failed.
        if not is_being_written(path):
            note_failure(path, outcome.failure)
        return
    clear_failure(path)
    # An earlier launch may not have found the data, and so did not know this identity.
    unread = identity_of(to_mapping(run.spec), UNREADABLE_DATA, run.identity.packages)
    clear_failure(replace(run, identity=unread).locate(folder))


def follow_study(link: Link, folder: Path, progress: Progress, interrupt: InterruptRequest) -> None:
    """Take part in the runs that the server chooses; on all other ranks."""
    while text := link.share(_END):
        run_spec(
            parse_toml_spec(text),
            link,
            folder,
            progress=progress,
            interrupt=interrupt,
        )
