"""The server's part of a run: iterations, evaluation, log, checkpoints, and an end in order."""

from __future__ import annotations

import contextlib
import math
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.arrays import to_host
from lad_mpi.errors import ExitCode, LadError, told_errors
from lad_mpi.logs import STEP_METRICS, Axes, Continuation, FinalState, LogWriter, RunHeader
from lad_mpi.spec import to_toml
from lad_mpi.training.checkpoint import Checkpoint, Checkpoints
from lad_mpi.training.clock import PHASE_NAMES, TRAINING_PHASES, Phase
from lad_mpi.training.evaluate import Evaluator
from lad_mpi.training.iteration import Command
from lad_mpi.training.outcome import Outcome, Progress
from lad_mpi.training.provenance import provenance
from lad_mpi.training.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lad_mpi.doctor.gpu_probe import GpuTransfers
    from lad_mpi.training.interrupt import InterruptRequest
    from lad_mpi.training.iteration import Step
    from lad_mpi.training.loop import Loop
    from lad_mpi.training.server import Server
    from lad_mpi.training.setup import Setup
    from lad_mpi.training.start import Start


def serve(
    loop: Loop,
    server: Server,
    start: Start,
    header: RunHeader,
    progress: Progress,
    *,
    interrupt: InterruptRequest,
) -> Outcome:
    """Be the server of a run; whatever becomes of it, all ranks are told to stop.

    Parameters
    ----------
    loop : Loop
        This rank's part in the iterations.
    server : Server
        Holds the model.
    start : Start
        Where the run begins, and the right to write the log.
    header : RunHeader
        What is known of the run before it starts.
    progress : Progress
        Told at every flush.
    interrupt : InterruptRequest
        Looked at between iterations.
    """
    setup = loop.setup
    if start.checkpoint is not None:
        server.restore(start.checkpoint.model, start.checkpoint.rule_state)
    stopped = False
    try:
        # Within the log as well, so that it tells what the person is told.
        with told_errors(), _open_log(setup, server, start, header) as log, told_errors():
            # Newer ones are damaged, or of a run that was replaced; the next would count as older.
            newest = -1 if start.checkpoint is None else start.first_iteration
            Checkpoints(start.output).clear(after=newest)
            session = _Session(loop, server, log, start.identity.digest, progress)
            try:
                with told_errors():
                    # What overflows is noticed, and named, where it matters.
                    with np.errstate(over="ignore", invalid="ignore"):
                        session.iterate(interrupt)
                    if loop.done < setup.spec.iterations:
                        session.checkpoint()
            except LadError:
                stopped = True
                # That error is what the person must see; what went before it is kept.
                with contextlib.suppress(LadError, ValueError):
                    session.flush(Command.STOP)
                raise
            stopped = True
            session.flush(Command.STOP)
            return session.finish(interrupt)
    except LadError as error:
        if not stopped:
            loop.collect(Command.STOP, server)
        return Outcome("failed", str(error), error.exit_code)


