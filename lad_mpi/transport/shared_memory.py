"""Check that ``/dev/shm`` is large enough for MPI to start.

MPICH over UCX does not check it: if it is too small, ``MPI_Init`` crashes with SIGSEGV or
SIGBUS. Docker gives a container 64 MiB by default, enough for 9 ranks. Open MPI 5 needs
no check: it starts 17 ranks in 1 MiB.
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lad_mpi.errors import SharedMemoryError
from lad_mpi.launchers import local_size

if TYPE_CHECKING:
    from collections.abc import Mapping

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108
_MIB = 2**20
# Measured with the wheel of MPICH 5.0.2, and rounded up.
#: MPICH itself takes 1034 KiB per rank.
_MPICH_BYTES = 1040 * 2**10
#: UCX takes 4232 KiB per rank if it uses POSIX shared memory.
_UCX_BYTES = 4336 * 2**10
#: A rank uses POSIX shared memory if this much is free. If only some ranks do, they crash.
_UCX_LEAST_BYTES = 16 * _MIB
#: Values of UCX_TLS that include POSIX shared memory.
_POSIX = frozenset({"all", "posix", "shm", "sm", "mm"})
#: Ranks of one launch start within this time; older files belong to others.
_START_S = 60.0


def check_shared_memory(library: str, environ: Mapping[str, str] | None = None) -> None:
    """Refuse to start MPI if the shared memory of this host is too small for its ranks.

    Parameters
    ----------
    library : str
        The whole description of the MPI library.
    environ : mapping of str to str, optional
        Variables of the launcher; by default ``os.environ``.

    Raises
    ------
    SharedMemoryError
        MPI would crash. All ranks of the host come to the same result.
    """
    environ = os.environ if environ is None else environ
    ranks = local_size(environ)
    if ranks == 0 or not is_checked(library) or not SHARED_MEMORY.is_dir():
        return
    posix = uses_posix(library, environ)
    room = _room_bytes(needed_bytes(ranks, posix=posix))
    if fits(room, ranks, posix=posix):
        return
    fixes = ["give the container more (docker run --shm-size=1g)"]
    if posix and fits(room, ranks, posix=False):
        least = _need(ranks, posix=False)
        fixes.append(f"export UCX_TLS=^posix, which needs {least} only")
    if room < _size_bytes():
        fixes.append(f"remove files of dead jobs from {SHARED_MEMORY}")
    raise SharedMemoryError(
        f"{SHARED_MEMORY} on {socket.gethostname()} has {room // _MIB} MiB free, and MPI "
        f"needs {_need(ranks, posix=posix)} for {ranks} ranks on a host: it would crash",
        hint=", or ".join(fixes),
    )


def is_checked(library: str) -> bool:
    """Return whether the need of an MPI library is known: MPICH since version 4."""
    return library.startswith("MPICH") and "ch4:" in library


def uses_posix(library: str, environ: Mapping[str, str]) -> bool:
    """Return whether ranks exchange messages through POSIX shared memory of UCX."""
    devices = library.partition("ch4:")[2].split()
    device = environ.get("MPIR_CVAR_CH4_NETMOD") or devices[0].partition(",")[0]
    if device != "ucx":
        return False
    chosen = environ.get("UCX_TLS", "all")
    named = not _POSIX.isdisjoint(chosen.removeprefix("^").split(","))
    return named != chosen.startswith("^")


def needed_bytes(ranks: int, *, posix: bool) -> int:
    """Return the bytes that MPI needs to start this many ranks on one host."""
    if not posix:
        return ranks * _MPICH_BYTES
    # The last rank must still see enough free memory to choose POSIX as the others did.
    return ranks * _MPICH_BYTES + (ranks - 1) * _UCX_BYTES + _UCX_LEAST_BYTES + _MIB


def fits(room: int, ranks: int, *, posix: bool) -> bool:
    """Return whether MPI starts with ``room`` bytes of shared memory."""
    least = needed_bytes(ranks, posix=False)
    # Below UCX's least, no rank uses POSIX shared memory.
    return room >= needed_bytes(ranks, posix=posix) or least <= room < _UCX_LEAST_BYTES - _MIB


def _room_bytes(enough: int) -> int:
    """Return the free bytes or, if they are too few, the bytes free before this launch."""
    space = os.statvfs(SHARED_MEMORY)
    free = space.f_bavail * space.f_frsize
    if free >= enough:
        return free
    # Other ranks of this launch may have started, and their share must not count twice. UCX
    # unlinks its files at once, and those of MPICH are new.
    old = time.time() - _START_S
    held = 0
    for folder, _, names in os.walk(SHARED_MEMORY):
        for name in names:
            with contextlib.suppress(OSError):
                found = os.stat(os.path.join(folder, name), follow_symlinks=False)  # noqa: PTH116,PTH118
                held += 512 * found.st_blocks if found.st_mtime < old else 0
    return _size_bytes() - held


def _size_bytes() -> int:
    space = os.statvfs(SHARED_MEMORY)
    return space.f_blocks * space.f_frsize


def _need(ranks: int, *, posix: bool) -> str:
    return f"{math.ceil(needed_bytes(ranks, posix=posix) / _MIB)} MiB"
