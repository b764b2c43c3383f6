"""What launchers tell the processes that they start, in one table, and what they hear of them.

The innermost launcher counts: a batch script has SLURM's variables in its
environment, and an mpirun in it passes them on beside its own, so SLURM's
come last.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

SIZE_VARIABLES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_SIZE", "SLURM_STEP_NUM_TASKS")
RANK_VARIABLES = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK", "PALS_RANKID", "SLURM_PROCID")
LOCAL_RANK_VARIABLES = (
    "OMPI_COMM_WORLD_LOCAL_RANK",
    "MPI_LOCALRANKID",
    "MV2_COMM_WORLD_LOCAL_RANK",
    "PALS_LOCAL_RANKID",
    "SLURM_LOCALID",
)
LOCAL_SIZE_VARIABLES = (
    "OMPI_COMM_WORLD_LOCAL_SIZE",
    "MPI_LOCALNRANKS",
    "MV2_COMM_WORLD_LOCAL_SIZE",
)
#: SLURM's ranks on each node of a step, ``2(x3),1``.
_SLURM_LAYOUT = re.compile(r"(\d+)(?:\(x(\d+)\))?")

_HEARD_AFTER_S = 0.5


def module_words(module: str, python: str = sys.executable) -> list[str]:
    """Return a command that runs a module, whatever modules lie in the working directory.

    ``python -m`` alone would import a file ``json.py`` from there in place of Python's own.

    Parameters
    ----------
    module : str
        Its dotted name.
    python : str
        Interpreter, of the version of this one.
    """
    if sys.version_info >= (3, 11):
        return [python, "-P", "-m", module]
    run = f"import runpy; runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
    return [python, "-c", f"import sys; del sys.path[0]; {run}"]


def announced_size(environ: Mapping[str, str] | None = None) -> int:
    """Return the number of ranks that the launcher says it started; 1 where it says nothing."""
    return _first(SIZE_VARIABLES, environ, default=1)


def announced_rank(environ: Mapping[str, str] | None = None) -> int:
    """Return this process's rank as the launcher says; 0 where it says nothing."""
    return _first(RANK_VARIABLES, environ, default=0)


def local_rank(environ: Mapping[str, str] | None = None) -> int:
    """Return the rank within the node as the launcher says; 0 where it says nothing."""
    return _first(LOCAL_RANK_VARIABLES, environ, default=0)


def local_size(environ: Mapping[str, str] | None = None) -> int:
    """Return the number of ranks on this node as the launcher says; 0 where nobody knows.

    Without a launcher there is one.
    """
    environ = os.environ if environ is None else environ
    if announced_size(environ) == 1:
        return 1
    node = environ.get("SLURM_NODEID", "")
    layout = environ.get("SLURM_STEP_TASKS_PER_NODE", "")
    tasks = [int(n) for n, times in _SLURM_LAYOUT.findall(layout) for _ in range(int(times or 1))]
    last = tasks[int(node)] if node.isdigit() and int(node) < len(tasks) else 0
    return _first(LOCAL_SIZE_VARIABLES, environ, default=last)


def say_before_abort(text: str) -> None:
    """Write to standard error what must be read although all ranks are ended right after.

    Parameters
    ----------
    text : str
        With the newline at its end.

    Notes
    -----
    A launcher that hears of an abort may leave without having read what ranks wrote just
    before: MPICH's lost all of it in 4 of 240 aborts on a busy machine. So it gets a
    moment to read, for which nobody waits but a job that is lost.
    """
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(text)
        sys.stderr.flush()
    if announced_size() > 1:
        time.sleep(_HEARD_AFTER_S)


def _first(variables: tuple[str, ...], environ: Mapping[str, str] | None, *, default: int) -> int:
    environ = os.environ if environ is None else environ
    values = (environ.get(variable, "") for variable in variables)
    return next((int(value) for value in values if value.isdigit()), default)
