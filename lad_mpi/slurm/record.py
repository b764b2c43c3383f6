"""The record of submissions, a JSON file beside the logs."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import FailFast, Field, PlainValidator, TypeAdapter, ValidationError

from lad_mpi.errors import UsageError, first_mistake
from lad_mpi.files import read_bytes, whole_file
from lad_mpi.slurm.queue import JobKey

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SUBMISSIONS_FILE = "submissions.json"
#: Folder of scripts and of what jobs print, below the folder of the logs.
JOBS = "jobs"
#: Enough for some hundred thousand runs. JSON takes much more memory than its file.
_MOST_BYTES = 2**23
_ADVICE = "check with squeue that none of its jobs is left, then move the file away"
#: Neither a separator of folders nor a control character.
_IN_NAMES = r"[^/\x00-\x1f\x7f-\x9f]"
_Name = Annotated[str, Field(pattern=f"^{_IN_NAMES}{{1,255}}$")]
_Script = Annotated[str, Field(pattern=rf"^jobs/[^./\x00-\x1f\x7f-\x9f]{_IN_NAMES}{{0,254}}$")]
_JobId = Annotated[str, Field(pattern="^[0-9]{1,20}$")]
_Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_MOST_TASKS = 2**31


def _check_tasks(tasks: Any) -> dict[str, int]:
    """Stop at the first invalid task. Pydantic would collect millions of errors."""
    if not isinstance(tasks, dict):
        raise ValueError("expected a table of run ids")  # noqa: TRY004  (what pydantic collects)
    for task in tasks.values():
        if type(task) is not int or not -1 <= task < _MOST_TASKS:
            raise ValueError(f"expected indices of tasks below {_MOST_TASKS}")
    return tasks


@dataclass(frozen=True, slots=True)
class Submission:
    """One job or job array.

    Parameters
    ----------
    job_id : str
        Number of the job.
    cluster : str
        Name of the cluster file.
    name : str
        Name of the job.
    script : str
        Path of the script, relative to the folder of the record.
    submitted_s : float
        Time of submission in seconds since the epoch.
    tasks : dict of str to int
        Run ids, and the index of the array task that does each; -1 if the job is not an
        array.
    """

    job_id: _JobId
    cluster: _Name
    name: _Name
    script: _Script
    submitted_s: _Seconds
    tasks: Annotated[dict[str, int], PlainValidator(_check_tasks)]

    def key(self, run_id: str) -> JobKey:
        """Return the job or task that does a run."""
        return JobKey(self.job_id, self.tasks[run_id])


@dataclass(frozen=True, slots=True)
class _Record:
    format: Literal["lad_mpi-submissions"]
    version: Literal[1]
    submissions: Annotated[list[Submission], FailFast()]


def read_submissions(folder: Path) -> list[Submission]:
    """Read the submissions, oldest first; an empty list if there is no record.

    Raises
    ------
    UsageError
        The file cannot be read, or it is not a record of submissions.
    """
    path = folder / SUBMISSIONS_FILE
    try:
        content = read_bytes(path, most_bytes=_MOST_BYTES, follow_links=False)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", hint=_ADVICE) from error
    try:
        return TypeAdapter(_Record).validate_json(content, strict=True).submissions
    except ValidationError as error:
        raise UsageError(
            f"{path} is not a record of submissions, version 1: {first_mistake(error)}",
            hint=_ADVICE,
        ) from error


def write_submissions(folder: Path, submissions: Sequence[Submission]) -> None:
    """Replace the record atomically.

    Raises
    ------
    UsageError
        The file cannot be written.
    """
    path = folder / SUBMISSIONS_FILE
    record = _Record("lad_mpi-submissions", 1, list(submissions))
    try:
        with whole_file(path, text=True) as file:
            json.dump(dataclasses.asdict(record), file, indent=1)
            file.write("\n")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
