"""One run from spec to log, on any number of ranks."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from lad_mpi.arrays import open_backend, to_host
from lad_mpi.errors import ExitCode, LadError, RunFailedError, UsageError
from lad_mpi.logs import FinalState, LogWriter, RunHeader
from lad_mpi.spec import spec_hash, to_toml
from lad_mpi.training.clock import PHASE_NAMES, TRAINING_PHASES, Clock, Phase
from lad_mpi.training.device import DeviceBlock
from lad_mpi.training.evaluate import Evaluator
from lad_mpi.training.interrupt import InterruptRequest
from lad_mpi.training.iteration import Command, announce, downlink_bytes, iterate
from lad_mpi.training.provenance import describe_rank, provenance
from lad_mpi.training.recorder import Recorder
from lad_mpi.training.server import Server
from lad_mpi.training.setup import Setup, prepare

if TYPE_CHECKING:
    from pathlib import Path

    from lad_mpi.spec import Spec
    from lad_mpi.training.iteration import Step
    from lad_mpi.transport import Exchange, Link


class Progress(Protocol):
    """Shown to a person while a run goes on."""

    def update(self, iteration: int, iterations: int, loss: float) -> None:
        """Tell that ``iteration`` of ``iterations`` are done, with the last evaluated loss."""


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
            if link.is_server:
                outcome = _serve(
                    setup,
                    exchange,
                    output,
                    places,
                    progress,
                    interrupt=request,
                    overwrite=overwrite,
                )
            else:
                _Loop(setup, exchange).work()
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


def _serve(
    setup: Setup,
    exchange: Exchange,
    output: Path,
    places: list[str],
    progress: Progress,
    *,
    interrupt: InterruptRequest,
    overwrite: bool,
) -> Outcome:
    """Be the server; whatever happens, all ranks are told to stop."""
    loop = _Loop(setup, exchange)
    server = Server(setup)
    try:
        log = _open_log(setup, output, places, overwrite=overwrite)
        with log:
            loop.serve(server, log, progress, interrupt)
            if interrupt.signal_name:
                done = f"by {interrupt.signal_name} after {loop.done} iterations"
                log.finish("interrupted", failure=done)
                return Outcome("interrupted", f"interrupted {done}", ExitCode.FAILED)
            errors = Evaluator(setup).at_model(server.model)
            log.finish("complete", state=FinalState(to_host(server.model), **errors))
            return Outcome("complete")
    except LadError as error:
        if not loop.stopped:
            loop.stop(server)
        return Outcome("failed", str(error), error.exit_code)


class _Loop:
    """The iterations of a run, and the flushes between them, in step on all ranks."""

    def __init__(self, setup: Setup, exchange: Exchange) -> None:
        self.done = 0
        self.stopped = False
        self._setup = setup
        self._exchange = exchange
        self._total = setup.spec.iterations
        self._capacity = min(setup.spec.logging.flush_every, self._total)
        self._devices = DeviceBlock(setup) if setup.link.hosts_devices else None
        self._clock = Clock(
            self._capacity,
            is_server=setup.link.is_server,
            hosts_devices=setup.link.hosts_devices,
            synchronize=setup.backend.synchronize,
        )

    def serve(
        self, server: Server, log: LogWriter, progress: Progress, interrupt: InterruptRequest
    ) -> None:
        """Drive all iterations from the server, then stop all ranks."""
        setup = self._setup
        recorder = Recorder(
            log,
            self._capacity,
            uplink_bytes=setup.spec.devices.count * setup.messages.slot_bytes,
            downlink_bytes=self._exchange.downlink.nbytes,
        )
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                self._iterate_all(server, recorder, progress, interrupt)
        except LadError:
            # The error is what the person must see, and what went before it is kept.
            with contextlib.suppress(LadError, ValueError):
                recorder.flush(self.stop(server))
            raise
        recorder.flush(self.stop(server))

    def work(self) -> None:
        """Follow the server's commands on a rank that hosts devices."""
        with np.errstate(over="ignore", invalid="ignore"):
            while True:
                command, _ = iterate(
                    self.done,
                    self._setup,
                    self._exchange,
                    self._clock,
                    server=None,
                    devices=self._devices,
                )
                if command == Command.STOP:
                    break
                self._advance()
        self._setup.link.collect(self._clock.table)

    def stop(self, server: Server) -> np.ndarray:
        """Tell all ranks to stop and collect what their clocks still hold."""
        self.stopped = True
        announce(Command.STOP, self._setup, self._exchange, server)
        seconds = self._setup.link.collect(self._clock.table)
        if seconds is None:
            raise RunFailedError("only the server stops a run")
        return seconds

    def _iterate_all(
        self, server: Server, recorder: Recorder, progress: Progress, interrupt: InterruptRequest
    ) -> None:
        evaluator = Evaluator(self._setup)
        loss = np.nan
        while self.done < self._total and not interrupt.signal_name:
            _, step = iterate(
                self.done,
                self._setup,
                self._exchange,
                self._clock,
                server=server,
                devices=self._devices,
            )
            if step is None:
                raise RunFailedError("the server saw no step")
            evaluated = self._evaluate(evaluator, step)
            loss = evaluated.get("loss", loss)
            recorder.add(
                evaluated,
                {
                    "messages_rejected": step.num_rejected,
                    "decoder_status": int(server.decoder_status),
                },
            )
            seconds = self._advance()
            if seconds is not None:
                recorder.flush(seconds)
                progress.update(self.done, self._total, float(loss))

    def _evaluate(self, evaluator: Evaluator, step: Step) -> dict[str, float]:
        due = self.done % self._setup.spec.logging.evaluate_every == 0
        if not due and self.done + 1 < self._total:
            return {}
        with self._clock(Phase.EVALUATE):
            return evaluator.at_step(step)

    def _advance(self) -> np.ndarray | None:
        """Close an iteration; at a flush, return every rank's clock on the server."""
        slot = self.done % self._capacity
        self._clock.commit(slot)
        self.done += 1
        if slot + 1 < self._capacity:
            return None
        return self._setup.link.collect(self._clock.table)


def _open_log(setup: Setup, output: Path, places: list[str], *, overwrite: bool) -> LogWriter:
    spec = setup.spec
    return LogWriter(
        output,
        header=RunHeader(
            name=spec.name,
            spec_toml=to_toml(spec),
            spec_hash=spec_hash(spec),
            provenance=provenance(spec, setup.link, places),
        ),
        ranks=setup.link.size,
        phases=PHASE_NAMES,
        training_phases=TRAINING_PHASES,
        dimension=setup.problem.dimension,
        dtype=setup.backend.dtype,
        swmr=spec.logging.swmr,
        overwrite=overwrite,
        warmup_iterations=spec.logging.warmup_iterations,
    )


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
