"""One run from spec to log, on any number of ranks."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.arrays import open_backend
from lad_mpi.errors import ExitCode, LadError, RunFailedError, UsageError
from lad_mpi.training.interrupt import InterruptRequest
from lad_mpi.training.iteration import downlink_bytes
from lad_mpi.training.loop import Loop
from lad_mpi.training.outcome import Outcome, Progress
from lad_mpi.training.place import describe_rank
from lad_mpi.training.setup import Setup, prepare

if TYPE_CHECKING:
    from pathlib import Path

    from lad_mpi.spec import Spec
    from lad_mpi.transport import Link


def check_output(path: Path, *, overwrite: bool) -> None:
    """Refuse an output that is taken or cannot be written, before work is spent on it.

    Raises
    ------
    UsageError
        The file exists, or its folder cannot be written.
    """
    try:
        taken = path.exists()
        folder = next(folder for folder in path.absolute().parents if folder.exists())
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot write {path}: {error}", hint="give another name") from error
    if path.is_dir():
        raise UsageError(f"cannot write {path}: it is a folder", hint="give the name of a file")
    if taken and not overwrite:
        raise UsageError(
            f"{path} exists already and is kept",
            hint="give another output with -o, or replace it with --overwrite",
        )
    if not folder.is_dir():
        raise UsageError(f"cannot write {path}: {folder} is not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(
            f"cannot write {path}: {folder} is not writable",
            hint="give an output in a folder of yours with -o",
        )


def run_spec(
    spec: Spec,
    link: Link,
    output: Path,
    *,
    progress: Progress,
    overwrite: bool = False,
    interrupt: InterruptRequest | None = None,
) -> Outcome:
    """Run a spec and write its log; every rank of the world calls this together.

    A run that cannot start or go on is an outcome and not an exception, so
    that a study can go on with the next one. An exception on a rank that only
    hosts devices cannot be agreed on in the middle of an iteration: it leaves
    this function, and whoever called it has to end the world.

    Parameters
    ----------
    spec : Spec
        What to run.
    link : Link
        This rank's place in the world.
    output : Path
        The log file.
    progress : Progress
        Told about every flush, on the server.
    overwrite : bool
        Replace an existing log.
    interrupt : InterruptRequest, optional
        That of the command, already open; without it the run listens for itself.
    """
    setup, failure = _prepare(spec, link, output, overwrite=overwrite)
    refused = _agree(link, failure)
    if refused is not None or setup is None:
        return refused or Outcome("failed", "this rank has no setup", ExitCode.FAILED)
    outcome = Outcome("complete")
    places = link.gather_texts(describe_rank(setup.backend))
    exchange = setup.link.plan(
        setup.layout,
        setup.messages.slot_bytes,
        downlink_bytes(setup),
        lambda shape: np.zeros(shape, dtype=np.uint8),
    )
    listening = InterruptRequest() if interrupt is None else contextlib.nullcontext(interrupt)
    try:
        with listening as request:
            loop = Loop(setup, exchange)
            if link.is_server:
                # Only the server pays for importing HDF5.
                from lad_mpi.training.serve import serve  # noqa: PLC0415

                outcome = serve(
                    loop, output, places, progress, interrupt=request, overwrite=overwrite
                )
            else:
                loop.follow()
    finally:
        exchange.close()
    return _share(link, outcome)


def _prepare(
    spec: Spec, link: Link, output: Path, *, overwrite: bool
) -> tuple[Setup | None, LadError | None]:
    try:
        if link.is_server:
            check_output(output, overwrite=overwrite)
        backend = open_backend(spec.backend.kind, spec.backend.dtype)
        return prepare(spec, link, backend), None
    except LadError as error:
        return None, error
    except MemoryError as error:
        return None, RunFailedError(f"not enough memory for the data: {error}")


def _agree(link: Link, failure: LadError | None) -> Outcome | None:
    """Tell all ranks whether one of them could not prepare; the lowest of these speaks."""
    text = "" if failure is None else f"{int(failure.exit_code)} {failure}"
    texts = link.gather_texts(text)
    failed = [(rank, text) for rank, text in enumerate(texts) if text]
    if not failed:
        return None
    rank, text = failed[0]
    code, _, message = text.partition(" ")
    # What every rank meets alike is no matter of a rank.
    where = "" if len(failed) == link.size or rank == 0 else f"rank {rank}: "
    return Outcome("failed", where + message, ExitCode(int(code)))


def _share(link: Link, outcome: Outcome) -> Outcome:
    text = link.share(f"{outcome.status} {int(outcome.exit_code)} {outcome.failure}")
    status, code, failure = text.split(" ", 2)
    return Outcome(status, failure, ExitCode(int(code)))
