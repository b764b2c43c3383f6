"""Runs that failed before they had a log, noted beside where it would be."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def failure_path(log: Path) -> Path:
    """Return the file that says why a run has no log."""
    return log.with_suffix(".failure.txt")


def note_failure(log: Path, reason: str) -> None:
    """Note why a run has no log, in one step; where nothing can be written, it is left."""
    path = failure_path(log)
    new = path.with_name(f".{path.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        new.write_text(f"{reason}\n", encoding="utf-8")
        new.replace(path)


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
