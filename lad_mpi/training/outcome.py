"""What a caller of a run chooses, is told on the way, and gets in the end."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from lad_mpi.errors import ExitCode


class Existing(Enum):
    """What becomes of a log that exists already.

    ``REFUSE`` keeps it and does not run. ``REPLACE`` replaces it. ``RESUME`` continues
    it after its last checkpoint, and starts a new log if there is none.
    """

    REFUSE = "refuse"
    REPLACE = "replace"
    RESUME = "resume"


class Progress(Protocol):
    """Shows a person how a run proceeds."""

    def note(self, text: str) -> None:
        """Show something that the person should know."""

    def update(self, iteration: int, iterations: int, loss: float) -> None:
        """Show that ``iteration`` of ``iterations`` are done, and the last evaluated loss."""


class NoProgress:
    """Shows nothing."""

    def note(self, text: str) -> None:
        """Ignore it."""

    def update(self, iteration: int, iterations: int, loss: float) -> None:
        """Ignore it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended, the same on every rank.

    Parameters
    ----------
    status : {"complete", "interrupted", "failed"}
        As in the log.
    failure : str
        Why it did not complete; empty if it did.
    exit_code : ExitCode
        What a command that does only this run ends with.
    """

    status: str
    failure: str = ""
    exit_code: ExitCode = ExitCode.OK
