"""The options, progress reports and outcome of a run."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from lad_mpi.errors import ExitCode


class Existing(Enum):
    """What to do if the log already exists.

    ``REFUSE`` keeps it and does not run. ``REPLACE`` replaces it. ``RESUME`` continues
    it after its last checkpoint, or starts a new log if there is none.
    """

    REFUSE = "refuse"
    REPLACE = "replace"
    RESUME = "resume"


class Progress(Protocol):
    """Shows the user the progress of a run."""

    def note(self, text: str) -> None:
        """Show a note."""

    def update(self, iteration: int, iterations: int, loss: float) -> None:
        """Show that ``iteration`` of ``iterations`` are done, and the latest loss."""


class NoProgress:
    """Shows nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""

    def update(self, iteration: int, iterations: int, loss: float) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended, the same on every rank.

    Parameters
    ----------
    status : {"complete", "interrupted", "failed"}
        Status, as in the log.
    failure : str
        Why the run did not complete; empty if it did.
    exit_code : ExitCode
        Exit code of a command that executes only this run.
    """

    status: str
    failure: str = ""
    exit_code: ExitCode = ExitCode.OK
