"""Measure how fast HDF5 appends rows to a file like a log."""

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
        A folder on the file system to measure. The file is removed afterwards.
    block_bytes : int
        Size of a block, rounded down to rows of 8 KiB.
    repeats : int
        Number of timed blocks, after one block that is not timed.

    Returns
    -------
    list of float
        Seconds per block, including extension and flush. As for a log, the operating
        system may keep data in its cache.

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
