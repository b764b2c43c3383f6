"""Opening files in folders that others may write to, and files that are whole under their name.

Whoever can write to a folder can put anything there under any name: a link to a file
elsewhere, a FIFO that nobody writes to, a file that is larger than memory. So files are
opened here. A file is read only if it is a regular one. A file is written as a *draft*, a new
file under a hidden name, which then replaces the file or link that has the final name. Writing
never follows a link.

Drafts also keep files whole. What is half written after a kill, or lost with the power
although a later file is there, is worse than what is missing. So a draft is brought to the
disk before it gets the final name.
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

#: What a text that a person writes, or a record, has at most.
MOST_TEXT_BYTES = 2**24
#: Bytes of the random part of a draft's name; two hexadecimal digits each.
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
        It cannot be opened, or is a FIFO, a device, a folder or, if these are not
        followed, a link.
    """
    return os.fdopen(open_descriptor(path, os.O_RDONLY, follow_links=follow_links), "rb")


def open_descriptor(path: Path, flags: int, *, follow_links: bool = False) -> int:
    """Open a regular file as :func:`os.open` does, and return its descriptor.

    Raises
    ------
    OSError
        As for :func:`open_regular`.
    """
    # A FIFO without a writer opens at once.
    flags |= os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags if follow_links else flags | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP and not follow_links:
            raise _not_followed(path) from error
        if error.errno == errno.ENXIO:  # A socket, or a FIFO that is to be written.
            raise _not_regular(path) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _not_regular(path)
    return descriptor


def name_of(descriptor: int) -> str:
    """Return a name of an open file, under which it can be opened again whatever its path is."""
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
        A larger file is refused.
    follow_links : bool
        Whether ``path`` may be a symbolic link.

    Raises
    ------
    OSError
        It cannot be read, is not a regular file, or is too large.
    """
    with open_regular(path, follow_links=follow_links) as stream:
        content = stream.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise OSError(errno.EFBIG, f"is larger than {most_bytes} bytes", str(path))
    return content


def new_draft(path: Path) -> tuple[Path, int]:
    """Make the hidden file beside ``path`` in which it is written.

    Drafts that a kill has left are removed.

    Parameters
    ----------
    path : Path
        The file. Only one process may write it at a time.

    Returns
    -------
    draft : Path
        Its name, which cannot be guessed.
    descriptor : int
        Open for reading and writing.

    Raises
    ------
    OSError
        It cannot be made, or there is something under ``path`` that is neither a regular
        file nor a link, such as a device, which the draft would replace.
    """
    with contextlib.suppress(FileNotFoundError):
        mode = path.lstat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
            raise _not_regular(path)
    remove_drafts(path.parent, re.escape(path.name))
    draft = path.with_name(f".{path.name}.{secrets.token_hex(_TOKEN_BYTES)}.part")
    return draft, os.open(draft, _NEW, 0o666)


def remove_drafts(folder: Path, names: str) -> None:
    """Remove what a kill has left of writing files; what cannot be removed stays.

    Parameters
    ----------
    folder : Path
        Where the files are, or would be.
    names : str
        A regular expression for their names.
    """
    left = re.compile(rf"\.(?:{names})\.[0-9a-f]{{{2 * _TOKEN_BYTES}}}\.part", re.DOTALL)
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if left.fullmatch(path.name):
                with contextlib.suppress(OSError):
                    path.unlink()


def longest_name(path: Path) -> Path:
    """Return a path as long as that of the draft of a file."""
    return path.with_name(f".{path.name}.{'0' * 2 * _TOKEN_BYTES}.part")


@contextlib.contextmanager
def whole_file(path: Path, *, text: bool = False) -> Iterator[IO[Any]]:
    """Open a file for writing that replaces ``path`` when the block ends well.

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
        It cannot be written; what was there before is still there.
    """
    draft, descriptor = new_draft(path)
    try:
        # Escapes, which JSON has as well, stand for bytes of file names that are not UTF-8.
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
    """Give a file that is on the disk its name, in one step, and bring the name to the disk."""
    draft.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk; not every file system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder in one that others may write to; its parents are made as well.

    Raises
    ------
    OSError
        It cannot be made, or there is something else under that name, for instance a link
        to another folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if folder.is_symlink():
        raise _not_followed(folder)


def _not_followed(path: Path) -> OSError:
    return OSError(errno.ELOOP, "is a link, which is not followed here", str(path))


def _not_regular(path: Path) -> OSError:
    return OSError(errno.EINVAL, "is not a regular file", str(path))
