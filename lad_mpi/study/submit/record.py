"""What was submitted, in a small file beside the logs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lad_mpi.errors import UsageError
from lad_mpi.files import whole_file
from lad_mpi.study.submit.queue import JobKey

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FILE_NAME = "submissions.json"
_FORMAT = "lad_mpi-submissions"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Submission:
    """One job or job array.

    Parameters
    ----------
    job_id : str
        Its number.
    cluster : str
        Name of the cluster file.
    name : str
        Name of the job.
    script : str
        Its script, relative to the folder of the record.
    submitted_s : float
        When, in seconds since the epoch.
    tasks : dict of str to int
        Run ids, and the index in the array of the task that does each; -1 in a
        job that is none.
    """

    job_id: str
    cluster: str
    name: str
    script: str
    submitted_s: float
    tasks: dict[str, int]

    def key(self, run_id: str) -> JobKey:
        """Return which job does a run."""
        return JobKey(self.job_id, self.tasks[run_id])


def read_submissions(folder: Path) -> list[Submission]:
    """Read what was submitted, oldest first; nothing where there is no record.

    Raises
    ------
    UsageError
        The record cannot be read.
    """
    path = folder / FILE_NAME
    try:
        mapping = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(
            f"{path} cannot be read: {getattr(error, 'strerror', None) or error}",
            hint="move it away to go on without what it says of jobs",
        ) from error
    try:
        return _parse(mapping)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{path} is not a record of submissions, version {_VERSION}: {error}",
            hint="move it away to go on without what it says of jobs",
        ) from error


def write_submissions(folder: Path, submissions: Sequence[Submission]) -> None:
    """Replace the record, in one step.

    Raises
    ------
    UsageError
        It cannot be written.
    """
    path = folder / FILE_NAME
    mapping = {
        "format": _FORMAT,
        "version": _VERSION,
        "submissions": [
            {
                "job_id": one.job_id,
                "cluster": one.cluster,
                "name": one.name,
                "script": one.script,
                "submitted_s": one.submitted_s,
                "tasks": one.tasks,
            }
            for one in submissions
        ],
    }
    try:
        with whole_file(path, text=True) as file:
            json.dump(mapping, file, indent=1)
            file.write("\n")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


def _parse(mapping: Any) -> list[Submission]:
    if mapping["format"] != _FORMAT or mapping["version"] != _VERSION:
        raise ValueError(f"it says {mapping['format']!r}, version {mapping['version']!r}")
    return [
        Submission(
            job_id=str(one["job_id"]),
            cluster=str(one["cluster"]),
            name=str(one["name"]),
            script=str(one["script"]),
            submitted_s=float(one["submitted_s"]),
            tasks={str(run_id): int(task) for run_id, task in one["tasks"].items()},
        )
        for one in mapping["submissions"]
    ]
