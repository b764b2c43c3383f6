"""Runs that failed before they had a log, noted beside where it would be."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from lad_mpi.files import open_regular, whole_file

if TYPE_CHECKING:
    from pathlib import Path

#: Of a note that is read; what is longer is cut.
_MOST_BYTES = 2**16


def failure_path(log: Path) -> Path:
    """Return the file that says why a run has no log."""
    return log.with_suffix(".failure.txt")


def note_failure(log: Path, reason: str) -> None:
    """Note why a run has no log, in one step; where nothing can be written, it is left."""
    with contextlib.suppress(OSError), whole_file(failure_path(log), text=True) as stream:
        stream.write(f"{reason}\n")


def read_failure(log: Path) -> str:
    """Return why a run has no log; empty if nothing is noted that can be read."""
    try:
        with open_regular(failure_path(log), follow_links=False) as stream:
            return stream.read(_MOST_BYTES).decode(errors="replace").strip()
    except OSError:
        return ""


def clear_failure(log: Path) -> None:
    """Remove the note."""
    with contextlib.suppress(OSError):
        failure_path(log).unlink()
