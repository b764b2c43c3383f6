"""The scheduler's commands and their machine-readable output."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lad_mpi.errors import SchedulerError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

#: Final states of a job. All other states are those of an active job.
_ENDED = frozenset(
    {
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "REVOKED",
        "TIMEOUT",
    }
)
_TIMEOUT_S = 60.0
_NO_TASK = "N/A"


@dataclass(frozen=True, slots=True, order=True)
class JobKey:
    """A job, or a task of a job array.

    Parameters
    ----------
    job_id : str
        Number of the job or of the array.
    task : int
        Index in the array; -1 if the job is not an array.
    """

    job_id: str
    task: int = -1

    def __str__(self) -> str:
        return self.job_id if self.task < 0 else f"{self.job_id}_{self.task}"


@dataclass(frozen=True, slots=True)
class JobState:
    """State of a job according to the scheduler.

    Parameters
    ----------
    state : str
        The scheduler's name of the state, such as ``"PENDING"`` or ``"CANCELLED"``.
    reason : str
        The scheduler's reason why the job waits or ended; empty if it gives none.
    """

    state: str
    reason: str = ""

    @property
    def is_active(self) -> bool:
        """Whether the job is in the queue or runs."""
        return self.state not in _ENDED

    @property
    def is_waiting(self) -> bool:
        """Whether the job waits for its start, or for its restart."""
        return self.state in {"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT"}


def submit_script(script: Path, text: bytes) -> str:
    """Submit a script with ``sbatch`` and return the job's number.

    Parameters
    ----------
    script : Path
        File of the script, for messages.
    text : bytes
        The script. ``sbatch`` reads it from standard input, because another user may have
        changed the file.

    Raises
    ------
    SchedulerError
        There is no ``sbatch``, or it rejects the job.
    """
    done = _call("sbatch", "--parsable", script=text)
    if done.returncode != 0:
        raise SchedulerError(
            f"sbatch rejected {script}: {_words(done)}",
            hint="correct the cluster file; --dry-run shows the script",
        )
    # NUMBER, or NUMBER;CLUSTER if there are several clusters.
    job_id = done.stdout.strip().partition(";")[0]
    if not job_id.isdigit():
        raise SchedulerError(
            f"sbatch printed {done.stdout.strip()!r}, expected a job number",
            hint="look in squeue whether the job was submitted before you submit again",
        )
    return job_id


def ask_queue(job_ids: Sequence[str]) -> dict[JobKey, JobState]:
    """Ask the scheduler for the states of jobs.

    ``squeue`` forgets jobs some minutes after their end. ``sacct`` knows them if the site
    has accounting.

    Parameters
    ----------
    job_ids : sequence of str
        Numbers of jobs and job arrays.

    Returns
    -------
    dict of JobKey to JobState
        States of all jobs and tasks that are still known.

    Raises
    ------
    SchedulerError
        There is no ``squeue``, or it does not answer.
    """
    if not job_ids:
        return {}
    jobs = ",".join(job_ids)
    done = _call(
        "squeue", "--noheader", "--array", "--states=all", f"--jobs={jobs}", "--format=%F|%K|%T|%r"
    )
    # Asked for a single job that it has forgotten, squeue fails. Asked for several, it does not.
    if done.returncode != 0 and "Invalid job id" not in done.stderr:
        raise SchedulerError(
            f"squeue does not answer: {_words(done)}", hint="try again when the scheduler is up"
        )
    found = parse_squeue(done.stdout)
    forgotten = sorted(set(job_ids) - {key.job_id for key in found}, key=int)
    if forgotten and shutil.which("sacct") is not None:
        found.update(_ask_accounts(forgotten))
    return found


def parse_squeue(text: str) -> dict[JobKey, JobState]:
    """Read the output of ``squeue --array --format=%F|%K|%T|%r``.

    Raises
    ------
    SchedulerError
        A line has another form.
    """
    found = {}
    for line in text.splitlines():
        parts = line.strip().split("|", 3)
        if len(parts) != 4 or not parts[0].isdigit():
            raise SchedulerError(f"squeue printed {line!r}, expected JOB|TASK|STATE|REASON")
        job_id, task, state, reason = parts
        key = JobKey(job_id) if task == _NO_TASK else JobKey(job_id, _task(task, line))
        found[key] = JobState(state, "" if reason == "None" else reason)
    return found


def parse_sacct(text: str) -> dict[JobKey, JobState]:
    """Read the output of ``sacct --parsable2 --format=JobID,State,ExitCode``."""
    found = {}
    for line in text.splitlines():
        number, state, exit_code = [*line.split("|"), "", ""][:3]
        job_id, _, task = number.partition("_")
        # "CANCELLED by 1000" includes the user's number.
        state = state.partition(" ")[0]
        # Tasks that never started share one line, with a range of indices.
        for index in expand_tasks(task):
            code = exit_code.partition(":")[0]
            reason = f"exit code {code}" if code not in {"", "0"} else ""
            found[JobKey(job_id, index)] = JobState(state, reason)
    return found


def expand_tasks(text: str) -> list[int]:
    """Return the indices in ``"3"`` or ``"[0-2,5%2]"``; ``[-1]`` for an empty text."""
    indices: list[int] = []
    for part in text.strip("[]").partition("%")[0].split(","):
        first, _, last = part.partition("-")
        if first.isdigit():
            indices += range(int(first), int(last if last.isdigit() else first) + 1)
    return indices or [-1]


def _ask_accounts(job_ids: Sequence[str]) -> dict[JobKey, JobState]:
    done = _call(
        "sacct",
        "--allocations",
        "--noheader",
        "--parsable2",
        f"--jobs={','.join(job_ids)}",
        "--format=JobID,State,ExitCode",
    )
    # On a site without accounting sacct fails, and the jobs stay unknown.
    return parse_sacct(done.stdout) if done.returncode == 0 else {}


def _task(text: str, line: str) -> int:
    if not text.isdigit():
        raise SchedulerError(f"squeue printed {line!r}, expected the index of a task second")
    return int(text)


def _call(*command: str, script: bytes = b"") -> subprocess.CompletedProcess[str]:
    try:
        done = subprocess.run(  # noqa: S603
            command, input=script, capture_output=True, timeout=_TIMEOUT_S, check=False
        )
    except FileNotFoundError as error:
        raise SchedulerError(
            f"{command[0]} was not found",
            hint="log in to a node where jobs are submitted, or load the module of SLURM",
        ) from error
    except OSError as error:
        raise SchedulerError(f"cannot start {command[0]}: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise SchedulerError(
            f"{command[0]} did not answer within {_TIMEOUT_S:.0f} s",
            hint="try again when the scheduler is up",
        ) from error
    said, complaint = (stream.decode(errors="replace") for stream in (done.stdout, done.stderr))
    return subprocess.CompletedProcess(command, done.returncode, said, complaint)


def _words(done: subprocess.CompletedProcess[str]) -> str:
    """Return the error message of a command in one line."""
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
    name = f"{done.args[0]}: "
    words = [
        line.strip().removeprefix(name).removeprefix("error: ").removeprefix("fatal: ")
        for line in lines
    ]
    return "; ".join(filter(None, words)) or f"it ended with exit code {done.returncode}"
