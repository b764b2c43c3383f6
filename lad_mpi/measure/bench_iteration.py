"""What an iteration costs beside compute, collectives and aggregation, from a real run."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.errors import RunFailedError
from lad_mpi.training import PHASE_NAMES, NoProgress, run_spec

if TYPE_CHECKING:
    from lad_mpi.logs import RunLog
    from lad_mpi.spec import Spec
    from lad_mpi.training.interrupt import InterruptRequest
    from lad_mpi.transport import Link
    from lad_mpi.types import HostFloats

#: Time that stands in other phases already.
_COUNTED_TWICE = "overlapped"
#: What an iteration is for: all else is overhead. Evaluation is the experimenter's.
PAYLOAD = ("broadcast", "compute", "gather", "aggregate", "evaluate", _COUNTED_TWICE)
UNTIMED = "untimed"


@dataclass(frozen=True, slots=True)
class IterationBench:
    """Where the time of an iteration goes, in seconds.

    Parameters
    ----------
    ranks, iterations : int
        P, and iterations after warm-up that medians are over.
    wall_s : float
        Of an iteration, by a clock around whole blocks between two flushes; their median.
    phases_s : dict of float
        By phase, on the slowest rank: medians over iterations. ``untimed`` is what the
        server's phases leave of the wall clock: commands, records and writing the log.
    """

    ranks: int
    iterations: int
    wall_s: float
    phases_s: dict[str, float]

    @property
    def overhead_s(self) -> float:
        """All but compute, collectives, aggregation and evaluation."""
        return sum(time_s for name, time_s in self.phases_s.items() if name not in PAYLOAD)


class _Stamps(NoProgress):
    """Reads the clock at every flush."""

    def __init__(self) -> None:
        self.stamps: list[tuple[int, float]] = []

    def update(self, iteration: int, iterations: int, loss: float) -> None:  # noqa: ARG002
        """Remember when so many iterations were done first."""
        if not self.stamps or iteration > self.stamps[-1][0]:
            self.stamps.append((iteration, perf_counter()))


def bench_iteration(
    spec: Spec, link: Link, interrupt: InterruptRequest | None = None
) -> IterationBench | None:
    """Run a spec into a temporary log, on all ranks together, and split up its iterations.

    Parameters
    ----------
    spec : Spec
        What to run; it needs iterations enough for several flushes.
    link : Link
        Of this rank.
    interrupt : InterruptRequest, optional
        That of the command.

    Returns
    -------
    IterationBench or None
        On the server; None elsewhere.

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
        if not link.is_server:
            return None
        # Only the server pays for importing HDF5.
        from lad_mpi.logs import read_log  # noqa: PLC0415

        return split(read_log(output), stamps.stamps)


def split(run: RunLog, stamps: list[tuple[int, float]]) -> IterationBench:
    """Hold the phases of a log against the wall clock.

    Parameters
    ----------
    run : RunLog
        The log.
    stamps : list of (int, float)
        Iterations done and the clock, at every flush.

    Raises
    ------
    RunFailedError
        There are fewer than two flushes.
    """
    if len(stamps) < 2:
        raise RunFailedError(
            "the run was too short to tell its overhead",
            hint="raise iterations, or lower logging.flush_every",
        )
    done = np.array([iteration for iteration, _ in stamps])
    lengths = np.diff(done)
    walls = np.diff([time_s for _, time_s in stamps]) / lengths
    once = [run.phases.index(name) for name in PHASE_NAMES if name != _COUNTED_TWICE]
    server = np.nansum(run.seconds[:, 0][:, once], axis=1)
    timed = np.add.reduceat(server, done[:-1])[: len(lengths)] / lengths
    warm = run.seconds[run.is_warm()]
    phases = {name: _slowest(warm[:, :, run.phases.index(name)]) for name in PHASE_NAMES}
    phases[UNTIMED] = float(np.median(walls - timed))
    return IterationBench(run.ranks, len(warm), float(np.median(walls)), phases)


def _slowest(seconds: HostFloats) -> float:
    present = np.isfinite(seconds).any(axis=0)
    return float(np.median(seconds[:, present].max(axis=1))) if present.any() else 0.0
