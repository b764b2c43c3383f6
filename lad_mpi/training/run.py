"""Run a spec and write its log, on any number of ranks."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from contextlib import closing
from typing import TYPE_CHECKING

from lad_mpi.arrays import open_backend
from lad_mpi.errors import AgreedError, DataError, ExitCode
from lad_mpi.machine import describe_place
from lad_mpi.training.interrupt import InterruptRequest
from lad_mpi.training.iteration import Loop
from lad_mpi.training.outcome import Existing, NoProgress, Outcome, Progress
from lad_mpi.training.setup import prepare
from lad_mpi.transport import together

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lad_mpi.arrays import Backend
    from lad_mpi.spec import Spec
    from lad_mpi.training.output import Output
    from lad_mpi.training.setup import Setup
    from lad_mpi.transport import Link


def run_spec(
    spec: Spec,
    link: Link,
    path: Path,
    *,
    progress: Progress | None = None,
    existing: Existing = Existing.REFUSE,
    interrupt: InterruptRequest | None = None,
    remarks: Sequence[str] = (),
    names: Sequence[str] = (),
) -> Outcome:
    """Run a spec and write its log; all ranks call this together.

    If a run cannot start or continue, this function returns a failed outcome instead of
    raising, so that a study can go on with its next run. But an exception during an
    iteration on a rank other than the server propagates, because the ranks cannot agree
    there. The caller must then abort all ranks.

    Parameters
    ----------
    spec : Spec
        What to run.
    link : Link
        This rank and its connections.
    path : Path
        The log file.
    progress : Progress, optional
        Receives an update after every flush, on the server.
    existing : Existing
        What to do if the log already exists.
    interrupt : InterruptRequest, optional
        The open request of the command; by default the run opens its own.
    remarks : sequence of str
        Remarks on the environment of the run, for the log.
    names : sequence of str
        Labels for the log; by default the name of the spec.

    Returns
    -------
    Outcome
        How the run ended, the same on every rank.
    """
    link.set_timeout(spec.safety.timeout_s)
    progress = progress or NoProgress()
    try:
        with contextlib.ExitStack() as stack:
            # Open: the server locks the log for writing.
            output = together(link, lambda: _open_output(link, path, spec, existing, names))
            if output is not None:
                stack.callback(output.lock.release)
                _show(output.notes, progress)
            if link.share("complete" if output is not None and output.is_complete else ""):
                return Outcome("complete")

            # Prepare: every rank opens its backend and loads the data.
            setup = together(link, lambda: _prepare(spec, link))

            # Agree: on the data, that all could allocate memory, and on the first iteration.
            copies = together(link, lambda: _check_data(setup, output))
            _show(copies, progress)
            loop = together(link, lambda: stack.enter_context(closing(Loop(setup))))
            output = together(link, lambda: _pick_checkpoint(loop, output))
            if output is not None:
                _show(output.notes, progress)
            first = int(link.share("" if output is None else str(output.first_iteration)))
            interrupt = interrupt or stack.enter_context(InterruptRequest())
            ranks = link.gather_texts(describe_rank(setup.backend))
            loop.restore(first, None if output is None else output.checkpoint)

            # Iterate, checkpoint and finish.
            if output is None:
                loop.follow()
                outcome = Outcome("complete")
            else:
                # Imported here, so that only the server imports HDF5.
                from lad_mpi.training.lead import lead  # noqa: PLC0415

                outcome = lead(
                    loop,
                    output,
                    progress,
                    interrupt=interrupt,
                    ranks=ranks,
                    remarks=[*remarks, *copies],
                )
    except AgreedError as error:
        return Outcome("failed", str(error), error.exit_code)
    return _share(link, outcome)


def describe_rank(backend: Backend) -> str:
    """Return host, processors, device and BLAS threads of this rank as JSON."""
    return json.dumps({**describe_place(), "pid": os.getpid(), "device": backend.device_name})


def _open_output(
    link: Link, path: Path, spec: Spec, existing: Existing, names: Sequence[str]
) -> Output | None:
    if not link.is_server:
        return None
    # Imported here, so that only the server imports HDF5.
    from lad_mpi.training.output import open_output  # noqa: PLC0415

    return open_output(path, spec, existing, names)


def _prepare(spec: Spec, link: Link) -> Setup:
    return prepare(spec, link, open_backend(spec.backend.kind, spec.backend.dtype))


def _check_data(setup: Setup, output: Output | None) -> list[str]:
    """Check that all ranks have the same data; each host may have its own file.

    Returns
    -------
    list of str
        Remarks on hosts whose ranks do not share memory, on the server.

    Raises
    ------
    DataError
        The data differ between ranks, or have changed since the output was opened.
    """
    place = [setup.data_digest, socket.gethostname(), setup.data_remark]
    places = setup.link.gather_texts(json.dumps(place))
    if not setup.link.is_server:
        return []
    read = [json.loads(place) for place in places]
    other = next((rank for rank, (digest, *_) in enumerate(read) if digest != read[0][0]), None)
    if other is not None:
        raise DataError(
            f"the ranks read different data: rank 0 on {read[0][1]} has the digest "
            f"{read[0][0]}, rank {other} on {read[other][1]} has {read[other][0]}",
            hint="give every host the same file; a relative path starts from the working "
            "directory of each rank",
        )
    if output is not None and read[0][0] != output.identity.data_digest:
        raise DataError(
            f"the data changed while the run started: the digest was "
            f"{output.identity.data_digest} and is now {read[0][0]}",
            hint="start the run again",
        )
    return [
        f"ranks on {host} hold a copy of the data each, because they cannot share memory: {remark}"
        for host, remark in dict.fromkeys((host, remark) for _, host, remark in read if remark)
    ]


def _pick_checkpoint(loop: Loop, output: Output | None) -> Output | None:
    if output is None:
        return None
    from lad_mpi.training.output import pick_checkpoint  # noqa: PLC0415

    return pick_checkpoint(output, loop.layouts)


def _show(notes: Sequence[str], progress: Progress) -> None:
    for note in notes:
        progress.note(note)


def _share(link: Link, outcome: Outcome) -> Outcome:
    """Return the server's outcome on every rank."""
    text = link.share(json.dumps([outcome.status, outcome.failure, int(outcome.exit_code)]))
    status, failure, code = json.loads(text)
    return Outcome(status, failure, ExitCode(code))
