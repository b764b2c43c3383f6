"""Studies: many runs from one file, run one after another, and their states."""

from lad_mpi.study.plan import Run, Study, load_study
from lad_mpi.study.run import StudyProgress, StudyResult, follow_study, run_study
from lad_mpi.study.select import select_runs
from lad_mpi.study.status import RunStatus, run_status, study_status
from lad_mpi.study.watch import Look, StudyWatch, WatchedRun

__all__ = [
    "Look",
    "Run",
    "RunStatus",
    "Study",
    "StudyProgress",
    "StudyResult",
    "StudyWatch",
    "WatchedRun",
    "follow_study",
    "load_study",
    "run_status",
    "run_study",
    "select_runs",
    "study_status",
]
