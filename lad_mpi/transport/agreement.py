"""All ranks go on, or all fail with the same message."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from lad_mpi.errors import AgreedError, ExitCode, LadError, told_errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from lad_mpi.transport.base import Link

_Made = TypeVar("_Made")


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


def from_server(link: Link, produce: Callable[[], str]) -> str:
    """Compute a text on the server and return it on all ranks.

    Parameters
    ----------
    link : Link
        This rank's; all ranks call this at the same point.
    produce : callable
        Called on the server.

    Raises
    ------
    LadError
        The error of ``produce``, on the server.
    AgreedError
        On the other ranks, if ``produce`` failed; it has the same exit code.
    """
    if not link.is_server:
        code, _, text = link.share("").partition("\n")
        if code:
            raise AgreedError("the server failed; rank 0 prints the error", ExitCode(int(code)))
        return text
    try:
        text = produce()
    except LadError as error:
        link.share(f"{int(error.exit_code)}\n")
        error.relayed = True
        raise
    link.share(f"\n{text}")
    return text
