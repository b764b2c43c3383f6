"""Test whether HDF5 and file locks work on a file system, with files and a second process.

``python -m lad_mpi.logs.probe FOLDER`` is the second process.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np

from lad_mpi.hdf5 import reason
from lad_mpi.launchers import module_words

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOG, _LOCK, _DATA = "probe.h5", "probe.lock", "rows"
_ROWS = 1000
_WRITTEN_BYTES = 2**20
_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Hdf5Facts:
    """Results of a test in a folder. An empty error means success.

    Parameters
    ----------
    folder : str
        The tested folder.
    version : str
        Version of the HDF5 library.
    write_error : str
        Error of writing a plain file.
    lock_error : str
        Error of ``flock``, with which a run locks its output.
    hdf5_error : str
        Error of creating an HDF5 file like a log.
    unlocked_error : str
        The same without HDF5's own file locks; only tested if ``hdf5_error`` is not empty.
    swmr_error : str
        Error of reading in a second process while this one writes.
    """

    folder: str
    version: str = h5py.version.hdf5_version
    write_error: str = ""
    lock_error: str = ""
    hdf5_error: str = ""
    unlocked_error: str = ""
    swmr_error: str = ""


def probe_hdf5(folder: Path, *, timeout_s: float = _TIMEOUT_S) -> Hdf5Facts:
    """Test in an existing folder what a run will do there.

    Parameters
    ----------
    folder : Path
        The folder. The test creates a hidden folder in it and removes it again.
    timeout_s : float
        Timeout of the second process in seconds.
    """
    try:
        place = Path(tempfile.mkdtemp(prefix=".lad-mpi-doctor-", dir=folder))
    except OSError as error:
        return Hdf5Facts(str(folder), write_error=reason(error))
    try:
        return _probe(folder, place, timeout_s)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _probe(folder: Path, place: Path, timeout_s: float) -> Hdf5Facts:
    try:
        _write_plain(place / "plain")
    except OSError as error:
        return Hdf5Facts(str(folder), write_error=reason(error))
    hdf5_error = _try_hdf5(place / "created.h5", locking=None)
    unlocked_error = _try_hdf5(place / "unlocked.h5", locking=False) if hdf5_error else ""
    lock_error, swmr_error = "", hdf5_error
    with _locked(place / _LOCK) as refusal:
        if hdf5_error:
            lock_error = refusal
        else:
            lock_error, swmr_error = _try_second_process(place, refusal, timeout_s)
    return Hdf5Facts(
        str(folder),
        lock_error=lock_error,
        hdf5_error=hdf5_error,
        unlocked_error=unlocked_error,
        swmr_error=swmr_error,
    )


def _write_plain(path: Path) -> None:
    with path.open("wb") as file:
        file.write(b"\0" * _WRITTEN_BYTES)
        file.flush()
        os.fsync(file.fileno())
    # Free the space for HDF5.
    path.unlink()


def _try_hdf5(path: Path, *, locking: bool | None) -> str:
    try:
        with h5py.File(path, "w", libver="latest", locking=locking) as file:
            file[_DATA] = np.arange(_ROWS)
        with h5py.File(path, "r", locking=locking) as file:
            same = np.array_equal(file[_DATA][:], np.arange(_ROWS))
    except (OSError, RuntimeError) as error:
        return reason(error)
    return "" if same else "the numbers read differ from the numbers written"


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[str]:
    """Hold a lock; yield the error if it cannot be taken."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            yield reason(error)
        else:
            yield ""


def _try_second_process(place: Path, refusal: str, timeout_s: float) -> tuple[str, str]:
    """Write while another process reads; return the errors of locks and of SWMR."""
    command = [*module_words("lad_mpi.logs.probe"), str(place)]
    try:
        with h5py.File(place / _LOG, "w", libver="latest") as file:
            rows = file.create_dataset(_DATA, (0,), maxshape=(None,), chunks=(64,), dtype="int64")
            file.swmr_mode = True
            _append(rows)
            with subprocess.Popen(  # noqa: S603
                command, bufsize=0, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            ) as reader:
                try:
                    first = _first_line(reader, timeout_s)
                    # The reader has opened the file and must now see it grow.
                    _append(rows)
                    answer, errors = reader.communicate(timeout=timeout_s)
                except subprocess.TimeoutExpired:
                    reader.kill()
                    return refusal, f"the reader did not answer within {timeout_s:g} s"
    except (OSError, RuntimeError) as error:
        return refusal, reason(error)
    try:
        answered = json.loads((first + answer).splitlines()[-1])
    except (ValueError, IndexError):
        words = errors.decode(errors="replace").split("\n")
        return refusal, next((word for word in reversed(words) if word.strip()), "no answer")
    shared = "" if answered["lock_is_held"] else "a second process could take a lock that was held"
    return refusal or shared, answered["swmr_error"]


def _first_line(process: subprocess.Popen[bytes], timeout_s: float) -> bytes:
    if process.stdout is None or not select.select([process.stdout], [], [], timeout_s)[0]:
        raise subprocess.TimeoutExpired(process.args, timeout_s)
    return process.stdout.readline()


def _append(rows: h5py.Dataset) -> None:
    first = len(rows)
    rows.resize(first + _ROWS, axis=0)
    rows[first:] = np.arange(first, first + _ROWS)
    rows.file.flush()


def _main() -> None:
    place = Path(sys.argv[1])
    answer = {"lock_is_held": _is_held(place / _LOCK), "swmr_error": _read(place / _LOG)}
    sys.stdout.write(json.dumps(answer))


def _is_held(path: Path) -> bool:
    with path.open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _read(path: Path) -> str:
    """Report that the file is open, then read until rows written after that appear."""
    deadline = time.monotonic() + _TIMEOUT_S / 2
    try:
        with h5py.File(path, "r", swmr=True) as file:
            rows = file[_DATA]
            sys.stdout.write("open\n")
            sys.stdout.flush()
            while True:
                rows.refresh()
                count = len(rows)
                if not np.array_equal(rows[:], np.arange(count)):
                    return "the reader saw numbers that differ from the numbers written"
                if count == 2 * _ROWS:
                    return ""
                if time.monotonic() > deadline:
                    return f"the reader saw {count} of {2 * _ROWS} rows"
                time.sleep(0.01)
    except (OSError, RuntimeError) as error:
        return reason(error)


if __name__ == "__main__":
    _main()
