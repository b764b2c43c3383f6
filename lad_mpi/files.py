"""Read and write files safely in folders that other users can write to.

Anyone who can write to a folder can put anything there: a link to a file elsewhere, a FIFO
without a writer, a file larger than memory. So this module reads only regular files. It
writes a file as a *draft*, a new file with a hidden name, which then replaces the file or
link with the final name. Writing never follows a link.

Drafts also make writing atomic. A draft is synced to disk before it gets its final name. So a
file with the final name is complete, even after a kill or a power failure.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader
    from pathlib import Path

#: Maximum size of a text file or a record.
MOST_TEXT_BYTES = 2**24
#: Random bytes in a draft's name, written as two hexadecimal digits each.
_TOKEN_BYTES = 4
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def open_regular(path: Path, *, follow_links: bool = True) -> BufferedReader:
    """Open a regular file for reading.

    Parameters
    ----------
    path : Path
        The file.
    follow_links : bool
        Whether ``path`` may be a symbolic link.

    Raises
    ------
    OSError
        The file cannot be opened, is not a regular file, or is a symbolic link and
        ``follow_links`` is False.
    """
    return os.fdopen(open_descriptor(path, os.O_RDONLY, follow_links=follow_links), "rb")


def open_descriptor(path: Path, flags: int, *, follow_links: bool = False) -> int:
    """Open a regular file as :func:`os.open` does, and return its descriptor.

    Raises
    ------
    OSError
        As for :func:`open_regular`.
    """
    # O_NONBLOCK: opening a FIFO without a writer must not block.
    flags |= os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags if follow_links else flags | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP and not follow_links:
            raise _not_followed(path) from error
        if error.errno == errno.ENXIO:  # A socket, or a FIFO opened for writing.
            raise _not_regular(path) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _not_regular(path)
    return descriptor


def name_of(descriptor: int) -> str:
    """Return a path that opens the file of a descriptor again, even if the file was renamed."""
    return f"/proc/self/fd/{descriptor}"


def read_bytes(
    path: Path, *, most_bytes: int = MOST_TEXT_BYTES, follow_links: bool = True
) -> bytes:
    """Read a whole file.

    Parameters
    ----------
    path : Path
        A regular file.
    most_bytes : int
        Maximum size.
    follow_links : bool
        Whether ``path`` may be a symbolic link.

    Raises
    ------
    OSError
        The file cannot be read, is not a regular file, or is too large.
    """
    with open_regular(path, follow_links=follow_links) as stream:
        content = stream.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise OSError(errno.EFBIG, f"is larger than {most_bytes} bytes", str(path))
    return content


def new_draft(path: Path) -> tuple[Path, int]:
    """Create the draft of a file, and remove drafts that a killed process has left.

    Parameters
    ----------
    path : Path
        The file. Only one process may write it at a time.

    Returns
    -------
    draft : Path
        Path of the draft, in the same folder. Its name cannot be guessed.
    descriptor : int
        Its descriptor, open for reading and writing.

    Raises
    ------
    OSError
        The draft cannot be created, or ``path`` is neither a regular file nor a link, but for
        example a device, which the draft would replace.
    """
    with contextlib.suppress(FileNotFoundError):
        mode = path.lstat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
            raise _not_regular(path)
    remove_drafts(path.parent, re.escape(path.name))
    draft = path.with_name(f".{path.name}.{secrets.token_hex(_TOKEN_BYTES)}.part")
    return draft, os.open(draft, _NEW, 0o666)


def remove_drafts(folder: Path, names: str) -> None:
    """Remove drafts that a killed process has left; ignore errors.

    Parameters
    ----------
    folder : Path
        Folder of the files.
    names : str
        A regular expression for the final names of the files.
    """
    left = re.compile(rf"\.(?:{names})\.[0-9a-f]{{{2 * _TOKEN_BYTES}}}\.part", re.DOTALL)
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if left.fullmatch(path.name):
                with contextlib.suppress(OSError):
                    path.unlink()


def longest_name(path: Path) -> Path:
    """Return a path with the length of the draft's path."""
    return path.with_name(f".{path.name}.{'0' * 2 * _TOKEN_BYTES}.part")


@contextlib.contextmanager
def whole_file(path: Path, *, text: bool = False) -> Iterator[IO[Any]]:
    """Open a file for writing, and replace ``path`` with it when the block ends without error.

    Parameters
    ----------
    path : Path
        The file. Only one process may write it at a time. If it is a link, the link is
        replaced.
    text : bool
        Write text, in UTF-8, instead of bytes.

    Raises
    ------
    OSError
        The file cannot be written. The previous file is kept.
    """
    draft, descriptor = new_draft(path)
    try:
        # Write bytes of file names that are not UTF-8 as escapes, which JSON understands.
        encoding, errors = ("utf-8", "backslashreplace") if text else (None, None)
        with os.fdopen(
            descriptor, "w" if text else "wb", encoding=encoding, errors=errors
        ) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        put_in_place(draft, path)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise


def put_in_place(draft: Path, path: Path) -> None:
    """Rename a synced draft to its final name atomically, and sync the folder."""
    draft.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Sync a folder's entries to disk; ignore errors, as some file systems cannot."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Create a folder and its parents, unless it exists.

    Raises
    ------
    OSError
        The folder cannot be created, or the name belongs to a file or a symbolic link.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if folder.is_symlink():
        raise _not_followed(folder)


def _not_followed(path: Path) -> OSError:
    return OSError(errno.ELOOP, "is a link, which is not allowed here", str(path))


def _not_regular(path: Path) -> OSError:
    return OSError(errno.EINVAL, "is not a regular file", str(path))
