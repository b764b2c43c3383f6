"""Runs that failed before they had a log, noted beside where it would be."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from lad_mpi.files import whole_file

if TYPE_CHECKING:
    from pathlib import Path


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
        return failure_path(log).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def clear_failure(log: Path) -> None:
    """Remove the note."""
    with contextlib.suppress(OSError):
        failure_path(log).unlink()
