"""Runs that failed before they had a log, noted beside where it would be."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from lad_mpi.files import read_bytes, whole_file

if TYPE_CHECKING:
    from pathlib import Path


_MOST_BYTES = 2**16


def failure_path(log: Path) -> Path:
    """Return the file that says why a run has no log."""
    return log.with_suffix(".failure.txt")


def note_failure(log: Path, reason: str) -> None:
    """Note why a run has no log, in one step; where nothing can be written, it is left."""
    with contextlib.suppress(OSError), whole_file(failure_path(log), text=True) as stream:
        stream.write(f"{reason}\n")


def read_failure(log: Path) -> str:
    """Return why a run has no log; empty where nothing is noted."""
    try:
        note = read_bytes(failure_path(log), most_bytes=_MOST_BYTES, follow_links=False)
        return note.decode("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def clear_failure(log: Path) -> None:
    """Remove the note."""
    with contextlib.suppress(OSError):
        failure_path(log).unlink()
