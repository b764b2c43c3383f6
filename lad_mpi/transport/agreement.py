"""All ranks go on, or all fail with the same message."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from lad_mpi.errors import ExitCode, LadError, told_errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from lad_mpi.transport.base import Link

_Made = TypeVar("_Made")


class AgreedError(LadError):
    """An error that every rank raises, because one of them could not go on.

    Parameters
    ----------
    message : str
        That of the lowest rank that failed, hint included.
    exit_code : ExitCode
        That of its error.
    """

    def __init__(self, message: str, exit_code: ExitCode) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.relayed = True


def together(link: Link, act: Callable[[], _Made]) -> _Made:
    """Act on every rank, and fail on every rank if one of them fails.

    Parameters
    ----------
    link : Link
        This rank's; all ranks call this at the same point.
    act : callable
        This rank's part. It may use collectives of the link.

    Returns
    -------
    object
        What ``act`` returned on this rank.

    Raises
    ------
    AgreedError
        An error meant for people was raised on one rank or more.
    """
    made: list[_Made] = []
    failure = ""
    try:
        with told_errors():
            made.append(act())
    except LadError as error:
        failure = f"{int(error.exit_code)} {error}"
    failures = link.gather_texts(failure)
    failed = [rank for rank, text in enumerate(failures) if text]
    if not failed:
        return made[0]
    first = failed[0]
    code, _, message = failures[first].partition(" ")
    # If all ranks fail, or the server does, its number would only mislead.
    where = "" if len(failed) == link.size or first == 0 else f"rank {first}: "
    raise AgreedError(where + message, ExitCode(int(code)))
