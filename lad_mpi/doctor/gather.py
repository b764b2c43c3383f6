"""Looking at this rank and its host; nothing is judged here."""

from __future__ import annotations

import dataclasses
import os
import platform
import shutil
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from lad_mpi import __version__
from lad_mpi.aggregation.columns import num_threads
from lad_mpi.arrays import visible_gpus
from lad_mpi.doctor.facts import ClockFacts, RankFacts, Space
from lad_mpi.doctor.gpu_probe import probe_gpu_transfers
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
    from lad_mpi.transport import Link

_DEVICES = Path("/sys/devices/system")
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108
_READINGS = 2000


def cheap_facts(link: Link, output: Path | None) -> RankFacts:
    """Look at what costs a few milliseconds and leaves no trace.

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


def all_facts(link: Link, output: Path, *, probe: bool = True) -> RankFacts:
    """Look at everything; the server and one rank of a host try things in other processes.

    Parameters
    ----------
    link : Link
        Of this rank.
    output : Path
        Folder of the log; it need not exist.
    probe : bool
        Whether to start other processes; without, GPU transfers and HDF5 are left out.
    """
    cheap = cheap_facts(link, output)
    gpus = visible_gpus()
    transfers = None
    if gpus and probe and local_rank() == 0:
        transfers = probe_gpu_transfers()
    hdf5 = None
    if probe and cheap.output is not None and not cheap.output.error:
        # Only the server pays for importing HDF5.
        from lad_mpi.logs.probe import probe_hdf5  # noqa: PLC0415

        hdf5 = dataclasses.asdict(probe_hdf5(Path(cheap.output.folder)))
    return dataclasses.replace(
        cheap,
        cores=tuple(_first_sibling(cpu) for cpu in cheap.cpus),
        governor=read_or_empty(_DEVICES / f"cpu/cpu{cheap.cpus[0]}/cpufreq/scaling_governor"),
        temporary=describe_space(_temporary_folder()),
        shared_memory=describe_space(_SHARED_MEMORY) if _SHARED_MEMORY.is_dir() else None,
        clock=describe_clock(),
        mpi=describe_mpi(),
        builds=describe_builds(),
        python=sys.executable,
        mpirun=shutil.which("mpirun") or "",
        gpus=tuple(gpus),
        gpu=gpus[local_rank() % len(gpus)] if gpus else "",
        driver_gpus=_count(Path("/proc/driver/nvidia/gpus")),
        transfers=transfers,
        hdf5=hdf5,
    )


def describe_builds() -> dict[str, str]:
    """Return how the interpreter was built, and the linear algebra that NumPy was built with."""
    blas = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
    return {
        "python": f"{platform.python_implementation()} {' '.join(platform.python_build())}, "
        f"{platform.python_compiler()}",
        "numpy_blas": blas.get("openblas configuration")
        or f"{blas.get('name', '')} {blas.get('version', '')}".strip(),
    }


def describe_space(folder: Path) -> Space:
    """Look whether a folder, or the nearest above it that exists, can be written, and how much."""
    try:
        place = next(above for above in (folder, *folder.absolute().parents) if above.exists())
        where = str(place)
        if not place.is_dir():
            return Space(where, "it is a file")
        if not os.access(place, os.W_OK | os.X_OK):
            return Space(where, "no permission to write in it")
        free_bytes = shutil.disk_usage(place).free
    except (OSError, ValueError) as error:
        return Space(str(folder), str(error))
    return Space(where, "", file_system_of(place), free_bytes)


def file_system_of(folder: Path, mounts: Path = Path("/proc/mounts")) -> str:
    """Return the type of the file system that a folder is on; empty where unknown."""
    resolved = folder.resolve()
    found, deepest = "", -1
    for line in read_or_empty(mounts).splitlines():
        # Blanks in names are written as octal numbers.
        _, point, kind, *_ = line.split(" ")
        mounted = Path(point.replace("\\040", " "))
        depth = len(mounted.parts)
        # Of two on one point the later one hides the other.
        if depth >= deepest and resolved.is_relative_to(mounted):
            found, deepest = kind, depth
    return found


def describe_clock(readings: int = _READINGS) -> ClockFacts:
    """Read the clock many times in a row."""
    times = [time.perf_counter() for _ in range(readings)]
    steps = [after - before for before, after in pairwise(times)]
    positive = [step for step in steps if step > 0]
    return ClockFacts(
        source=read_or_empty(_DEVICES / "clocksource/clocksource0/current_clocksource"),
        call_s=median(steps),
        step_s=min(positive, default=0.0),
        went_back=min(steps) < 0,
    )


def _first_sibling(cpu: int) -> int:
    listed = read_or_empty(_DEVICES / f"cpu/cpu{cpu}/topology/thread_siblings_list")
    first = listed.replace("-", ",").partition(",")[0]
    return int(first) if first.isdigit() else cpu


def _temporary_folder() -> Path:
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:
        return Path(os.environ.get("TMPDIR", "/tmp"))  # noqa: S108


def _count(folder: Path) -> int:
    return len(list(folder.iterdir())) if folder.is_dir() else 0
