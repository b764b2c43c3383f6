"""Commands that run on all ranks together: they agree, and no rank is left waiting."""

from __future__ import annotations

import contextlib
import time
import traceback
from typing import TYPE_CHECKING

from lad_mpi.doctor import cheap_checks, refuse_unfit
from lad_mpi.errors import (
    ExitCode,
    LadError,
    RelayedError,
    SharedMemoryError,
    TransportError,
)
from lad_mpi.launchers import announced_rank, announced_size, local_rank, say_before_abort
from lad_mpi.terminal import describe
from lad_mpi.training.interrupt import InterruptRequest
from lad_mpi.transport import open_link

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lad_mpi.spec import Spec
    from lad_mpi.transport import Link

_FAILED = "!"
_FINE = "+"
#: For how long ranks that cannot speak leave the word to the first one.
_PAUSE_S = 2.0


@contextlib.contextmanager
def whole_world(*, verbose: bool = False) -> Iterator[tuple[Link, InterruptRequest]]:
    """Open the link, and end all ranks if an exception leaves this one.

    Without that the others would wait for this rank forever.

    Parameters
    ----------
    verbose : bool
        Show where in the code an error arose.
    """
    with InterruptRequest() as interrupt:
        try:
            link = _open_link()
            with _ending_all(link, verbose=verbose):
                yield link, interrupt
                link.close()
        finally:
            if announced_size() > 1 or interrupt.signal_name:
                interrupt.ignore_late()


def _open_link() -> Link:
    try:
        return open_link()
    except TransportError as error:
        # Of another host the first rank may know nothing.
        if isinstance(error, SharedMemoryError) and announced_rank() > 0 and local_rank() == 0:
            say_before_abort(f"lad-mpi: error: {error}\n")
        # Launchers end all ranks when the first one leaves, perhaps before the message is out.
        if announced_rank() > 0:
            time.sleep(_PAUSE_S)
        raise


@contextlib.contextmanager
def _ending_all(link: Link, *, verbose: bool) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        if link.size == 1 or (isinstance(error, LadError) and error.relayed):
            raise
        trace = traceback.format_exc() if verbose else ""
        say_before_abort(f"{trace}lad-mpi: error on rank {link.rank}: {describe(error)}\n")
        link.abort(int(ExitCode.FAILED))


def inspect_place(link: Link, folder: Path, spec: Spec | None = None, *, force: bool) -> list[str]:
    """Make the doctor's cheap checks, and refuse what is fatal unless forced.

    Parameters
    ----------
    link : Link
        Of this rank; all ranks call this together.
    folder : Path
        Where logs will go.
    spec : Spec, optional
        The run, to know how much it writes.
    force : bool
        Go on all the same.

    Returns
    -------
    list of str
        What was found, for the log.

    Raises
    ------
    UnfitError
        A run could not be trusted.
    """
    findings = cheap_checks(link, folder, spec)
    if not force:
        refuse_unfit(findings)
    return [f"{finding.severity.label}: {finding.check}: {finding.found}" for finding in findings]


def on_server(link: Link, produce: Callable[[], str]) -> str:
    """Compute a text on the server and return it on all ranks.

    Raises
    ------
    LadError
        What ``produce`` raised, on the server; on the other ranks one of the
        same exit code, whose message nobody prints.
    """
    if not link.is_server:
        verdict, _, text = link.share("").partition("\n")
        if verdict.startswith(_FAILED):
            raise RelayedError(ExitCode(int(verdict[1:])))
        return text
    try:
        text = produce()
    except LadError as error:
        link.share(f"{_FAILED}{int(error.exit_code)}\n")
        error.relayed = True
        raise
    link.share(f"{_FINE}\n{text}")
    return text
