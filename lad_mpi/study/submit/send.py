"""From runs that are missing to a job in the queue, and the record of it."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lad_mpi.errors import UsageError
from lad_mpi.logs import OutputLock
from lad_mpi.study.submit.join import JOBS
from lad_mpi.study.submit.queue import submit_script
from lad_mpi.study.submit.record import (
    FILE_NAME,
    Submission,
    read_submissions,
    write_submissions,
)
from lad_mpi.study.submit.render import Job, render

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from lad_mpi.study.plan import Run, Study
    from lad_mpi.study.submit.cluster import ClusterFile

Layout = Literal["packed", "array"]
#: How many run ids stand in one line of a script.
_IDS_A_LINE = 7


@dataclass(frozen=True, slots=True)
class Prepared:
    """A job that is ready to be submitted.

    Parameters
    ----------
    job : Job
        What its script is for.
    script : str
        Its text.
    cluster : str
        Name of the cluster file.
    tasks : dict of str to int
        Run ids, and the array task that does each; -1 in a job that is no array.
    """

    job: Job
    script: str
    cluster: str
    tasks: dict[str, int]


def prepare(
    study: Study,
    runs: Sequence[Run],
    file: ClusterFile,
    layout: Layout,
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
        Those that the job is to do.
    file : ClusterFile
        Where it is to be submitted.
    layout : {"packed", "array"}
        All runs in one job, one after another, or shared among the tasks of an array.
    path, folder : Path
        The study file and the folder of the logs, as the job will find them from
        the folder where it is submitted.

    Raises
    ------
    UsageError
        A template is missing or wrong.
    """
    run_ids = [run.run_id for run in runs]
    num_tasks = min(len(runs), file.cluster.array_tasks) if layout == "array" else 0
    arguments = [str(path), "-o", str(folder)]
    for start in range(0, len(run_ids), _IDS_A_LINE):
        arguments += ["--only", ",".join(run_ids[start : start + _IDS_A_LINE])]
    job = Job(
        template="array" if layout == "array" else "study",
        name=f"lad-{study.name}",
        output=str(folder / JOBS),
        arguments=arguments,
        num_tasks=num_tasks,
    )
    # As `study run --share K/M` deals them.
    tasks = {
        run_id: position % num_tasks if num_tasks else -1 for position, run_id in enumerate(run_ids)
    }
    return Prepared(job, render(file, job), file.path.stem, tasks)


@contextlib.contextmanager
def submitting(folder: Path) -> Iterator[None]:
    """Be the only one who submits jobs for a folder of logs.

    Raises
    ------
    UsageError
        Somebody else does so now, or the folder cannot be used.
    """
    try:
        (folder / JOBS).mkdir(parents=True, exist_ok=True)
        lock = OutputLock(folder / FILE_NAME)
    except UsageError as error:
        raise UsageError(
            f"another `study submit` is at work on {folder}", hint="wait until it has ended"
        ) from error
    except OSError as error:
        raise UsageError(
            f"cannot write to {folder}: {error.strerror}", hint="give a folder of yours with -o"
        ) from error
    with lock:
        yield


def send(prepared: Prepared, folder: Path) -> Submission:
    """Submit a job and record it; within :func:`submitting`.

    Raises
    ------
    SchedulerError
        ``sbatch`` is missing or did not take it; its script is kept.
    UsageError
        The script or the record cannot be written.
    """
    script = _free_name(folder / JOBS, prepared.job.name)
    try:
        # Paths are bytes to the shell, in whatever encoding.
        script.write_text(prepared.script, encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise UsageError(f"cannot write {script}: {error.strerror}") from error
    # Before the job can begin, so that what it writes is newer.
    submitted_s = time.time()
    submission = Submission(
        job_id=submit_script(script),
        cluster=prepared.cluster,
        name=prepared.job.name,
        script=f"{JOBS}/{script.name}",
        submitted_s=submitted_s,
        tasks=prepared.tasks,
    )
    write_submissions(folder, [*read_submissions(folder), submission])
    return submission


def _free_name(folder: Path, name: str) -> Path:
    number = 1
    while (script := folder / f"{name}-{number}.sbatch").exists():
        number += 1
    return script
