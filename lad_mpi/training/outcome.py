"""How a run ends, and whom it tells on the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from lad_mpi.errors import ExitCode


class Progress(Protocol):
    """Shown to a person while a run goes on."""

    def note(self, text: str) -> None:
        """Tell something that a person should know."""

    def update(self, iteration: int, iterations: int, loss: float) -> None:
        """Tell that ``iteration`` of ``iterations`` are done, with the last evaluated loss."""


class NoProgress:
    """Shown to nobody."""

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
        Why it did not complete; empty where it did.
    exit_code : ExitCode
        What a command that does only this run ends with.
    """

    status: str
    failure: str = ""
    exit_code: ExitCode = ExitCode.OK
