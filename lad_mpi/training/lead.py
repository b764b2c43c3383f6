"""Lead a run on the server: iterations, evaluation, log, checkpoints and the end."""

from __future__ import annotations

import contextlib
import math
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.arrays import to_host
from lad_mpi.errors import ExitCode, LadError, told_errors
from lad_mpi.logs import STEP_METRICS, Axes, Continuation, FinalState, LogWriter, RunHeader
from lad_mpi.metrics import names
from lad_mpi.spec import to_toml
from lad_mpi.training.checkpoint import Checkpoint, Checkpoints
from lad_mpi.training.clock import PHASE_NAMES, TRAINING_PHASES, Phase
from lad_mpi.training.evaluate import Evaluator, model_metrics
from lad_mpi.training.iteration import Command
from lad_mpi.training.outcome import Outcome, Progress
from lad_mpi.training.provenance import provenance
from lad_mpi.training.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lad_mpi.training.interrupt import InterruptRequest
    from lad_mpi.training.iteration import Loop, Step
    from lad_mpi.training.output import Output
    from lad_mpi.training.server import Server
    from lad_mpi.training.setup import Setup
    from lad_mpi.types import Metric


def lead(
    loop: Loop,
    output: Output,
    progress: Progress,
    *,
    interrupt: InterruptRequest,
    ranks: list[str],
    remarks: Sequence[str] = (),
) -> Outcome:
    """Lead a run to its end. In case of a ``LadError``, stop all ranks.

    Parameters
    ----------
    loop : Loop
        The iterations, on the server.
    output : Output
        The log's path and lock, and the checkpoint to start from.
    progress : Progress
        Receives an update after every flush.
    interrupt : InterruptRequest
        Checked between iterations.
    ranks : list of str
        :func:`~lad_mpi.training.run.describe_rank` of every rank.
    remarks : sequence of str
        Remarks on the environment of the run, for the log.

    Returns
    -------
    Outcome
        How the run ended.

    Raises
    ------
    RuntimeError
        This rank is not the server.
    """
    if loop.server is None:
        raise RuntimeError("only the server leads")
    metrics = (*STEP_METRICS, *model_metrics(loop.setup.objective), *loop.server.metrics)
    stopped = False
    try:
        # The inner told_errors() converts an error before the log records it; the outer one
        # converts errors of the log itself.
        with (
            told_errors(),
            _open_log(loop.setup, output, metrics, ranks, remarks) as log,
            told_errors(),
        ):
            # Newer checkpoints are damaged or belong to a replaced run.
            newest = -1 if output.checkpoint is None else output.first_iteration
            Checkpoints(output.path).clear(after=newest)
            launch = _Launch(
                loop,
                loop.server,
                log,
                identity=output.identity.digest,
                metrics=metrics,
                progress=progress,
            )
            try:
                with told_errors():
                    # The server and the evaluator check for overflow themselves.
                    with np.errstate(over="ignore", invalid="ignore"):
                        launch.iterate(interrupt)
                        state = launch.final_state()
                    if state is None:
                        launch.checkpoint()
            except LadError:
                if not loop.can_stop:
                    raise
                stopped = True
                # Keep the records so far, but show the first error.
                with contextlib.suppress(LadError, ValueError):
                    launch.flush(Command.STOP)
                raise
            stopped = True
            launch.flush(Command.STOP)
            return launch.finish(interrupt, state)
    except LadError as error:
        if not loop.can_stop:
            # The other servers wait in a collective. Whoever catches this ends all ranks.
            raise
        if not stopped:
            loop.collect(Command.STOP)
        return Outcome("failed", str(error), error.exit_code)


class _Launch:
    """One launch of a run, from the opened log to the end."""

    def __init__(
        self,
        loop: Loop,
        server: Server,
        log: LogWriter,
        *,
        identity: str,
        metrics: Sequence[Metric],
        progress: Progress,
    ) -> None:
        self._loop = loop
        self._identity = identity
        self._server = server
        self._log = log
        self._progress = progress
        self._spec = loop.setup.spec
        self._evaluator = Evaluator(loop.setup, server.expected_dispersion)
        self._recorder = Recorder(
            log,
            loop.capacity,
            loop.done,
            metrics,
            uplink_bytes=self._spec.devices.count * loop.setup.messages.message_bytes,
            downlink_bytes=loop.exchange.downlink.nbytes,
        )
        self._checkpoints = Checkpoints(log.path)
        self._saved = loop.done
        self._saved_at = monotonic()

    def iterate(self, interrupt: InterruptRequest) -> None:
        """Iterate to the last iteration, or until a signal asks the run to stop."""
        loop, iterations = self._loop, self._spec.iterations
        loss = math.nan
        while loop.done < iterations and not interrupt.signal_name:
            _, step = loop.iterate()
            if step is None:
                raise RuntimeError("an iteration on the server returned no step")
            evaluated = self._evaluate(step)
            loss = evaluated.get(names.LOSS, loss)
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
        """Broadcast a command, and write all records to the log."""
        self._recorder.flush(self._loop.collect(command))

    def checkpoint(self) -> None:
        """Write all records to the log, and the state of all ranks to a checkpoint."""
        seconds, arrays = self._loop.collect_state()
        # Write the log first: a checkpoint must not be ahead of it.
        self._recorder.flush(seconds)
        self._log.sync()
        self._checkpoints.save(
            Checkpoint(
                self._loop.done,
                self._log.uuid,
                self._identity,
                arrays,
            )
        )
        self._saved, self._saved_at = self._loop.done, monotonic()

    def final_state(self) -> FinalState | None:
        """Evaluate the final model; return None if iterations are left to do."""
        if self._loop.done < self._spec.iterations:
            return None
        evaluated = self._loop.evaluate(updated=True)
        model = self._loop.model
        return FinalState(to_host(model).copy(), self._evaluator.at_model(model, evaluated))

    def finish(self, interrupt: InterruptRequest, state: FinalState | None) -> Outcome:
        """Close the log with the outcome."""
        loop = self._loop
        if state is None:
            done = f"by {interrupt.signal_name} after {loop.done} iterations"
            self._log.finish("interrupted", failure=done)
            return Outcome("interrupted", f"interrupted {done}", ExitCode.CHECKPOINTED)
        self._log.finish("complete", state=state)
        self._checkpoints.clear()
        # The last iteration was evaluated before its update, so show the final model's loss.
        self._progress.update(loop.done, self._spec.iterations, state.metrics[names.LOSS])
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
        if step.measured is None:
            return {}
        with self._loop.clock(Phase.EVALUATE):
            evaluated = self._loop.evaluate(updated=False)
            return self._evaluator.at_step(step.measured, self._loop.model, evaluated)


def _open_log(
    setup: Setup,
    output: Output,
    metrics: Sequence[Metric],
    ranks: list[str],
    remarks: Sequence[str],
) -> LogWriter:
    spec = setup.spec
    return LogWriter(
        output.path,
        header=RunHeader(
            names=output.names,
            spec_toml=to_toml(spec),
            identity=output.identity.digest,
            data_digest=output.identity.data_digest or "",
            packages=output.identity.packages,
            provenance=provenance(setup, ranks, remarks),
        ),
        axes=Axes(
            setup.link.size,
            PHASE_NAMES,
            TRAINING_PHASES,
            spec.logging.warmup_iterations,
            tuple(metrics),
        ),
        dimension=setup.dimension,
        dtype=setup.backend.dtype,
        swmr=spec.logging.swmr,
        overwrite=output.replaces,
        continuation=Continuation(output.first_iteration) if output.earlier else None,
        lock=output.lock,
    )
