"""The state of the runs of a study, joined from the logs and the queue."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lad_mpi.files import open_regular
from lad_mpi.logs import KILLED, is_being_written
from lad_mpi.slurm.record import JOBS
from lad_mpi.study.status import COMPLETE, DAMAGED, FAILED, INTERRUPTED, RUNNING, failure_path

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from lad_mpi.slurm.queue import JobKey, JobState
    from lad_mpi.slurm.record import Submission
    from lad_mpi.study.status import RunStatus

QUEUED = "queued"
CANCELLED = "cancelled"
LOST = "lost"
_TAIL_BYTES = 8192
_TAIL_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class JobStatus:
    """State of one run, and its job.

    Parameters
    ----------
    state : RunStatus
        State according to the log.
    status : str
        Status of the log; ``"queued"`` if a job is going to do the run; ``"cancelled"``,
        ``"failed"`` or ``"lost"`` if the job ended without completing it.
    job : JobKey or None
        The last job that was submitted for the run; None if there is none.
    detail : str
        Why the run waits, or did not complete.
    """

    state: RunStatus
    status: str
    job: JobKey | None = None
    detail: str = ""


def needs_submission(status: JobStatus) -> bool:
    """Return whether a run is neither complete, nor running, nor in the queue."""
    return status.status not in {COMPLETE, RUNNING, QUEUED}


def known_jobs(states: Sequence[RunStatus], submissions: Sequence[Submission]) -> list[str]:
    """Return the numbers of the last jobs of all runs that are not complete."""
    last = _last_submissions(submissions)
    wanted = {
        last[state.run.run_id].job_id
        for state in states
        if state.status != COMPLETE and state.run.run_id in last
    }
    return sorted(wanted, key=int)


def join_queue(
    states: Sequence[RunStatus],
    submissions: Sequence[Submission],
    queue: Mapping[JobKey, JobState],
    folder: Path,
) -> list[JobStatus]:
    """Join the states of the logs and of the queue.

    Parameters
    ----------
    states : sequence of RunStatus
        States according to the logs.
    submissions : sequence of Submission
        Submissions, oldest first. The last one of a run counts.
    queue : mapping of JobKey to JobState
        States of the jobs according to the scheduler.
    folder : Path
        Folder of the logs.

    Notes
    -----
    A run is *lost* if it was submitted, its job is no longer in the queue, and neither
    the log nor the scheduler says how it ended.
    """
    last = _last_submissions(submissions)
    joined = []
    for state in states:
        submission = last.get(state.run.run_id)
        if submission is None:
            joined.append(JobStatus(state, state.status, detail=state.failure))
            continue
        key = submission.key(state.run.run_id)
        status, detail = _join(state, submission, key, queue.get(key), folder)
        joined.append(JobStatus(state, status, key, detail))
    return joined


def _last_submissions(submissions: Sequence[Submission]) -> dict[str, Submission]:
    return {run_id: one for one in submissions for run_id in one.tasks}


def _join(
    state: RunStatus, submission: Submission, key: JobKey, job: JobState | None, folder: Path
) -> tuple[str, str]:
    """Return status and detail of a run that was submitted."""
    is_active = job is not None and job.is_active
    if state.status == COMPLETE:
        return COMPLETE, ""
    # Without file locks, the log of a killed job also says that it is running.
    if state.status == RUNNING and (is_active or is_being_written(state.path)):
        return RUNNING, ""
    # An older failure does not count: the job was submitted to repeat the run.
    has_failed = state.status == FAILED and _written_s(state) >= submission.submitted_s
    if job is not None and job.is_active and (job.is_waiting or not has_failed):
        return QUEUED, f"job {key}: {_words(job)}"
    if has_failed or state.status == DAMAGED:
        return state.status, state.failure
    return _ended(state, submission, key, job, folder)


def _ended(
    state: RunStatus, submission: Submission, key: JobKey, job: JobState | None, folder: Path
) -> tuple[str, str]:
    """Return status and detail of a run whose job ended without completing it."""
    if job is not None and job.state == "CANCELLED":
        return CANCELLED, f"job {key} was cancelled"
    if state.status == INTERRUPTED and state.failure != KILLED:
        return INTERRUPTED, state.failure
    last_words = _last_words(folder, submission, key)
    if job is not None and job.state != "COMPLETED":
        return FAILED, f"job {key}: {_words(job)}{last_words}"
    return LOST, f"job {key} has left the queue{last_words}"


def _words(job: JobState) -> str:
    state = job.state.lower().replace("_", " ")
    return f"{state} ({job.reason})" if job.reason else state


def _written_s(state: RunStatus) -> float:
    """Return when the log of a run, or the note of its failure, was last written."""
    path = state.path if state.path.exists() else failure_path(state.path)
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _last_words(folder: Path, submission: Submission, key: JobKey) -> str:
    """Return the last error, or the last line, that a job printed."""
    path = folder / JOBS / f"{submission.name}_{key}.out"
    try:
        with open_regular(path, follow_links=False) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return f"; it has printed nothing to {path}"
    lines = [line.strip() for line in lines if line.strip()]
    if not lines:
        return f"; it has printed nothing to {path}"
    errors = [line for line in lines if "error" in line.lower()]
    return f"; {path}: {(errors or lines)[-1][:_TAIL_CHARACTERS]}"
