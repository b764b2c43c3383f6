"""The server's part of a run: iterations, evaluation, log, and an end in order."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.arrays import to_host
from lad_mpi.errors import ExitCode, LadError
from lad_mpi.logs import FinalState, LogWriter, RunHeader
from lad_mpi.spec import spec_hash, to_toml
from lad_mpi.training.clock import PHASE_NAMES, TRAINING_PHASES, Phase
from lad_mpi.training.evaluate import Evaluator
from lad_mpi.training.iteration import Command
from lad_mpi.training.outcome import Outcome, Progress
from lad_mpi.training.provenance import provenance
from lad_mpi.training.recorder import Recorder
from lad_mpi.training.server import Server

if TYPE_CHECKING:
    from pathlib import Path

    from lad_mpi.training.interrupt import InterruptRequest
    from lad_mpi.training.iteration import Step
    from lad_mpi.training.loop import Loop
    from lad_mpi.training.setup import Setup


def serve(
    loop: Loop,
    output: Path,
    places: list[str],
    progress: Progress,
    *,
    interrupt: InterruptRequest,
    overwrite: bool,
) -> Outcome:
    """Be the server of a run; whatever becomes of it, all ranks are told to stop.

    Parameters
    ----------
    loop : Loop
        This rank's part in the iterations.
    output : Path
        The log file.
    places : list of str
        What every rank says of itself, for the log.
    progress : Progress
        Told at every flush.
    interrupt : InterruptRequest
        Looked at between iterations.
    overwrite : bool
        Replace an existing log.
    """
    setup = loop.setup
    server = Server(setup)
    stopped = False
    try:
        log = _open_log(setup, output, places, overwrite=overwrite)
        with log:
            recorder = Recorder(
                log,
                loop.capacity,
                uplink_bytes=setup.spec.devices.count * setup.messages.slot_bytes,
                downlink_bytes=loop.exchange.downlink.nbytes,
            )
            evaluator = Evaluator(setup)
            try:
                # What overflows is noticed, and named, where it matters.
                with np.errstate(over="ignore", invalid="ignore"):
                    _iterate(
                        loop, server, evaluator, recorder, progress=progress, interrupt=interrupt
                    )
            except LadError:
                stopped = True
                # That error is what the person must see; what went before it is kept.
                with contextlib.suppress(LadError, ValueError):
                    recorder.flush(loop.collect(Command.STOP, server))
                raise
            stopped = True
            recorder.flush(loop.collect(Command.STOP, server))
            if loop.done < setup.spec.iterations:
                done = f"by {interrupt.signal_name} after {loop.done} iterations"
                log.finish("interrupted", failure=done)
                return Outcome("interrupted", f"interrupted {done}", ExitCode.FAILED)
            errors = evaluator.at_model(server.model)
            log.finish("complete", state=FinalState(to_host(server.model), **errors))
            return Outcome("complete")
    except LadError as error:
        if not stopped:
            loop.collect(Command.STOP, server)
        return Outcome("failed", str(error), error.exit_code)


def _iterate(
    loop: Loop,
    server: Server,
    evaluator: Evaluator,
    recorder: Recorder,
    *,
    progress: Progress,
    interrupt: InterruptRequest,
) -> None:
    iterations = loop.setup.spec.iterations
    loss = math.nan
    while loop.done < iterations and not interrupt.signal_name:
        step = loop.step(server)
        evaluated = _evaluate(loop, evaluator, step)
        loss = evaluated.get("loss", loss)
        recorder.add(
            evaluated,
            {
                "messages_rejected": step.num_rejected,
                "decoder_status": int(server.decoder_status),
            },
        )
        loop.commit()
        if loop.done % loop.capacity == 0:
            recorder.flush(loop.collect(Command.FLUSH, server))
            progress.update(loop.done, iterations, loss)


def _evaluate(loop: Loop, evaluator: Evaluator, step: Step) -> dict[str, float]:
    spec = loop.setup.spec
    if loop.done % spec.logging.evaluate_every and loop.done + 1 < spec.iterations:
        return {}
    with loop.clock(Phase.EVALUATE):
        return evaluator.at_step(step)


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
