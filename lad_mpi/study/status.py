"""What has become of each run of a study, as its logs tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lad_mpi.errors import LadError

if TYPE_CHECKING:
    from pathlib import Path

    from lad_mpi.study.plan import Run, Study

PENDING = "pending"
COMPLETE = "complete"
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
        ``"pending"`` where there is no log, ``"damaged"`` where it cannot be
        read, otherwise the status that the log states.
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
            return RunStatus(run, path, PENDING)
        log = read_head(path)
    except LadError as error:
        return RunStatus(run, path, DAMAGED, failure=error.message)
    except OSError as error:
        return RunStatus(run, path, DAMAGED, failure=f"cannot be read: {error.strerror}")
    return RunStatus(run, path, log.status, log.recorded, log.failure)


def study_status(study: Study, folder: Path) -> list[RunStatus]:
    """Look at the logs of all runs, in the order of the study."""
    return [run_status(run, folder) for run in study.runs]
