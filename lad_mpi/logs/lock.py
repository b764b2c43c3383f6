"""Lock an output for one writer, and find out whether a writer is alive.

While a run writes, it holds an advisory lock (flock) on a file beside its log,
``.NAME.lock``. The kernel releases the lock when the process ends for any reason. So if a
log has the status ``running`` and its lock is free, its run was killed.

NAME is the name of the log after symbolic links are resolved. Hard links cannot be resolved.
So the writer also marks the log: it holds a shared lock on one byte far after the end of the
file. This is an open file description lock, which does not conflict with HDF5's flock.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import struct
from datetime import datetime, timezone
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING

from lad_mpi.errors import UsageError
from lad_mpi.files import name_of, open_descriptor
from lad_mpi.launchers import job_id

if TYPE_CHECKING:
    from types import TracebackType

#: Errors of file systems without locks, for example NFS or Lustre mounted without them.
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL)
#: ``struct flock``: type, whence, start, length, process.
_FLOCK = struct.Struct("hhqqi0q")
#: The byte that a writer marks.
_MARKED_BYTE = 2**62
_MOST_BYTES = 4096
_PATIENCE_S = 1.0


def lock_path(output: Path) -> Path:
    """Return the lock file of an output, with symbolic links resolved."""
    output = real_path(output)
    return output.with_name(f".{output.name}.lock")


def real_path(output: Path) -> Path:
    """Resolve symbolic links. The file need not exist."""
    return Path(os.path.realpath(output))


class WriterMark:
    """Marks an open log as being written. The kernel removes the mark if the process ends.

    Parameters
    ----------
    descriptor : int
        Descriptor of the log. Without support for such locks, the log gets no mark.
    """

    def __init__(self, descriptor: int) -> None:
        # The lock belongs to an open file description, so open the same file again.
        self._descriptor = os.open(name_of(descriptor), os.O_RDONLY | os.O_CLOEXEC)
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, _marked_byte(fcntl.F_RDLCK))

    def release(self) -> None:
        """Remove the mark."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class OutputLock:
    """The lock of an output, held until :meth:`release`.

    Parameters
    ----------
    output : Path
        The log; its folder must exist.

    Attributes
    ----------
    is_held : bool
        False if the file system does not support locks. Then a second run is not kept from
        writing, and a killed run looks like a running one.

    Raises
    ------
    UsageError
        Another run holds the lock.
    OSError
        The lock file cannot be created, is not a regular file, or has a hard link.
    """

    def __init__(self, output: Path) -> None:
        self._path = lock_path(output)
        self._descriptor = -1
        self.is_held = False
        while not self._take(output):
            pass

    def release(self) -> None:
        """Release the lock and remove the lock file."""
        if self._descriptor < 0:
            return
        if self.is_held and _is_same(self._descriptor, self._path):
            # Remove the file before releasing the lock. A process that opened it in the
            # meantime then finds that it was removed, and starts again.
            with contextlib.suppress(OSError):
                self._path.unlink()
        os.close(self._descriptor)
        self._descriptor = -1
        self.is_held = False

    def __enter__(self) -> OutputLock:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def _take(self, output: Path) -> bool:
        """Try to take the lock; return False if the file was removed in the meantime."""
        # The lock file has the mode of the log, so the same users can open both.
        self._descriptor = open_descriptor(self._path, os.O_RDWR | os.O_CREAT)
        if os.fstat(self._descriptor).st_nlink > 1:
            self._close()
            raise OSError(errno.EMLINK, f"{self._path.name} has a hard link", str(self._path))
        try:
            taken = _flock(self._descriptor)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return True
            self._close()
            raise
        if not taken:
            holder = os.pread(self._descriptor, _MOST_BYTES, 0)
            self._close()
            raise UsageError(
                f"{output} is being written by another run{_describe(holder)}",
                hint="wait until it ends, stop it, or choose another output with -o",
            )
        if not _is_same(self._descriptor, self._path):
            self._close()
            return False
        self.is_held = True
        if _is_marked(output):
            self.release()
            raise UsageError(
                f"{output} is being written by another run through a hard link",
                hint="wait until it ends, stop it, or choose another output with -o",
            )
        holder_note = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "job": job_id(),
        }
        # The note only serves messages: if the disk is full, go on without it.
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, json.dumps(holder_note).encode(), 0)
        return True

    def _close(self) -> None:
        os.close(self._descriptor)
        self._descriptor = -1


def is_being_written(output: Path) -> bool | None:
    """Return whether a run writes an output, under this name or through another link.

    Returns
    -------
    bool or None
        None if unknown: the file system has no locks, or the lock file cannot be opened.
    """
    return True if _is_marked(output) else _is_locked(output)


def _is_marked(output: Path) -> bool:
    try:
        descriptor = open_descriptor(output, os.O_RDONLY, follow_links=True)
    except OSError:
        return False
    try:
        answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _marked_byte(fcntl.F_WRLCK))
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)


def _marked_byte(kind: int) -> bytes:
    return _FLOCK.pack(kind, os.SEEK_SET, _MARKED_BYTE, 1, 0)


def _is_locked(output: Path) -> bool | None:
    try:
        descriptor = open_descriptor(lock_path(output), os.O_RDONLY)
    except FileNotFoundError:
        return False
    except (OSError, ValueError):  # ValueError: the root folder has no name.
        return None
    try:
        # A shared lock, so that concurrent readers do not mistake each other for writers.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return False


def _flock(descriptor: int) -> bool:
    """Take an exclusive lock; wait a moment, because readers hold it briefly to test it."""
    deadline_s = monotonic() + _PATIENCE_S
    while not _try_flock(descriptor):
        if monotonic() > deadline_s:
            return False
        sleep(_PATIENCE_S / 10)
    return True


def _try_flock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_same(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _describe(note: bytes) -> str:
    try:
        holder = json.loads(note)
        job = f", job {holder['job']}" if holder["job"] else ""
        return f" (process {holder['pid']} on {holder['host']}{job}, since {holder['since']})"
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
