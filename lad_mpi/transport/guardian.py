"""Somebody who speaks for a rank that was killed or crashed, under MPICH's launcher.

A process that the kernel ends has no last word. MPICH's launcher (hydra) notices
that one is gone, ends all others within a millisecond, and names one of them, often
not the first. Other launchers name the right one, so nothing is done there.

So each rank starts a small process beside itself (``last_word.py``) before MPI is.
Three things make its word right, whatever the load of the machine and the number of nodes:

- It holds the rank's ends of the pipes and the socket by which hydra notices a death.
  Hydra learns of it when this process has spoken, and all others live until then.
- It is in the rank's process group. Hydra ends ranks by a SIGKILL to their groups, so of a
  rank that hydra ends nobody speaks; nor does anything stay behind.
- It reads the signal from the kernel, which keeps it until hydra asks, newer ones (Linux
  6.15) longer: if the machine is so busy that hydra comes first. A rank that
  exits, in order or with an error that it has told itself, is none of its business.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lad_mpi.launchers import announced_rank, hydra_descriptor
from lad_mpi.transport.last_word import MPI_IS_UP

if TYPE_CHECKING:
    from collections.abc import Mapping

_PROGRAM = Path(__file__).with_name("last_word.py")
#: All that a Python of a module or an environment may need to start. Nothing by which
#: others would take it for a rank.
_KEPT_VARIABLES = ("LD_LIBRARY_PATH",)


class Guardian:
    """The process that speaks for this one if it is killed or crashes.

    Make it before MPI is initialised. That takes about a millisecond. It ends by itself
    when this process ends.

    Parameters
    ----------
    environ : Mapping of str to str, optional
        What the launcher said; by default ``os.environ``.

    Attributes
    ----------
    process : int
        Its number; 0 where hydra is not the launcher or the system cannot have one. Then
        a rank that dies is named by the launcher, if at all.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        self.process = 0
        descriptor = hydra_descriptor(environ)
        if descriptor is None or not hasattr(os, "pidfd_open") or not sys.executable:
            return
        # A kernel without handles of processes, or no place for one more: then without it.
        with contextlib.suppress(OSError):
            handle = os.pidfd_open(os.getpid())
            try:
                os.set_inheritable(handle, True)
                self.process = _spawn(announced_rank(environ), handle, descriptor, environ)
            finally:
                os.close(handle)

    def tell_that_mpi_is_up(self) -> None:
        """Say that from now on an end without one of MPI must end all ranks."""
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process, MPI_IS_UP)


def _spawn(rank: int, handle: int, descriptor: int, environ: Mapping[str, str]) -> int:
    numbers = (rank, os.getpid(), handle, descriptor)
    program = [sys.executable, "-I", "-S", str(_PROGRAM), *map(str, numbers)]
    kept = {name: environ[name] for name in _KEPT_VARIABLES if name in environ}
    # Signals that are meant for ranks reach their groups: it must not die of them.
    return os.posix_spawn(sys.executable, program, kept, setsigmask=signal.valid_signals())