class _Session:
    """One launch of a run, from the open log to its end."""

    def __init__(
        self, loop: Loop, server: Server, log: LogWriter, identity: str, progress: Progress
    ) -> None:
        self._loop = loop
        self._identity = identity
        self._server = server
        self._log = log
        self._progress = progress
        self._spec = loop.setup.spec
        self._evaluator = Evaluator(loop.setup)
        self._recorder = Recorder(
            log,
            loop.capacity,
            loop.done,
            (*STEP_METRICS, *server.metrics),
            uplink_bytes=self._spec.devices.count * loop.setup.messages.slot_bytes,
            downlink_bytes=loop.exchange.downlink.nbytes,
        )
        self._checkpoints = Checkpoints(log.path)
        self._saved = loop.done
        self._saved_at = monotonic()

    def iterate(self, interrupt: InterruptRequest) -> None:
        """Run iterations to the last one, or until a signal asks for the end."""
        loop, iterations = self._loop, self._spec.iterations
        loss = math.nan
        while loop.done < iterations and not interrupt.signal_name:
            step = loop.step(self._server)
            evaluated = self._evaluate(step)
            loss = evaluated.get("loss", loss)
            evaluated |= self._server.reported
            self._recorder.add(evaluated, step.refusals, self._server.decoder_status)
            loop.commit()
            if self._is_due():
                self.checkpoint()
            elif loop.pending == loop.capacity:
                self.flush(Command.FLUSH)
            if loop.pending == 0:
                self._progress.update(loop.done, iterations, loss)

    def flush(self, command: Command) -> None:
        """Bring all records to the log."""
        self._recorder.flush(self._loop.collect(command, self._server))

    def checkpoint(self) -> None:
        """Bring all records to the log, and the state of all ranks to a checkpoint."""
        seconds, residuals = self._loop.collect_state(self._server)
        # The log first: a checkpoint must not be ahead of it.
        self._recorder.flush(seconds)
        self._log.sync()
        self._checkpoints.save(
            Checkpoint(
                self._loop.done,
                self._log.uuid,
                self._identity,
                to_host(self._server.model),
                self._server.rule_state,
                residuals,
            )
        )
        self._saved, self._saved_at = self._loop.done, monotonic()

    def finish(self, interrupt: InterruptRequest) -> Outcome:
        """Close the log with the outcome."""
        loop = self._loop
        if loop.done < self._spec.iterations:
            done = f"by {interrupt.signal_name} after {loop.done} iterations"
            self._log.finish("interrupted", failure=done)
            return Outcome("interrupted", f"interrupted {done}", ExitCode.CHECKPOINTED)
        errors = self._evaluator.at_model(self._server.model)
        self._log.finish("complete", state=FinalState(to_host(self._server.model), errors))
        self._checkpoints.clear()
        # The last update came after the last evaluation: this is the loss of the final model.
        self._progress.update(loop.done, self._spec.iterations, errors["loss"])
        return Outcome("complete")

    def _is_due(self) -> bool:
        safety, done = self._spec.safety, self._loop.done
        if done == self._spec.iterations:
            return False
        every, every_s = safety.checkpoint_every, safety.checkpoint_every_s
        return (every > 0 and done - self._saved >= every) or (
            every_s > 0 and monotonic() - self._saved_at >= every_s
        )

    def _evaluate(self, step: Step) -> dict[str, float]:
        done, spec = self._loop.done, self._spec
        if done % spec.logging.evaluate_every and done + 1 < spec.iterations:
            return {}
        with self._loop.clock(Phase.EVALUATE):
            return self._evaluator.at_step(step)


def run_header(
    setup: Setup,
    start: Start,
    places: list[str],
    transfers: GpuTransfers,
    remarks: Sequence[str],
) -> RunHeader:
    """Return what is known of a run before its first iteration.

    Parameters
    ----------
    setup : Setup
        The run on the server.
    start : Start
        Where this launch begins.
    places, transfers, remarks
        As for :func:`~lad_mpi.training.provenance.provenance`.
    """
    return RunHeader(
        names=start.names,
        spec_toml=to_toml(setup.spec),
        identity=start.identity.digest,
        data_digest=start.identity.data_digest or "",
        packages=start.identity.packages,
        provenance=provenance(setup, places, transfers, remarks),
    )


def _open_log(setup: Setup, server: Server, start: Start, header: RunHeader) -> LogWriter:
    spec = setup.spec
    return LogWriter(
        start.output,
        header=header,
        axes=Axes(
            setup.link.size,
            PHASE_NAMES,
            TRAINING_PHASES,
            spec.logging.warmup_iterations,
            (*STEP_METRICS, *server.metrics),
        ),
        dimension=setup.problem.dimension,
        dtype=setup.backend.dtype,
        swmr=spec.logging.swmr,
        overwrite=start.replaces,
        continuation=Continuation(start.first_iteration) if start.earlier else None,
        lock=start.lock,
    )
