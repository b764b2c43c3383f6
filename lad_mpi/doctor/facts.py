"""Facts about one rank and its host, collected on the rank and sent to the server as JSON."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from collections.abc import Mapping  # noqa: TC003  (pydantic reads the annotations)
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from lad_mpi import __version__
from lad_mpi.arrays import visible_gpus
from lad_mpi.columns import num_threads
from lad_mpi.doctor.gpu_probe import GpuTransfers, probe_gpu_transfers
from lad_mpi.launchers import local_rank
from lad_mpi.machine import (
    cpu_model,
    describe_blas,
    describe_place,
    package_versions,
    public_environment,
    quota_cpus,
    read_or_empty,
)
from lad_mpi.transport import describe_mpi

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lad_mpi.transport import Link

_PROCESSORS = Path("/sys/devices/system/cpu")
_NVIDIA = Path("/proc/driver/nvidia/gpus")


@dataclass(frozen=True, slots=True)
class Space:
    """A folder to write in.

    Parameters
    ----------
    folder : str
        The folder, or its nearest parent that exists.
    error : str
        Why it cannot be written; empty if it can.
    file_system : str
        Type of the file system, such as ``"ext4"``; empty if unknown.
    free_bytes : int
        Bytes that an ordinary user may write, without regard to quotas.
    """

    folder: str
    error: str = ""
    file_system: str = ""
    free_bytes: int = 0


@dataclass(frozen=True, slots=True)
class RankFacts:
    """Facts about one rank.

    Fields after ``output`` are empty or None in :func:`cheap_facts`.

    Parameters
    ----------
    rank : int
        Number of the rank.
    host : str
        Name of its host.
    cpus : tuple of int
        Affinity mask.
    blas_threads, kernel_threads : int
        Threads of linear algebra and of the suite's own kernels.
    host_cpus : int
        Processors of the host.
    load_average : float
        Load of the host over the last minute, this job included.
    quota_cpus : float or None
        Processors that the control group allows; None without a limit.
    versions : dict of str to str
        Versions of the software and name of the processor.
    environment : dict of str to str
        Variables that :func:`~lad_mpi.machine.public_environment` returns.
    output : Space or None
        Folder of the log, on the server.
    cores : tuple of int
        For each of ``cpus``, the first processor on the same core.
    mpi : dict of str to str
        What :func:`~lad_mpi.transport.describe_mpi` returns.
    python, mpirun : str
        Path of the interpreter, and of the ``mpirun`` on the path.
    gpus : tuple of str
        Model and bus id of each visible GPU.
    gpu : str
        The visible GPU that this rank would use.
    driver_gpus : int
        GPUs of the host that the driver knows, visible or not.
    transfers : GpuTransfers or None
        Result of the GPU probe, on one rank per host.
    hdf5 : dict or None
        :class:`~lad_mpi.logs.probe.Hdf5Facts` as a dict, on the server.
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
    mpi: Mapping[str, str] = field(default_factory=dict)
    python: str = ""
    mpirun: str = ""
    gpus: tuple[str, ...] = ()
    gpu: str = ""
    driver_gpus: int = 0
    transfers: GpuTransfers | None = None
    hdf5: Mapping[str, Any] | None = None

    @property
    def threads(self) -> int:
        """Largest number of threads that compute at once."""
        return max(self.blas_threads, self.kernel_threads)

    def to_record(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def to_text(facts: RankFacts) -> str:
    """Return facts as JSON."""
    return json.dumps(facts.to_record())


def from_text(text: str) -> RankFacts:
    """Read facts from JSON, and ignore keys of another version of the suite."""
    # pydantic's own JSON parser rejects names and variables that are not UTF-8.
    return _adapter().validate_python(json.loads(text))


@cache
def _adapter() -> TypeAdapter[RankFacts]:
    return TypeAdapter(RankFacts)


def by_host(facts: Sequence[RankFacts]) -> dict[str, list[RankFacts]]:
    """Group ranks by host, hosts in the order of their first rank."""
    hosts: dict[str, list[RankFacts]] = {}
    for rank in facts:
        hosts.setdefault(rank.host, []).append(rank)
    return hosts


def cheap_facts(link: Link, output: Path | None) -> RankFacts:
    """Collect the facts that take milliseconds and leave no trace.

    Parameters
    ----------
    link : Link
        Of this rank.
    output : Path or None
        Folder of the log, on the server; it need not exist.
    """
    place = describe_place()
    return RankFacts(
        rank=link.rank,
        host=place["host"],
        cpus=tuple(place["cpus"]),
        blas_threads=place["blas_threads"],
        kernel_threads=num_threads(),
        host_cpus=os.cpu_count() or 1,
        load_average=os.getloadavg()[0],
        quota_cpus=quota_cpus(),
        versions={
            "lad_mpi": __version__,
            "python": platform.python_version(),
            **package_versions(),
            "mpi": link.library,
            "blas": ", ".join(describe_blas()),
            "processor": cpu_model(),
        },
        environment=public_environment(),
        output=describe_space(output) if link.is_server and output is not None else None,
    )


def all_facts(link: Link, output: Path) -> RankFacts:
    """Collect all facts. The server and the first rank of a host start other processes.

    Parameters
    ----------
    link : Link
        Of this rank.
    output : Path
        Folder of the log; it need not exist.
    """
    cheap = cheap_facts(link, output)
    gpus = visible_gpus()
    hdf5 = None
    if cheap.output is not None and not cheap.output.error:
        # Only the server imports HDF5.
        from lad_mpi.logs.probe import probe_hdf5  # noqa: PLC0415

        hdf5 = asdict(probe_hdf5(Path(cheap.output.folder)))
    return replace(
        cheap,
        cores=tuple(_first_sibling(cpu) for cpu in cheap.cpus),
        mpi=describe_mpi(),
        python=sys.executable,
        mpirun=shutil.which("mpirun") or "",
        gpus=tuple(gpus),
        gpu=gpus[local_rank() % len(gpus)] if gpus else "",
        driver_gpus=len(list(_NVIDIA.iterdir())) if _NVIDIA.is_dir() else 0,
        transfers=probe_gpu_transfers() if gpus and local_rank() == 0 else None,
        hdf5=hdf5,
    )


def describe_space(folder: Path) -> Space:
    """Return whether a folder, or its nearest parent that exists, can be written."""
    try:
        place = next(above for above in (folder, *folder.absolute().parents) if above.exists())
        if not place.is_dir():
            return Space(str(place), "it is a file")
        if not os.access(place, os.W_OK | os.X_OK):
            return Space(str(place), "no permission to write in it")
        free_bytes = shutil.disk_usage(place).free
    except (OSError, ValueError) as error:
        return Space(str(folder), str(error))
    return Space(str(place), "", file_system_of(place), free_bytes)


def file_system_of(folder: Path, mounts: Path = Path("/proc/mounts")) -> str:
    """Return the type of the file system of a folder; empty if unknown."""
    resolved = folder.resolve()
    found, deepest = "", -1
    for line in read_or_empty(mounts).splitlines():
        _, point, kind, *_ = line.split(" ")
        mounted = Path(point.replace("\\040", " "))
        depth = len(mounted.parts)
        # Of two mounts on one point, the later one hides the other.
        if depth >= deepest and resolved.is_relative_to(mounted):
            found, deepest = kind, depth
    return found


def _first_sibling(cpu: int) -> int:
    listed = read_or_empty(_PROCESSORS / f"cpu{cpu}/topology/thread_siblings_list")
    first = listed.replace("-", ",").partition(",")[0]
    return int(first) if first.isdigit() else cpu
