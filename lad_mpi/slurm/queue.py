"""The scheduler's commands, in the formats that they have for programs."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lad_mpi.errors import SchedulerError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

#: States in which a job does not come back; whatever else the scheduler says is still alive.
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
    """Which job, or which task of a job array.

    Parameters
    ----------
    job_id : str
        The job's number, or that of the array.
    task : int
        Index in the array; -1 where the job is none.
    """

    job_id: str
    task: int = -1

    def __str__(self) -> str:
        return self.job_id if self.task < 0 else f"{self.job_id}_{self.task}"


@dataclass(frozen=True, slots=True)
class JobState:
    """What the scheduler says of a job.

    Parameters
    ----------
    state : str
        In its own words: ``"PENDING"``, ``"RUNNING"``, ``"CANCELLED"``.
    reason : str
        Why it waits or has ended, in its own words; empty where it says nothing.
    """

    state: str
    reason: str = ""

    @property
    def is_active(self) -> bool:
        """Whether it is in the queue or runs."""
        return self.state not in _ENDED

    @property
    def is_waiting(self) -> bool:
        """Whether it has not begun, or not begun again."""
        return self.state in {"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT"}


def submit_script(script: Path, text: bytes) -> str:
    """Give a script to ``sbatch`` and return the job's number.

    Parameters
    ----------
    script : Path
        Where it is kept, for messages.
    text : bytes
        What ``sbatch`` reads from its standard input. Whoever may write to the folder could
        have changed the file by now.

    Raises
    ------
    SchedulerError
        It is not there, or does not take the job.
    """
    done = _call("sbatch", "--parsable", script=text)
    if done.returncode != 0:
        raise SchedulerError(
            f"sbatch did not take {script}: {_words(done)}",
            hint="what it asks for comes from the cluster file; --dry-run shows the script",
        )
    # NUMBER, or NUMBER;CLUSTER where there are several.
    job_id = done.stdout.strip().partition(";")[0]
    if not job_id.isdigit():
        raise SchedulerError(f"sbatch answered {done.stdout.strip()!r}, expected a job's number")
    return job_id


def ask_queue(job_ids: Sequence[str]) -> dict[JobKey, JobState]:
    """Ask what has become of jobs.

    Jobs that ended some minutes ago are forgotten by ``squeue``; ``sacct`` knows
    them where the site keeps accounts.

    Parameters
    ----------
    job_ids : sequence of str
        Numbers of jobs and job arrays.

    Returns
    -------
    dict of JobKey to JobState
        Of every job that is still known, and every task.

    Raises
    ------
    SchedulerError
        ``squeue`` is not there, or does not answer.
    """
    if not job_ids:
        return {}
    jobs = ",".join(job_ids)
    done = _call(
        "squeue", "--noheader", "--array", "--states=all", f"--jobs={jobs}", "--format=%F|%K|%T|%r"
    )
    # Of one job that it has forgotten, squeue says that it is invalid; of several, nothing.
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
    """Read lines of ``squeue --array --format=%F|%K|%T|%r``.

    Raises
    ------
    SchedulerError
        A line is not of that form.
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
    """Read lines of ``sacct --parsable2 --format=JobID,State,ExitCode``."""
    found = {}
    for line in text.splitlines():
        number, state, exit_code = [*line.split("|"), "", ""][:3]
        job_id, _, task = number.partition("_")
        # "CANCELLED by 1000" names the user.
        state = state.partition(" ")[0]
        # Tasks that never began come as one line with a range of them.
        for index in expand_tasks(task):
            code = exit_code.partition(":")[0]
            reason = f"exit code {code}" if code not in {"", "0"} else ""
            found[JobKey(job_id, index)] = JobState(state, reason)
    return found


def expand_tasks(text: str) -> list[int]:
    """Return the indices that ``"3"`` or ``"[0-2,5%2]"`` stands for; ``[-1]`` for nothing."""
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
    # Many sites keep no accounts, and then it fails: what it would say is not known.
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
            f"{command[0]} is not found here",
            hint="log in where jobs are submitted, or load the module of SLURM",
        ) from error
    except OSError as error:
        raise SchedulerError(f"cannot start {command[0]}: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise SchedulerError(
            f"{command[0]} has not answered for {_TIMEOUT_S:.0f} s",
            hint="try again when the scheduler is up",
        ) from error
    said, complaint = (stream.decode(errors="replace") for stream in (done.stdout, done.stderr))
    return subprocess.CompletedProcess(command, done.returncode, said, complaint)


def _words(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a command says is wrong, in one line."""
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
    name = f"{done.args[0]}: "
    words = [
        line.strip().removeprefix(name).removeprefix("error: ").removeprefix("fatal: ")
        for line in lines
    ]
    return "; ".join(filter(None, words)) or f"it ended with exit code {done.returncode}"
