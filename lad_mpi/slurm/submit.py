"""Prepare and submit the job that does the missing runs of a study, and record it."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lad_mpi.errors import UsageError
from lad_mpi.files import make_folder, open_descriptor
from lad_mpi.logs import OutputLock
from lad_mpi.slurm.cluster import control_character
from lad_mpi.slurm.queue import submit_script
from lad_mpi.slurm.record import (
    JOBS,
    SUBMISSIONS_FILE,
    Submission,
    read_submissions,
    write_submissions,
)
from lad_mpi.slurm.render import Job, path_word, render

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from lad_mpi.slurm.cluster import ClusterFile
    from lad_mpi.study.plan import Run, Study

JobLayout = Literal["packed", "array"]
#: Run ids in one line of a script.
_IDS_A_LINE = 7


@dataclass(frozen=True, slots=True)
class Prepared:
    """A job that is ready to be submitted.

    Parameters
    ----------
    job : Job
        The job.
    script : str
        Text of its script.
    cluster : str
        Name of the cluster file.
    tasks : dict of str to int
        Run ids, and the array task that does each; -1 if the job is not an array.
    """

    job: Job
    script: str
    cluster: str
    tasks: dict[str, int]


def prepare_job(
    study: Study,
    runs: Sequence[Run],
    file: ClusterFile,
    layout: JobLayout,
    *,
    path: Path,
    folder: Path,
) -> Prepared:
    """Render the job that does some runs of a study.

    Parameters
    ----------
    study : Study
        The study.
    runs : sequence of Run
        The runs to do.
    file : ClusterFile
        The cluster.
    layout : {"packed", "array"}
        All runs in one job, one after another, or shared among the tasks of an array.
    path, folder : Path
        The study file and the folder of the logs, relative to the folder in which the job
        is submitted.

    Raises
    ------
    UsageError
        A template is missing or invalid, or a path cannot be written in a script.
    """
    _check_path(path, "rename the study file")
    _check_folder(folder)
    run_ids = [run.run_id for run in runs]
    num_tasks = min(len(runs), file.cluster.array_tasks) if layout == "array" else 0
    arguments = [path_word(path), "-o", path_word(folder)]
    for start in range(0, len(run_ids), _IDS_A_LINE):
        arguments += ["--only", ",".join(run_ids[start : start + _IDS_A_LINE])]
    job = Job(
        template="array" if layout == "array" else "study",
        name=f"lad-{study.name}",
        output=str(folder / JOBS),
        arguments=arguments,
        num_tasks=num_tasks,
    )
    # The same assignment as in `study run --share K/M`.
    tasks = {
        run_id: position % num_tasks if num_tasks else -1 for position, run_id in enumerate(run_ids)
    }
    return Prepared(job, render(file, job), file.path.stem, tasks)


@contextlib.contextmanager
def submitting(folder: Path) -> Iterator[None]:
    """Lock a folder of logs, so that only one process submits jobs for it.

    Raises
    ------
    UsageError
        Another process holds the lock, or the folder cannot be used.
    """
    _check_folder(folder)
    try:
        make_folder(folder / JOBS)
        lock = OutputLock(folder / SUBMISSIONS_FILE)
    except UsageError as error:
        raise UsageError(
            f"another `study submit` is working on {folder}", hint="wait until it has ended"
        ) from error
    except OSError as error:
        raise UsageError(
            f"cannot write to {folder}: {error.strerror}", hint="choose a writable folder with -o"
        ) from error
    with lock:
        yield


def submit_job(prepared: Prepared, folder: Path) -> Submission:
    """Submit a job and record it. Call this within :func:`submitting`.

    Raises
    ------
    SchedulerError
        ``sbatch`` is missing or rejects the job. The script is kept.
    UsageError
        The script or the record cannot be written.
    """
    # Read the record first: no job may be submitted that cannot be recorded.
    earlier = read_submissions(folder)
    # Paths are bytes, in any encoding.
    text = prepared.script.encode(errors="surrogateescape")
    script = _keep(text, folder / JOBS, prepared.job.name)
    # Taken before the job can start, so that everything it writes is newer.
    submitted_s = time.time()
    submission = Submission(
        job_id=submit_script(script, text),
        # JSON is UTF-8. The name of a file may have another encoding.
        cluster=prepared.cluster.encode(errors="backslashreplace").decode(),
        name=prepared.job.name,
        script=f"{JOBS}/{script.name}",
        submitted_s=submitted_s,
        tasks=prepared.tasks,
    )
    try:
        write_submissions(folder, [*earlier, submission])
    except UsageError as error:
        raise UsageError(
            f"job {submission.job_id} is in the queue, but not recorded: {error.message}",
            hint=f"scancel {submission.job_id}, or the same runs may be submitted again",
        ) from error
    return submission


def _keep(text: bytes, folder: Path, name: str) -> Path:
    """Write a script to a new file, for the user to read."""
    for number in itertools.count(1):
        script = folder / f"{name}-{number}.sbatch"
        try:
            descriptor = open_descriptor(script, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(text)
        except FileExistsError:
            continue
        except OSError as error:
            raise UsageError(f"cannot write {script}: {error.strerror}") from error
        break
    return script


def _check_folder(folder: Path) -> None:
    hint = "choose another folder with -o"
    _check_path(folder, hint)
    if "\\" in str(folder):
        raise UsageError(
            f"{folder} has a backslash, which SLURM reads as an escape in output paths", hint=hint
        )


def _check_path(path: Path, hint: str) -> None:
    if found := control_character(str(path)):
        raise UsageError(
            f"{str(path)!r} has the control character {found}, which is not allowed in a script",
            hint=hint,
        )
