"""From a launcher's environment to a link, with the common mistakes caught."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from lad_mpi.errors import SharedMemoryError, TransportError
from lad_mpi.launchers import announced_size
from lad_mpi.transport.loopback import Loopback

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lad_mpi.transport.base import Link


def open_link(environ: Mapping[str, str] | None = None) -> Link:
    """Initialise MPI and return this rank's link; loopback where there is one rank.

    Raises
    ------
    TransportError
        The launcher started several ranks that do not find each other, MPI cannot be
        loaded although a launcher asks for it, or it would crash for lack of shared memory.
    """
    announced = announced_size(environ)
    try:
        mpi = importlib.import_module("lad_mpi.transport.mpi")
        comm = mpi.world()
    except (ImportError, RuntimeError) as error:
        if announced > 1:
            raise TransportError(
                f"the launcher started {announced} ranks, but MPI cannot be loaded: {error}",
                hint="load the MPI module of the launcher, or pip install 'lad_mpi[mpich]' "
                "and use its mpirun",
            ) from error
        return Loopback()
    except SharedMemoryError:
        if announced > 1:
            raise
        # One process can do without MPI.
        return Loopback()
    if comm.size > 1:
        link: Link = mpi.MpiLink(comm)
        return link
    if announced > 1:
        raise singletons(announced, mpi.library_version())
    return Loopback(mpi.library_version())


def singletons(announced: int, library: str) -> TransportError:
    """Describe ranks that were started together and do not know of each other."""
    return TransportError(
        f"the launcher started {announced} ranks, but each sees a world of its own "
        f"({library}): launcher and MPI library do not belong together",
        hint="use the mpirun beside this Python (python -m mpi4py --mpi-lib-version names the "
        "library), or srun with the --mpi plugin of that library (srun --mpi=list)",
    )
