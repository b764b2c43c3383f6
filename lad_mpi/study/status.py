"""What has become of each run of a study, as its logs tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lad_mpi.errors import LadError
from lad_mpi.study.failures import read_failure

if TYPE_CHECKING:
    from pathlib import Path

    from lad_mpi.study.plan import Run, Study

PENDING = "pending"
RUNNING = "running"
COMPLETE = "complete"
INTERRUPTED = "interrupted"
FAILED = "failed"
DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class RunStatus:
    """State of one run.

    Parameters
    ----------
    run : Run
        The run.
    path : Path
        Where its log is, or will be.
    status : str
        ``"pending"`` where there is no log, ``"failed"`` where a study noted why there
        is none, ``"damaged"`` where it cannot be read, otherwise the status that the
        log states.
    iterations : int
        How many iterations the log holds.
    failure : str
        Why it failed or cannot be read.
    """

    run: Run
    path: Path
    status: str
    iterations: int = 0
    failure: str = ""


def run_status(run: Run, folder: Path) -> RunStatus:
    """Look at the log of one run."""
    # Ranks that follow a study never look at logs, and need not import HDF5.
    from lad_mpi.logs import read_head  # noqa: PLC0415

    path = folder / run.file_name
    try:
        if not path.exists():
            failure = read_failure(path)
            return RunStatus(run, path, FAILED if failure else PENDING, failure=failure)
        log = read_head(path)
    except LadError as error:
        return RunStatus(run, path, DAMAGED, failure=error.message)
    except OSError as error:
        return RunStatus(run, path, DAMAGED, failure=f"cannot be read: {error.strerror}")
    if log.emulated_network != run.spec.network.emulated:
        failure = "its log is of another network: move it away, or give another folder with -o"
        return RunStatus(run, path, FAILED, log.recorded, failure)
    return RunStatus(run, path, log.status, log.recorded, log.failure)


def study_status(study: Study, folder: Path) -> list[RunStatus]:
    """Look at the logs of all runs, in the order of the study."""
    return [run_status(run, folder) for run in study.runs]
