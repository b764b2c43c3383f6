"""What a log holds, in memory: what a run writes, and what a reader gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lad_mpi.logs import schema

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from lad_mpi.types import HostBools, HostFloats, HostInts, Metric

#: What a rank that hosts devices does before it gathers, besides attacks.
_DEVICE_WORK = ("compute", "encode", "pack")


@dataclass(frozen=True, slots=True)
class RunHeader:
    """What is known of a run before it starts.

    Parameters
    ----------
    names : sequence of str
        Labels of the method; several if cases of a study are the same run.
    spec_toml : str
        The resolved spec.
    identity : str
        Hash of what makes the run the one that it is.
    data_digest : str
        Digest of the data that are read; empty if none are.
    packages : sequence of str
        ``"name version"`` of every package that provides a component.
    provenance : mapping
        Where and with what the run was made; flat, of str, int, float, bool and
        lists of str. The writer adds ``first_iteration`` and ``mpi_ranks``.
    """

    names: Sequence[str]
    spec_toml: str
    identity: str
    data_digest: str
    packages: Sequence[str]
    provenance: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class LogBlock:
    """Records of n consecutive iterations.

    Parameters
    ----------
    first_iteration : int
        Iteration of the first row.
    metrics : dict of ndarray, shape (n,)
        One array for every metric of the log, and for every count of
        :data:`~lad_mpi.logs.schema.COUNTS`.
    refusals : ndarray of int64, shape (n, reasons)
        Refused messages by :data:`~lad_mpi.logs.schema.REASONS`.
    seconds : ndarray of float64, shape (n, ranks, phases)
        Times; NaN where a rank has no such phase. Of fewer ranks than the log has
        where the run goes on with fewer than it had.
    traffic : dict of ndarray, shape (n,)
        One array for every name in :data:`~lad_mpi.logs.schema.TRAFFIC`.
    """

    first_iteration: int
    metrics: Mapping[str, Any]
    refusals: HostInts
    seconds: HostFloats
    traffic: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Axes:
    """Ranks, phases and metrics of a run.

    Parameters
    ----------
    ranks : int
        Number of ranks, P.
    phases : sequence of str
        Names of the phases.
    training_phases : sequence of str
        Those that count as training time.
    warmup_iterations : int
        Leading iterations of a launch that are marked as warm-up.
    metrics : sequence of Metric
        What is recorded of an evaluated iteration.
    """

    ranks: int
    phases: Sequence[str]
    training_phases: Sequence[str]
    warmup_iterations: int
    metrics: Sequence[Metric] = schema.STEP_METRICS

    def __post_init__(self) -> None:
        """Refuse training phases that are no phases."""
        if not set(self.training_phases) <= set(self.phases):
            raise ValueError(f"training_phases {self.training_phases} are not all in {self.phases}")


@dataclass(frozen=True, slots=True, eq=False)
class FinalState:
    """The model after the last update.

    Parameters
    ----------
    model : ndarray, shape (Q,), float32 or float64
        The model.
    metrics : mapping of str to float
        Its metrics by name; NaN where one is not known.
    """

    model: HostFloats
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class LogHead:
    """What a log says of its run as a whole.

    Parameters
    ----------
    path : Path
        The file.
    status : {"running", "complete", "interrupted", "failed"}
        The outcome. A run that was killed could not write one: it is
        ``"interrupted"`` if nobody holds the lock of the log any more, and
        ``"running"`` if the lock cannot be read; ``failure`` then says so.
    failure : str
        Why it failed or was interrupted; may be empty unless it failed.
    names : tuple of str
        Labels of the method; several if cases of a study are the same run.
    spec_toml, uuid : str
        The resolved spec, and the run's own id.
    spec : dict
        The spec, parsed.
    identity : str
        Hash of what makes the run the one that it is; of format 2, which has none,
        the hash of the spec.
    data_digest : str or None
        Digest of the data that were read; empty if none were. None in logs of
        format 2, which do not tell.
    packages : tuple of str
        ``"name version"`` of every package that provides a component. In logs of
        format 2 it is this suite alone.
    recorded : int
        T, how many iterations the log holds.
    format_version : int
        Of the log.
    """

    path: Path
    status: str
    failure: str
    names: tuple[str, ...]
    spec: dict[str, Any]
    spec_toml: str
    identity: str
    data_digest: str | None
    packages: tuple[str, ...]
    uuid: str
    recorded: int
    format_version: int

    @property
    def name(self) -> str:
        """The first of the names."""
        return self.names[0]

    @property
    def emulated_network(self) -> str:
        """The network that times are of, by the spec; empty where it is the real one."""
        emulated = self.spec.get("network", {}).get("emulate", {})
        return ",".join(f"{key}={text}" for key, text in emulated.items())


@dataclass(frozen=True, slots=True, eq=False)
class Launch:
    """One launch of a run, to which its times belong.

    Parameters
    ----------
    first, stop : int
        It made the iterations from ``first`` to before ``stop`` that the log holds:
        none if a later launch went on from an earlier point.
    ranks : int
        Number of ranks.
    provenance : dict
        Where and with what it was made.
    """

    first: int
    stop: int
    ranks: int
    provenance: dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class RunLog(LogHead):
    """All that a log says.

    Parameters
    ----------
    path, status, failure, names, spec, spec_toml, identity, data_digest, packages
        As in :class:`LogHead`.
    uuid, recorded, format_version
        As in :class:`LogHead`.
    iteration : ndarray of int64, shape (T,)
        Iterations that were recorded.
    metrics : dict of ndarray, shape (T,)
        All that the log holds on iteration, by name.
    metric_info : dict of Metric
        What the metrics say of themselves, by name.
    refusals : dict of ndarray of int64, shape (T,)
        Refused messages by reason; the sum over all is ``messages_rejected``.
    seconds : ndarray of float64, shape (T, ranks, phases)
        Times; NaN where a rank has no such phase.
    phases, training_phases : tuple of str
        Names along the last axis of ``seconds``, and those that count as training.
    warmup_iterations : int
        Leading iterations of every launch that are marked as warm-up.
    launches : tuple of Launch
        In their order; at least one.
    traffic : dict of ndarray, shape (T,)
        By the names of :data:`~lad_mpi.logs.schema.TRAFFIC`, in bytes.
    final : FinalState or None
        The model after the last update; None where the run did not get there.
    """

    iteration: HostInts
    metrics: dict[str, Any]
    metric_info: dict[str, Metric]
    refusals: dict[str, HostInts]
    seconds: HostFloats
    phases: tuple[str, ...]
    training_phases: tuple[str, ...]
    warmup_iterations: int
    launches: tuple[Launch, ...]
    traffic: dict[str, Any]
    final: FinalState | None

    @property
    def ranks(self) -> int:
        """Number of ranks of the largest launch."""
        return int(self.seconds.shape[1])

    @property
    def provenance(self) -> dict[str, Any]:
        """Where and with what the last launch was made."""
        return self.launches[-1].provenance

    @property
    def restarts(self) -> tuple[int, ...]:
        """Iterations with which launches after the first one went on."""
        return tuple(launch.first for launch in self.launches[1:] if launch.first < launch.stop)

    def training_seconds(self) -> HostFloats:
        """Return the training time of every iteration, warm-up included.

        The server's clock runs through the whole iteration: while devices work, the
        server waits in the gather. A device's clock would count the server's evaluation,
        for which it waits in the broadcast. A training has no attacks, so what they add
        to the server's wait is taken out: with attacks it ends when the last rank has
        done its work and its attacks, without when the last rank has done its work.

        Returns
        -------
        ndarray of float64, shape (T,)
            In seconds.
        """
        training = [self.phases.index(phase) for phase in self.training_phases]
        seconds: HostFloats = np.nansum(self.seconds[:, 0][:, training], axis=1)
        if self.ranks > 1 and schema.ATTACK_PHASE in self.phases:
            seconds -= self._attack_delay()
        return np.maximum(seconds, 0.0)

    def _attack_delay(self) -> HostFloats:
        """Return by how much attacks on other ranks than the server's made it wait longer."""
        devices = np.nan_to_num(self.seconds[:, 1:])
        columns = [self.phases.index(phase) for phase in _DEVICE_WORK if phase in self.phases]
        work = devices[:, :, columns].sum(axis=2)
        attacked = work + devices[:, :, self.phases.index(schema.ATTACK_PHASE)]
        delay: HostFloats = attacked.max(axis=1) - work.max(axis=1)
        return delay

    def is_warm(self) -> HostBools:
        """Tell which iterations come after the warm-up of their launch, bool, shape (T,)."""
        warm = np.ones(len(self.iteration), dtype=bool)
        for launch in self.launches:
            warm[launch.first : min(launch.first + self.warmup_iterations, launch.stop)] = False
        return warm
