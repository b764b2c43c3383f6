"""Whether ``/dev/shm`` has room for what MPI puts there when it starts.

MPICH over UCX does not check: with too little, ranks end by SIGSEGV or SIGBUS in
``MPI_Init``. Containers are given 64 MiB unless they ask for more, which is enough for
9 ranks. Open MPI 5 does without: it starts 17 ranks in 1 MiB.
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
#: Measured with MPICH 5.0.2 of the wheel, and rounded up: 1034 KiB a rank by MPICH itself,
_MPICH_BYTES = 1040 * 2**10
#: 4232 KiB a rank by UCX, if it uses POSIX shared memory,
_UCX_BYTES = 4336 * 2**10
#: which each rank does if it sees this much free. It crashes if only some ranks see that.
_UCX_LEAST_BYTES = 16 * _MIB
#: UCX's names of what includes its POSIX shared memory.
_POSIX = frozenset({"all", "posix", "shm", "sm", "mm"})
#: Ranks of one launch start within this time. Older files are of others.
_START_S = 60.0


def check_shared_memory(library: str, environ: Mapping[str, str] | None = None) -> None:
    """Refuse to start MPI on a host whose shared memory is too small for its ranks.

    Parameters
    ----------
    library : str
        MPI's description of itself, in full.
    environ : mapping of str to str, optional
        What the launcher said; by default ``os.environ``.

    Raises
    ------
    SharedMemoryError
        MPI would crash. All ranks of this host find the same.
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
        fixes.append(f"export UCX_TLS=^posix, with which {least} are enough")
    if room < _size_bytes():
        fixes.append(f"remove what dead jobs left in {SHARED_MEMORY}")
    raise SharedMemoryError(
        f"{SHARED_MEMORY} on {socket.gethostname()} has {room // _MIB} MiB free, and MPI "
        f"needs {_need(ranks, posix=posix)} for {ranks} ranks on a host: it would crash",
        hint=", or ".join(fixes),
    )


def is_checked(library: str) -> bool:
    """Tell whether it is known what an MPI library needs: MPICH since version 4."""
    return library.startswith("MPICH") and "ch4:" in library


def uses_posix(library: str, environ: Mapping[str, str]) -> bool:
    """Tell whether ranks exchange messages through POSIX shared memory of UCX."""
    devices = library.partition("ch4:")[2].split()
    device = environ.get("MPIR_CVAR_CH4_NETMOD") or devices[0].partition(",")[0]
    if device != "ucx":
        return False
    chosen = environ.get("UCX_TLS", "all")
    named = not _POSIX.isdisjoint(chosen.removeprefix("^").split(","))
    return named != chosen.startswith("^")


def needed_bytes(ranks: int, *, posix: bool) -> int:
    """Return how much room ranks on one host need at the start of MPI."""
    if not posix:
        return ranks * _MPICH_BYTES
    # The last rank still has to see so much free that it does as the others.
    return ranks * _MPICH_BYTES + (ranks - 1) * _UCX_BYTES + _UCX_LEAST_BYTES + _MIB


def fits(room: int, ranks: int, *, posix: bool) -> bool:
    """Tell whether MPI starts with so much room, in bytes."""
    least = needed_bytes(ranks, posix=False)
    # With less than this no rank uses POSIX shared memory of UCX.
    return room >= needed_bytes(ranks, posix=posix) or least <= room < _UCX_LEAST_BYTES - _MIB


def _room_bytes(enough: int) -> int:
    """Return the bytes that are free; if too few, those that were free before this launch."""
    space = os.statvfs(SHARED_MEMORY)
    free = space.f_bavail * space.f_frsize
    if free >= enough:
        return free
    # Others of this launch may have begun, whose share is not to be counted twice. UCX takes
    # the names of its files away at once, and those of MPICH are new.
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
