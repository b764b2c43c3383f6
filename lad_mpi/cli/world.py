"""Run a command on all ranks: open the link, end all ranks on an error, agree on results."""

from __future__ import annotations

import contextlib
import time
import traceback
from typing import TYPE_CHECKING

from lad_mpi.doctor import cheap_checks, refuse_unfit
from lad_mpi.errors import (
    ExitCode,
    LadError,
    SharedMemoryError,
    TransportError,
)
from lad_mpi.launchers import announced_rank, announced_size, local_rank, say_before_abort
from lad_mpi.terminal import describe
from lad_mpi.training.interrupt import InterruptRequest
from lad_mpi.transport import open_link

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lad_mpi.spec import Spec
    from lad_mpi.transport import Link

#: How long other ranks wait while rank 0 prints an error that all ranks have.
_PAUSE_S = 2.0


@contextlib.contextmanager
def whole_world(*, verbose: bool = False) -> Iterator[tuple[Link, InterruptRequest]]:
    """Open the link, and end all ranks if this one raises an exception.

    Otherwise the other ranks would wait for this one.

    Parameters
    ----------
    verbose : bool
        Whether to print tracebacks.

    Yields
    ------
    Link, InterruptRequest
        The link of this rank, and the signals that asked the command to stop.
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
        # Rank 0 prints the error of its own host only.
        if isinstance(error, SharedMemoryError) and announced_rank() > 0 and local_rank() == 0:
            say_before_abort(f"lad-mpi: error: {error}\n")
        # A launcher ends all ranks as soon as one ends, so wait until rank 0 has printed.
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
    """Run the doctor's cheap checks on all ranks together; stop if a finding is fatal.

    Parameters
    ----------
    link : Link
        Of this rank.
    folder : Path
        Folder of the logs.
    spec : Spec, optional
        The run, for the size of its log.
    force : bool
        Whether to run despite fatal findings.

    Returns
    -------
    list of str
        The findings, for the log.

    Raises
    ------
    UnfitError
        A finding is fatal, and ``force`` is not set.
    """
    findings = cheap_checks(link, folder, spec)
    if not force:
        refuse_unfit(findings)
    return [f"{finding.severity.label}: {finding.check}: {finding.found}" for finding in findings]
