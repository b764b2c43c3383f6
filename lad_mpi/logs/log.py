"""The contents of a log in memory, for the writer and for readers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lad_mpi.logs import schema

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from lad_mpi.types import HostBools, HostFloats, HostInts, Metric

#: Phases before the gather on ranks that host devices, apart from attacks.
_DEVICE_WORK = ("compute", "encode", "pack")


@dataclass(frozen=True, slots=True)
class RunHeader:
    """Facts about a run that are known before it starts.

    Parameters
    ----------
    names : sequence of str
        Labels of the method; several if cases of a study share the run.
    spec_toml : str
        The resolved spec.
    identity : str
        Identity hash of the run.
    data_digest : str
        Digest of the data files; empty if the run reads none.
    packages : sequence of str
        ``"name version"`` of every package that provides a component.
    provenance : mapping
        Provenance of the launch. Values are str, int, float, bool or lists of str. The
        writer adds ``first_iteration`` and ``mpi_ranks``.
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
        One array for every metric of the log, and for every count in
        :data:`~lad_mpi.logs.schema.COUNTS`.
    refusals : ndarray of int64, shape (n, reasons)
        Number of refused messages per reason in :data:`~lad_mpi.logs.schema.REASONS`.
    seconds : ndarray of float64, shape (n, ranks, phases)
        Times; NaN if a rank does not have a phase. A resumed run may have fewer ranks
        than the log.
    traffic : dict of ndarray, shape (n,)
        One array for every name in :data:`~lad_mpi.logs.schema.TRAFFIC`, in bytes.
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
        Names of the phases that count as training time.
    warmup_iterations : int
        Number of iterations at the start of a launch that are marked as warm-up.
    metrics : sequence of Metric
        The metrics of an evaluated iteration.
    """

    ranks: int
    phases: Sequence[str]
    training_phases: Sequence[str]
    warmup_iterations: int
    metrics: Sequence[Metric] = schema.STEP_METRICS

    def __post_init__(self) -> None:
        """Check that training phases are phases."""
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
        Metrics of the model by name; NaN if a metric is not known.
    """

    model: HostFloats
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class LogHead:
    """The facts in a log about its run as a whole.

    Parameters
    ----------
    path : Path
        The file.
    status : {"running", "complete", "interrupted", "failed"}
        The outcome. A killed run could not write its outcome: its status is
        ``"interrupted"`` if the lock of the log is free, and ``"running"`` if the lock
        cannot be read. ``failure`` explains both cases.
    failure : str
        Why the run failed or was interrupted. Never empty for a failed run.
    names : tuple of str
        Labels of the method; several if cases of a study share the run.
    spec_toml, uuid : str
        The resolved spec, and the id of the run.
    spec : dict
        The parsed spec.
    identity : str
        Identity hash of the run. Format 2 has none; then it is the hash of the spec.
    data_digest : str or None
        Digest of the data files; empty if the run reads none. None for format 2, which
        does not have it.
    packages : tuple of str
        ``"name version"`` of every package that provides a component. Format 2 only has
        this suite.
    created : str
        When the log was created, in ISO 8601 with the UTC offset.
    recorded : int
        T, the number of iterations in the log.
    format_version : int
        Version of the log format.
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
    created: str
    recorded: int
    format_version: int

    @property
    def name(self) -> str:
        """The first name."""
        return self.names[0]

    @property
    def emulated_network(self) -> str:
        """The emulated network of the times, as in the spec; empty for the real network."""
        emulated = self.spec.get("network", {}).get("emulate", {})
        return ",".join(f"{key}={text}" for key, text in emulated.items())


@dataclass(frozen=True, slots=True, eq=False)
class LogBrief(LogHead):
    """The progress of a run and a few of its metrics.

    Parameters
    ----------
    path, status, failure, names, spec, spec_toml, identity, data_digest, packages
        As in :class:`LogHead`.
    uuid, recorded, format_version
        As in :class:`LogHead`.
    created_s : float
        When the last launch started, in seconds since the epoch; NaN if the log does not say.
    first : int
        First iteration of the last launch.
    metrics : dict of ndarray of float64, shape (T,)
        The requested metrics that the log has; NaN where an iteration was not evaluated.
    final : dict of str to float
        The requested metrics of the final model; empty if the run is not complete.
    """

    created_s: float
    first: int
    metrics: dict[str, HostFloats]
    final: dict[str, float]

    def latest(self) -> dict[str, float]:
        """Return the metrics of the final model, or else of the last evaluated iteration."""
        found = {}
        for name, values in self.metrics.items():
            known = values[np.isfinite(values)]
            found[name] = self.final.get(name, float(known[-1]) if len(known) else math.nan)
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Launch:
    """One launch of a run.

    Parameters
    ----------
    first, stop : int
        The log's iterations ``range(first, stop)`` are from this launch. The range is empty
        if a later launch continued from an earlier checkpoint.
    ranks : int
        Number of ranks.
    provenance : dict
        Provenance of the launch: versions, hosts, processors, launcher.
    """

    first: int
    stop: int
    ranks: int
    provenance: dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class RunLog(LogHead):
    """The whole contents of a log.

    Parameters
    ----------
    path, status, failure, names, spec, spec_toml, identity, data_digest, packages
        As in :class:`LogHead`.
    uuid, created, recorded, format_version
        As in :class:`LogHead`.
    iteration : ndarray of int64, shape (T,)
        Numbers of the recorded iterations, 0 to T - 1.
    metrics : dict of ndarray, shape (T,)
        Metrics and counts by name.
    metric_info : dict of Metric
        Description of each metric by name.
    refusals : dict of ndarray of int64, shape (T,)
        Number of refused messages by reason. Their sum is ``messages_rejected``.
    seconds : ndarray of float64, shape (T, ranks, phases)
        Times; NaN if a rank does not have a phase.
    phases, training_phases : tuple of str
        Names along the last axis of ``seconds``, and those that count as training time.
    warmup_iterations : int
        Number of iterations at the start of every launch that are marked as warm-up.
    launches : tuple of Launch
        All launches in order; at least one.
    traffic : dict of ndarray, shape (T,)
        Traffic in bytes, by the names of :data:`~lad_mpi.logs.schema.TRAFFIC`.
    final : FinalState or None
        The model after the last update; None if the run is not complete.
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
        """Maximum number of ranks of all launches."""
        return int(self.seconds.shape[1])

    @property
    def provenance(self) -> dict[str, Any]:
        """Provenance of the last launch."""
        return self.launches[-1].provenance

    @property
    def restarts(self) -> tuple[int, ...]:
        """First iterations of the launches after the first one."""
        return tuple(launch.first for launch in self.launches[1:] if launch.first < launch.stop)

    @property
    def servers(self) -> int:
        """Number of server ranks of the last launch, the first ranks."""
        return min(int(self.provenance.get("server_ranks", 1)), self.ranks)

    def training_seconds(self) -> HostFloats:
        """Return the training time of every iteration, warm-up included.

        It is the time of the training phases on the server, which waits in the gather while
        devices work. (Clocks of devices would include the evaluation, because they wait for
        it in the broadcast.) Real training has no simulated attacks, so their delay is
        subtracted: the latest end of work and attacks on any rank, minus the latest end of
        work alone.

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
        """Return how much longer the server waited because of attacks on other ranks."""
        devices = np.nan_to_num(self.seconds[:, 1:])
        columns = [self.phases.index(phase) for phase in _DEVICE_WORK if phase in self.phases]
        work = devices[:, :, columns].sum(axis=2)
        attacked = work + devices[:, :, self.phases.index(schema.ATTACK_PHASE)]
        delay: HostFloats = attacked.max(axis=1) - work.max(axis=1)
        return delay

    def is_warm(self) -> HostBools:
        """Return which iterations are after the warm-up of their launch, bool, shape (T,)."""
        warm = np.ones(len(self.iteration), dtype=bool)
        for launch in self.launches:
            warm[launch.first : min(launch.first + self.warmup_iterations, launch.stop)] = False
        return warm
