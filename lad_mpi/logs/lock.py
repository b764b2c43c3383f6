"""One writer to an output, and a way to tell whether it still lives.

A run holds an advisory lock (flock) on a file beside its log, ``.NAME.lock``,
for as long as it writes. The kernel releases it when the process ends, however
it ends, so a lock is never left behind: a log that says ``running`` and whose
lock is free was killed.

NAME is that of the file itself, found through symbolic links. A hard link is
another name of the same file, which no path leads back from. So the writer also
marks the file: it holds a shared lock on one byte far behind the file's end
(an open file description lock, which does not meet HDF5's flock).
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

#: What file systems without locks answer, NFS and Lustre mounted without them.
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL)
#: ``struct flock``: type, whence, start, length, process.
_FLOCK = struct.Struct("hhqqi0q")
#: The byte that a writer marks.
_MARKED_BYTE = 2**62
_MOST_BYTES = 4096
_PATIENCE_S = 1.0


def lock_path(output: Path) -> Path:
    """Return the file whose lock stands for an output, whichever link names it."""
    output = real_path(output)
    return output.with_name(f".{output.name}.lock")


def real_path(output: Path) -> Path:
    """Follow symbolic links to the file itself, which need not exist."""
    return Path(os.path.realpath(output))


class WriterMark:
    """A mark on an open log that it is being written; the kernel removes it with the process.

    Parameters
    ----------
    descriptor : int
        Of the log. File systems that know no such locks are left unmarked.
    """

    def __init__(self, descriptor: int) -> None:
        # Opened anew, as the lock belongs to what was opened; and not by its name.
        self._descriptor = os.open(name_of(descriptor), os.O_RDONLY | os.O_CLOEXEC)
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, _marked_byte(fcntl.F_RDLCK))

    def release(self) -> None:
        """Remove the mark."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class OutputLock:
    """The right to write an output, held until :meth:`release`.

    Parameters
    ----------
    output : Path
        The log; its folder must exist.

    Attributes
    ----------
    is_held : bool
        False where the file system knows no locks: then nothing keeps a second
        run away, and nobody can tell a killed run from a living one.

    Raises
    ------
    UsageError
        Another run holds it.
    OSError
        The lock file cannot be made, or there is something else in its place.
    """

    def __init__(self, output: Path) -> None:
        self._path = lock_path(output)
        self._descriptor = -1
        self.is_held = False
        while not self._take(output):
            pass

    def release(self) -> None:
        """Give the output free and remove the lock file."""
        if self._descriptor < 0:
            return
        if self.is_held and _is_same(self._descriptor, self._path):
            # Removed while it is held: who opened it meanwhile sees that it is gone.
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
        """Release it."""
        self.release()

    def _take(self, output: Path) -> bool:
        """Try to take the lock; False where the file was removed under us."""
        # With the mode of the log, so that whoever may replace or read one may the other.
        self._descriptor = open_descriptor(self._path, os.O_RDWR | os.O_CREAT)
        if os.fstat(self._descriptor).st_nlink > 1:
            self._close()
            raise OSError(errno.EMLINK, f"{self._path.name} has another name", str(self._path))
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
                hint="wait until it has ended, end it, or give another output with -o",
            )
        if not _is_same(self._descriptor, self._path):
            self._close()
            return False
        self.is_held = True
        if _is_marked(output):
            self.release()
            raise UsageError(
                f"{output} is being written by another run, under another name of the file",
                hint="wait until it has ended, end it, or give another output with -o",
            )
        me = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "job": job_id(),
        }
        # A full disk spoils the note, not the lock.
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, json.dumps(me).encode(), 0)
        return True

    def _close(self) -> None:
        os.close(self._descriptor)
        self._descriptor = -1


def is_being_written(output: Path) -> bool | None:
    """Tell whether some run writes an output, under this name or another.

    Returns
    -------
    bool or None
        None if it cannot be told: the file system has no locks, or the reader may not
        open the lock.
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
    except (OSError, ValueError):  # The root folder has no name.
        return None
    try:
        # Shared, so that readers who look at the same time do not take each other for writers.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return False


def _flock(descriptor: int) -> bool:
    """Take a lock for oneself; wait a moment for readers, who only look whether it is held."""
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
