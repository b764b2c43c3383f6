"""Parallel times from the clocks of all ranks, and the critical path of an iteration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from lad_mpi.logs import Launch, RunLog
    from lad_mpi.types import HostBools, HostFloats


#: The time of an iteration outside the work of all phases.
#: The phase in which messages reach the servers.
GATHER = "gather"
COMMUNICATION = "communication"


def iteration_seconds(run: RunLog) -> HostFloats:
    """Return the training time of every iteration, including warm-up.

    See :meth:`lad_mpi.logs.RunLog.training_seconds`.

    Returns
    -------
    ndarray of float64, shape (T,)
        In seconds.
    """
    return run.training_seconds()


def split_iterations(run: RunLog, launch: Launch | None = None) -> dict[str, HostFloats]:
    """Split the training time of every iteration after warm-up into phases.

    The time of a phase of work is that of its slowest rank. In collectives, ranks mostly wait
    for others that still work, so they are not phases here. Instead, the rest of the
    iteration is ``communication``, which includes waiting for uneven ranks.

    Parameters
    ----------
    run : RunLog
        The run.
    launch : Launch, optional
        Use only the iterations of this launch (default: all).

    Returns
    -------
    dict of ndarray of float64, shape (n,)
        Seconds by phase. They add up to :func:`iteration_seconds`, unless the work alone
        exceeds it.
    """
    counted = counted_iterations(run, launch)
    ranks = run.ranks if launch is None else launch.ranks
    seconds = run.seconds[counted, :ranks]
    present = np.asarray(np.isfinite(seconds).any(axis=0))
    parts: dict[str, HostFloats] = {}
    for phase in run.training_phases:
        column = run.phases.index(phase)
        taking_part = seconds[:, present[:, column], column]
        if taking_part.size and not _is_collective(present[:, column]):
            parts[phase] = np.nan_to_num(np.fmax.reduce(taking_part, axis=1))
    total = iteration_seconds(run)[counted]
    work = np.sum(list(parts.values()), axis=0) if parts else 0.0
    return {**parts, COMMUNICATION: np.maximum(total - work, 0.0)}


def phase_seconds(
    run: RunLog,
    launch: Launch | None = None,
    statistic: Callable[[HostFloats], np.floating] = np.median,
) -> dict[str, float]:
    """Return a statistic over iterations of each part of :func:`split_iterations`.

    Parameters
    ----------
    run, launch
        As in :func:`split_iterations`.
    statistic : callable
        Function of an array. Means add up to the mean of the iteration; medians do not add up.

    Returns
    -------
    dict of float
        Seconds by phase.
    """
    return {phase: float(statistic(part)) for phase, part in split_iterations(run, launch).items()}


def gather_seconds(run: RunLog) -> float:
    """Return the median time of a gather on several ranks, which communication includes.

    It is the least time on any rank: the rank that arrives last waits for no other.
    """
    seconds = after_warmup(run, run.seconds[:, :, run.phases.index(GATHER)])
    return float(np.median(np.nanmin(seconds, axis=1)))


def counted_iterations(run: RunLog, launch: Launch | None = None) -> HostBools:
    """Return a mask of the iterations after warm-up, or of all iterations if there are none.

    Parameters
    ----------
    run, launch
        As in :func:`split_iterations`.

    Returns
    -------
    ndarray of bool, shape (T,)
    """
    own = np.ones(len(run.iteration), dtype=bool)
    if launch is not None:
        own[: launch.first] = False
        own[launch.stop :] = False
    warm: HostBools = own & run.is_warm()
    return warm if warm.any() else own


def after_warmup(run: RunLog, rows: HostFloats) -> HostFloats:
    """Drop the rows of warm-up, unless there are no others."""
    return rows[counted_iterations(run)]


def _is_collective(present: npt.NDArray[np.bool_]) -> bool:
    """Return whether a phase is a collective: all ranks take part."""
    return len(present) > 1 and bool(present.all())


#: Phases of work on device ranks and on the server, without those of the simulation.
DEVICE_PHASES = ("compute", "encode", "pack")
SERVER_PHASES = ("unpack", "aggregate", "update")


@dataclass(frozen=True, slots=True)
class CriticalPath:
    """The critical path of the iterations of one run.

    Parameters
    ----------
    total_s, device_s, server_s : float
        Medians over iterations in seconds: the iteration, the work of the slowest device
        rank, and the work of the server.
    load_balance : float
        Mean over maximum of the work of device ranks, median over iterations; 1 if one rank
        hosts all devices.
    communication_efficiency : float
        Work on the critical path over the time of the iteration, median over iterations.
    rank : int
        Device rank that was the slowest most often.
    rank_share : float
        Share of the iterations in which it was the slowest.
    phase : str
        Phase with most time on the critical path.
    phase_rank : str
        Rank of that phase: a number, or ``"all"`` for communication.
    phase_share : float
        Share of that phase in the critical path.
    """

    total_s: float
    device_s: float
    server_s: float
    load_balance: float
    communication_efficiency: float
    rank: int
    rank_share: float
    phase: str
    phase_rank: str
    phase_share: float


def critical_path(run: RunLog) -> CriticalPath:
    """Follow the critical path through the iterations after warm-up.

    Notes
    -----
    The path of an iteration is the broadcast, the work of the slowest device rank, the
    gather, and the work of the slowest server. The first server's clock gives the total. The
    total minus the work is communication. Load balance and communication efficiency are
    defined as by the POP centre of excellence, applied to a server with workers.
    """
    seconds = np.nan_to_num(after_warmup(run, run.seconds))
    total = after_warmup(run, iteration_seconds(run))
    servers = run.servers
    first = servers if run.ranks > 1 else 0
    device_columns = _columns(run, DEVICE_PHASES)
    work = seconds[:, first:, device_columns].sum(axis=2)
    slowest = work.argmax(axis=1)
    longest = work.max(axis=1)
    # Servers work at the same time.
    serving = seconds[:, :servers, _columns(run, SERVER_PHASES)].sum(axis=2)
    served, last = serving.max(axis=1), serving.argmax(axis=1)
    counts = np.bincount(slowest, minlength=work.shape[1])
    on_path = {
        **_sums(run, DEVICE_PHASES, seconds[np.arange(len(seconds)), first + slowest]),
        **_sums(run, SERVER_PHASES, seconds[np.arange(len(seconds)), last]),
    }
    on_path[COMMUNICATION] = max(0.0, float(total.sum()) - sum(on_path.values()))
    phase = max(on_path, key=lambda name: on_path[name])
    rank = first + int(counts.argmax())
    server = str(np.bincount(last).argmax())
    where = {COMMUNICATION: "all"} | dict.fromkeys(SERVER_PHASES, server)
    return CriticalPath(
        total_s=float(np.median(total)),
        device_s=float(np.median(longest)),
        server_s=float(np.median(served)),
        load_balance=_median_ratio(work.mean(axis=1), longest),
        communication_efficiency=min(1.0, _median_ratio(longest + served, total)),
        rank=rank,
        rank_share=float(counts.max() / len(seconds)),
        phase=phase,
        phase_rank=where.get(phase, str(rank)),
        phase_share=on_path[phase] / max(sum(on_path.values()), 1e-300),
    )


def _columns(run: RunLog, names: tuple[str, ...]) -> list[int]:
    return [run.phases.index(name) for name in names if name in run.phases]


def _sums(run: RunLog, names: tuple[str, ...], rows: HostFloats) -> dict[str, float]:
    return {
        name: float(rows[:, run.phases.index(name)].sum()) for name in names if name in run.phases
    }


def _median_ratio(part: HostFloats, whole: HostFloats) -> float:
    return float(np.median(part / np.maximum(whole, 1e-300)))
