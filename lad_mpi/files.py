"""Files that are whole under their name, or are not there.

What is half written after a kill, or lost with the power although a later file
is there, is worse than what is missing. So a file is written under another
name, brought to the disk, renamed, and its new name brought to the disk.
"""

from __future__ import annotations

import contextlib
import os
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def draft_of(path: Path) -> Path:
    """Return the hidden name beside a file under which it is written."""
    return path.with_name(f".{path.name}.part")


@contextlib.contextmanager
def whole_file(path: Path, *, text: bool = False) -> Iterator[IO[Any]]:
    """Open a file for writing that replaces ``path`` when the block ends well.

    Parameters
    ----------
    path : Path
        The file. Only one process may write it at a time.
    text : bool
        Write text, in UTF-8, instead of bytes.

    Raises
    ------
    OSError
        It cannot be written; what was there before is still there.
    """
    draft = draft_of(path)
    try:
        # Escapes, which JSON has as well, stand for bytes of file names that are not UTF-8.
        encoding, errors = ("utf-8", "backslashreplace") if text else (None, None)
        with draft.open("w" if text else "wb", encoding=encoding, errors=errors) as stream:
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
