"""One run from spec to log, on any number of ranks."""

from __future__ import annotations

import contextlib
import socket
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from lad_mpi.arrays import open_backend
from lad_mpi.errors import DataError, ExitCode, LadError, told_errors
from lad_mpi.training.checkpoint import arrays_of
from lad_mpi.training.existing import Existing
from lad_mpi.training.interrupt import InterruptRequest
from lad_mpi.training.iteration import downlink_bytes
from lad_mpi.training.loop import Loop
from lad_mpi.training.outcome import NoProgress, Outcome, Progress
from lad_mpi.training.place import describe_rank
from lad_mpi.training.server import Server
from lad_mpi.training.setup import Setup, prepare
from lad_mpi.training.transfers import agree_on_transfers
from lad_mpi.transport import EmulatedExchange, StagedExchange

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from lad_mpi.doctor.gpu_probe import GpuTransfers
    from lad_mpi.spec import Spec
    from lad_mpi.training.start import Start
    from lad_mpi.transport import Exchange, Link

_Made = TypeVar("_Made")


def run_spec(
    spec: Spec,
    link: Link,
    output: Path,
    *,
    progress: Progress | None = None,
    existing: Existing = Existing.REFUSE,
    interrupt: InterruptRequest | None = None,
    remarks: Sequence[str] = (),
    names: Sequence[str] = (),
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
    progress : Progress, optional
        Told about every flush, on the server.
    existing : Existing
        What becomes of a log that exists already.
    interrupt : InterruptRequest, optional
        That of the command, already open; without it the run listens for itself.
    remarks : sequence of str
        What the log should say about the place of the run.
    names : sequence of str
        Labels that the log gets; that of the spec if left out.
    """
    link.set_timeout(spec.safety.timeout_s)
    progress = progress or NoProgress()
    with contextlib.ExitStack() as stack:
        start, refused = _together(link, lambda: _open_output(link, output, spec, existing, names))
        if start is not None:
            stack.callback(start.lock.release)
        if refused is not None:
            return refused
        if _tell(link, start, progress, "complete" if start and start.is_complete else ""):
            return Outcome("complete")
        # Before this rank opens its GPU, which others may then not be able to.
        transfers = agree_on_transfers(spec, link)
        setup, refused = _together(link, lambda: _prepare(spec, link))
        if refused is not None or setup is None:
            return refused or Outcome("failed", "this rank has no setup", ExitCode.FAILED)
        _, refused = _together(link, partial(_check_data, setup, start))
        if refused is not None:
            return refused
        start, refused = _together(link, partial(_pick_checkpoint, setup, start))
        if refused is not None:
            return refused
        first = "" if start is None else str(start.first_iteration)
        first_iteration = int(_tell(link, start, progress, first))
        listening = InterruptRequest() if interrupt is None else contextlib.nullcontext(interrupt)
        request = stack.enter_context(listening)
        outcome = _train(
            setup,
            transfers,
            start,
            first_iteration,
            progress=progress,
            interrupt=request,
            remarks=remarks,
        )
    return _share(link, outcome)


def _open_output(
    link: Link, output: Path, spec: Spec, existing: Existing, names: Sequence[str]
) -> Start | None:
    if not link.is_server:
        return None
    # Only the server pays for importing HDF5.
    from lad_mpi.training.start import open_output  # noqa: PLC0415

    return open_output(output, spec, existing, names)


def _prepare(spec: Spec, link: Link) -> Setup:
    return prepare(spec, link, open_backend(spec.backend.kind, spec.backend.dtype))


def _check_data(setup: Setup, start: Start | None) -> None:
    """Compare the data of all ranks, which may have read copies of their own.

    Raises
    ------
    DataError
        They differ, or have changed since the run was identified.
    """
    places = setup.link.gather_texts(f"{setup.problem.digest} {socket.gethostname()}")
    if not setup.link.is_server:
        return
    read = [place.split(" ") for place in places]
    other = next((rank for rank, (digest, _) in enumerate(read) if digest != read[0][0]), None)
    if other is not None:
        raise DataError(
            f"the ranks read different data: rank 0 on {read[0][1]} has the digest "
            f"{read[0][0]}, rank {other} on {read[other][1]} has {read[other][0]}",
            hint="give every host the same file; a relative path starts from the working "
            "directory of each rank",
        )
    if start is not None and read[0][0] != start.identity.data_digest:
        raise DataError(
            f"the data changed while the run started: the digest was "
            f"{start.identity.data_digest} and is {read[0][0]}",
            hint="start it again",
        )


def _pick_checkpoint(setup: Setup, start: Start | None) -> Start | None:
    if start is None:
        return None
    from lad_mpi.training.start import pick_checkpoint  # noqa: PLC0415

    return pick_checkpoint(start, arrays_of(setup))


def _tell(link: Link, start: Start | None, progress: Progress, word: str) -> str:
    """Tell the person the notes about a start, and all ranks a word of the server."""
    if start is not None:
        for note in start.notes:
            progress.note(note)
    return link.share(word)


def _train(
    setup: Setup,
    transfers: GpuTransfers,
    start: Start | None,
    first_iteration: int,
    *,
    progress: Progress,
    interrupt: InterruptRequest,
    remarks: Sequence[str],
) -> Outcome:
    """Run the iterations, from the first one that is missing."""
    link = setup.link
    places = link.gather_texts(describe_rank(setup.backend))
    with contextlib.ExitStack() as stack:
        made, refused = _together(link, lambda: _allocate(setup, transfers, first_iteration, stack))
        if refused is not None or made is None:
            return refused or Outcome("failed", "this rank has no buffers", ExitCode.FAILED)
        loop, server = made
        if first_iteration > 0:
            checkpoint = None if start is None else start.checkpoint
            loop.restore(None if checkpoint is None else checkpoint.residuals)
        if start is None or server is None:
            loop.follow()
            return Outcome("complete")
        # Only the server pays for importing HDF5.
        from lad_mpi.training.serve import run_header, serve  # noqa: PLC0415

        header = run_header(setup, start, places, transfers, remarks)
        return serve(loop, server, start, header, progress, interrupt=interrupt)


def _allocate(
    setup: Setup, transfers: GpuTransfers, first_iteration: int, stack: contextlib.ExitStack
) -> tuple[Loop, Server | None]:
    """Take the memory that this rank needs as long as the run lasts."""
    exchange = stack.enter_context(contextlib.closing(_plan(setup, transfers)))
    return Loop(setup, exchange, first_iteration), Server(setup) if setup.link.is_server else None


def _plan(setup: Setup, transfers: GpuTransfers) -> Exchange:
    spec, link, backend = setup.spec, setup.link, setup.backend
    direct = transfers.kind == "direct"
    allocate = backend.xp.zeros if direct else backend.host_buffer
    exchange = link.plan(
        setup.layout,
        setup.messages.slot_bytes,
        downlink_bytes(setup),
        lambda shape: allocate(shape, "uint8"),
    )
    if not (direct or setup.copies_vectors or backend.on_host):
        exchange = StagedExchange(exchange, backend)
    network = spec.network.emulate
    if network is None:
        return exchange
    return EmulatedExchange(exchange, network, spec.devices.count, meet=link.meet)


def _together(link: Link, act: Callable[[], _Made]) -> tuple[_Made | None, Outcome | None]:
    """Let every rank do its part, and tell all where one of them could not."""
    made: _Made | None = None
    failure: LadError | None = None
    try:
        with told_errors():
            made = act()
    except LadError as error:
        failure = error
    return made, _agree(link, failure)


def _agree(link: Link, failure: LadError | None) -> Outcome | None:
    """Tell all ranks whether one of them failed; the lowest of these speaks."""
    text = "" if failure is None else f"{int(failure.exit_code)} {failure}"
    texts = link.gather_texts(text)
    failed = [(rank, text) for rank, text in enumerate(texts) if text]
    if not failed:
        return None
    rank, text = failed[0]
    code, _, message = text.partition(" ")
    # A failure that all ranks share is not that of one rank.
    where = "" if len(failed) == link.size or rank == 0 else f"rank {rank}: "
    return Outcome("failed", where + message, ExitCode(int(code)))


def _share(link: Link, outcome: Outcome) -> Outcome:
    text = link.share(f"{outcome.status} {int(outcome.exit_code)} {outcome.failure}")
    status, code, failure = text.split(" ", 2)
    return Outcome(status, failure, ExitCode(int(code)))
