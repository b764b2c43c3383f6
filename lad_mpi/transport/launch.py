"""Load MPI if possible: open the link of this rank, and describe the MPI library."""

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
    """Initialise MPI and return the link of this rank; a loopback if there is one rank.

    Parameters
    ----------
    environ : mapping of str to str, optional
        Variables of the launcher; by default ``os.environ``.

    Raises
    ------
    TransportError
        The launcher started several ranks, and they do not find each other, MPI cannot be
        loaded, or MPI would crash because shared memory is too small.
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
        return Loopback()
    if comm.size > 1:
        link: Link = mpi.MpiLink(comm)
        return link
    library: str = mpi.library_version()
    if announced > 1:
        raise TransportError(
            f"the launcher started {announced} ranks, but each sees only itself ({library}): "
            "the launcher does not match the MPI library",
            hint="use the mpirun beside this Python (python -m mpi4py --mpi-lib-version names "
            "the library), or srun with the --mpi plugin of that library (srun --mpi=list)",
        )
    return Loopback(library)


def describe_mpi() -> dict[str, str]:
    """Load MPI without initialising it, and return what the library reports.

    Returns
    -------
    dict of str to str
        See :func:`lad_mpi.transport.mpi.describe`; only ``error`` if MPI cannot be loaded.
    """
    try:
        mpi = importlib.import_module("lad_mpi.transport.mpi")
    except (ImportError, RuntimeError) as error:
        return {"error": " ".join(str(error).split())}
    found: dict[str, str] = mpi.describe()
    return found
