"""What the checks judge: plain data about one rank, sent as JSON text."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from lad_mpi.doctor.gpu_probe import GpuTransfers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Space:
    """A folder as a place to write.

    Parameters
    ----------
    folder : str
        The folder, or the nearest one above it that exists.
    error : str
        Why it cannot be written; empty where it seems that it can.
    file_system : str
        Type as the kernel calls it, ``"ext4"``; empty where unknown.
    free_bytes : int
        What an ordinary user may still write, quotas apart.
    """

    folder: str
    error: str = ""
    file_system: str = ""
    free_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ClockFacts:
    """The clock that times phases, ``time.perf_counter``.

    Parameters
    ----------
    source : str
        What the kernel reads, ``"tsc"``; empty where unknown.
    call_s : float
        Median seconds of one reading.
    step_s : float
        Smallest difference seen between two readings.
    went_back : bool
        Whether a reading was before the one before it.
    """

    source: str
    call_s: float
    step_s: float
    went_back: bool


@dataclass(frozen=True, slots=True)
class RankFacts:
    """One rank.

    What a full examination alone looks at is None, or empty, in cheap checks.

    Parameters
    ----------
    rank : int
        Its number.
    host : str
        Name of its host.
    cpus : tuple of int
        Its affinity mask.
    blas_threads, kernel_threads : int
        Threads of linear algebra and of the suite's own kernels.
    host_cpus : int
        Processors of the host that are switched on.
    load_average : float
        Of the host, over the last minute, this job included.
    quota_cpus : float or None
        Processors' worth of time that the control group allows.
    versions : dict of str to str
        Of all that numbers and messages depend on.
    environment : dict of str to str
        Variables about threads, binding, files and devices.
    output : Space or None
        Where the log goes; on the server.
    cores : tuple of int
        For every processor in ``cpus``, the first of those that share its core.
    governor : str
        How the kernel sets the frequency of its first processor.
    temporary : Space or None
        Where temporary files go.
    shared_memory : Space or None
        Where ranks of one host exchange messages.
    clock : ClockFacts or None
        The clock.
    mpi : dict of str to str
        :func:`~lad_mpi.transport.describe.describe_mpi`.
    builds : dict of str to str
        How the interpreter was built, and NumPy's linear algebra.
    python : str
        The interpreter.
    mpirun : str
        The ``mpirun`` that the path leads to.
    gpus : tuple of str
        Model and bus number of every GPU that it may use.
    gpu : str
        The one of them that it would use.
    driver_gpus : int
        GPUs that the driver knows on the host, whether they may be used or not.
    transfers : GpuTransfers or None
        How messages get from the GPU to MPI; on one rank of a host.
    hdf5 : dict or None
        :class:`~lad_mpi.logs.probe.Hdf5Facts` as a dict; on the server.
    """

    rank: int
    host: str
    cpus: tuple[int, ...]
    blas_threads: int = 1
    kernel_threads: int = 1
    host_cpus: int = 1
    load_average: float = 0.0
    quota_cpus: float | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    output: Space | None = None
    cores: tuple[int, ...] = ()
    governor: str = ""
    temporary: Space | None = None
    shared_memory: Space | None = None
    clock: ClockFacts | None = None
    mpi: Mapping[str, str] = field(default_factory=dict)
    builds: Mapping[str, str] = field(default_factory=dict)
    python: str = ""
    mpirun: str = ""
    gpus: tuple[str, ...] = ()
    gpu: str = ""
    driver_gpus: int = 0
    transfers: GpuTransfers | None = None
    hdf5: Mapping[str, Any] | None = None

    @property
    def threads(self) -> int:
        """How many threads it computes with at a time."""
        return max(self.blas_threads, self.kernel_threads)

    def to_record(self) -> dict[str, Any]:
        """Return all of it as plain values for JSON."""
        return asdict(self)


_NESTED = {
    "output": Space,
    "temporary": Space,
    "shared_memory": Space,
    "clock": ClockFacts,
    "transfers": GpuTransfers,
}


def to_text(facts: RankFacts) -> str:
    """Write facts as JSON, for the exchange between ranks."""
    return json.dumps(facts.to_record())


def from_text(text: str) -> RankFacts:
    """Read what :func:`to_text` wrote, here or in another version, which is to be found out."""
    record = _known(RankFacts, json.loads(text))
    for name, kind in _NESTED.items():
        if record.get(name) is not None:
            record[name] = kind(**_known(kind, record[name]))
    for name in ("cpus", "cores", "gpus"):
        record[name] = tuple(record.get(name, ()))
    return RankFacts(**record)


def _known(kind: type, record: Mapping[str, Any]) -> dict[str, Any]:
    names = {known.name for known in fields(kind)}
    return {name: value for name, value in record.items() if name in names}


def by_host(facts: Sequence[RankFacts]) -> dict[str, list[RankFacts]]:
    """Sort ranks by host, in the order in which hosts first come."""
    hosts: dict[str, list[RankFacts]] = {}
    for rank in facts:
        hosts.setdefault(rank.host, []).append(rank)
    return hosts
