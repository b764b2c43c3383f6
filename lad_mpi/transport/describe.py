"""What the MPI library says of itself, where there is one."""

from __future__ import annotations

import importlib


def describe_mpi() -> dict[str, str]:
    """Return :func:`lad_mpi.transport.mpi.describe`, or ``error`` alone where MPI cannot be loaded.

    That loads MPI, and does not initialise it.
    """
    try:
        mpi = importlib.import_module("lad_mpi.transport.mpi")
    except (ImportError, RuntimeError) as error:
        return {"error": " ".join(str(error).split())}
    found: dict[str, str] = mpi.describe()
    return found
