"""The phases of an iteration in a real run, beside their bounds, and its overhead."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.errors import RunFailedError
from lad_mpi.measure.bounds import Bound, measure_bounds
from lad_mpi.training import PHASE_NAMES, TRAINING_PHASES, NoProgress, run_spec

if TYPE_CHECKING:
    from lad_mpi.logs import RunLog
    from lad_mpi.spec import Spec
    from lad_mpi.training.interrupt import InterruptRequest
    from lad_mpi.transport import Link
    from lad_mpi.types import HostFloats

#: Phases that are not overhead. Evaluation belongs to the experiment, not to training.
PAYLOAD = ("broadcast", "compute", "gather", "aggregate", "evaluate")
UNTIMED = "untimed"


@dataclass(frozen=True, slots=True)
class IterationBench:
    """Where the time of an iteration goes.

    Parameters
    ----------
    ranks, iterations : int
        P, and the number of iterations after warm-up.
    wall_s : float
        Wall time of an iteration in seconds: the median over blocks between two flushes.
    phases_s : dict of float
        Seconds by phase, on the slowest rank; medians over iterations. ``untimed`` is the
        wall time outside the server's phases: commands, records and writing the log.
    bounds : dict of Bound
        Least times by phase, measured after the run. Phases without a bound are omitted.
    """

    ranks: int
    iterations: int
    wall_s: float
    phases_s: dict[str, float]
    bounds: dict[str, Bound] = field(default_factory=dict)

    @property
    def training_s(self) -> float:
        """Seconds of all training phases."""
        return sum(self.phases_s[name] for name in TRAINING_PHASES)

    @property
    def bound_s(self) -> float:
        """Least seconds of the training phases that have a bound."""
        return sum(self.bounds[name].seconds for name in TRAINING_PHASES if name in self.bounds)

    @property
    def overhead_s(self) -> float:
        """Seconds outside compute, collectives, aggregation and evaluation."""
        return sum(time_s for name, time_s in self.phases_s.items() if name not in PAYLOAD)


class _Stamps(NoProgress):
    """Reads the clock at every flush."""

    def __init__(self) -> None:
        self.stamps: list[tuple[int, float]] = []

    def update(self, iteration: int, iterations: int, loss: float) -> None:  # noqa: ARG002
        """Record the time at which this number of iterations was first reported."""
        if not self.stamps or iteration > self.stamps[-1][0]:
            self.stamps.append((iteration, perf_counter()))


def bench_iteration(
    spec: Spec, link: Link, interrupt: InterruptRequest | None = None
) -> IterationBench | None:
    """Run a spec with a temporary log, and time its phases and bounds. This is collective.

    Parameters
    ----------
    spec : Spec
        What to run, with enough iterations for several flushes.
    link : Link
        Link of this rank.
    interrupt : InterruptRequest, optional
        Interrupt request of the command.

    Returns
    -------
    IterationBench or None
        The result on the server, None on other ranks.

    Raises
    ------
    RunFailedError
        The run failed, or was too short.
    """
    stamps = _Stamps()
    with tempfile.TemporaryDirectory(prefix="lad-mpi-bench-") as folder:
        # Only the server writes into it.
        output = Path(folder) / "run.h5"
        outcome = run_spec(spec, link, output, progress=stamps, interrupt=interrupt)
        if outcome.failure:
            raise RunFailedError(outcome.failure)
        bounds = measure_bounds(spec, link)
        if not link.is_server:
            return None
        # Only the server needs HDF5.
        from lad_mpi.logs import read_log  # noqa: PLC0415

        return replace(split(read_log(output), stamps.stamps), bounds=bounds)


def split(run: RunLog, stamps: list[tuple[int, float]]) -> IterationBench:
    """Compare the phases of a log with the wall clock.

    Parameters
    ----------
    run : RunLog
        The log.
    stamps : list of (int, float)
        Number of iterations done and the clock in seconds, at every flush.

    Raises
    ------
    RunFailedError
        There are fewer than two flushes.
    """
    if len(stamps) < 2:
        raise RunFailedError(
            "the run was too short to measure its overhead",
            hint="raise iterations or lower logging.flush_every",
        )
    done = np.array([iteration for iteration, _ in stamps])
    lengths = np.diff(done)
    walls = np.diff([time_s for _, time_s in stamps]) / lengths
    server = np.nansum(run.seconds[:, 0], axis=1)
    timed = np.add.reduceat(server, done[:-1])[: len(lengths)] / lengths
    warm = run.seconds[run.is_warm()]
    phases = {name: _slowest(warm[:, :, run.phases.index(name)]) for name in PHASE_NAMES}
    phases[UNTIMED] = float(np.median(walls - timed))
    return IterationBench(run.ranks, len(warm), float(np.median(walls)), phases)


def _slowest(seconds: HostFloats) -> float:
    present = np.isfinite(seconds).any(axis=0)
    return float(np.median(seconds[:, present].max(axis=1))) if present.any() else 0.0
