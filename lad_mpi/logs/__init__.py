"""The log of a run: one HDF5 file, written by rank 0.

This package imports h5py, so ranks other than the server must not import it in a run.
"""

from lad_mpi.logs.carry import Continuation
from lad_mpi.logs.find import find_logs, is_foreign, is_log, list_files
from lad_mpi.logs.lock import OutputLock, is_being_written, real_path
from lad_mpi.logs.log import (
    Axes,
    FinalState,
    Launch,
    LogBlock,
    LogBrief,
    LogHead,
    RunHeader,
    RunLog,
)
from lad_mpi.logs.reader import KILLED, read_brief, read_head, read_log
from lad_mpi.logs.schema import (
    FORMAT,
    MODEL_METRICS,
    STEP_METRICS,
    VERSION,
    WARMUP_ITERATIONS,
)
from lad_mpi.logs.validate import validate_log
from lad_mpi.logs.writer import LogWriter, relabel

__all__ = [
    "FORMAT",
    "KILLED",
    "MODEL_METRICS",
    "STEP_METRICS",
    "VERSION",
    "WARMUP_ITERATIONS",
    "Axes",
    "Continuation",
    "FinalState",
    "Launch",
    "LogBlock",
    "LogBrief",
    "LogHead",
    "LogWriter",
    "OutputLock",
    "RunHeader",
    "RunLog",
    "find_logs",
    "is_being_written",
    "is_foreign",
    "is_log",
    "list_files",
    "read_brief",
    "read_head",
    "read_log",
    "real_path",
    "relabel",
    "validate_log",
]
