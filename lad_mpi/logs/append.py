"""How fast HDF5 takes rows on a file system, in a file as a log is."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from time import perf_counter

import h5py
import numpy as np

from lad_mpi.errors import UsageError
from lad_mpi.files import name_of
from lad_mpi.hdf5 import reason

_COLUMNS = 1024


def time_appends(folder: Path, block_bytes: int, repeats: int) -> list[float]:
    """Append blocks of float64 rows to a chunked dataset, and flush after each.

    Parameters
    ----------
    folder : Path
        On the file system in question; the file is removed again.
    block_bytes : int
        Of a block; rounded to rows of 8 KiB.
    repeats : int
        Timed blocks, after one that is not timed.

    Returns
    -------
    list of float
        Seconds of each block, extension and flush included. What the system
        keeps in memory before it writes is in its discretion, as for a log.

    Raises
    ------
    UsageError
        The folder cannot be written.
    """
    rows = max(1, block_bytes // (8 * _COLUMNS))
    block = np.zeros((rows, _COLUMNS))
    times_s = []
    try:
        number, name = tempfile.mkstemp(prefix=".lad-mpi-baseline-", suffix=".h5", dir=folder)
    except OSError as error:
        raise UsageError(f"cannot write in {folder}: {reason(error)}") from error
    try:
        with h5py.File(name_of(number), "w", libver="latest", locking="best-effort") as file:
            data = file.create_dataset(
                "rows",
                (0, _COLUMNS),
                maxshape=(None, _COLUMNS),
                chunks=(rows, _COLUMNS),
                dtype="f8",
            )
            for repeat in range(repeats + 1):
                start = perf_counter()
                data.resize(rows * (repeat + 1), axis=0)
                data[rows * repeat :] = block
                file.flush()
                if repeat:
                    times_s.append(perf_counter() - start)
    except OSError as error:
        raise UsageError(f"HDF5 cannot write in {folder}: {reason(error)}") from error
    finally:
        os.close(number)
        with contextlib.suppress(OSError):
            Path(name).unlink()
    return times_s
