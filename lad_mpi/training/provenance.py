"""Where and with what a run was made."""

from __future__ import annotations

import json
import platform
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lad_mpi
from lad_mpi.machine import (
    cpu_model,
    describe_blas,
    format_ranges,
    oversubscribed,
    package_versions,
    public_environment,
)
from lad_mpi.training.evaluate import dispersion_prediction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lad_mpi.training.setup import Setup
    from lad_mpi.transport.gpu_probe import GpuTransfers

_SCHEDULERS = ("SLURM_", "PBS_", "LSB_", "OMP_", "OPENBLAS_", "MKL_", "CUDA_VISIBLE", "MPICH_")


def provenance(
    setup: Setup,
    ranks: list[str],
    transfers: GpuTransfers,
    remarks: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the flat record that goes into the log.

    Parameters
    ----------
    setup : Setup
        The run on the server.
    ranks : list of str
        :func:`~lad_mpi.training.place.describe_rank` of every rank.
    transfers : GpuTransfers
        How messages get from GPUs to MPI.
    remarks : sequence of str
        What is to be known about the place of the run.
    """
    places = [json.loads(place) for place in ranks]
    spec, link = setup.spec, setup.link
    emulated = spec.network.emulated
    return {
        "lad_mpi_version": lad_mpi.__version__,
        **{f"{package}_version": number for package, number in package_versions().items()},
        **_revision(),
        "python_version": platform.python_version(),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "mpi_library": link.library or "none: a single process",
        "hosts": [place["host"] for place in places],
        "processes": [str(place["pid"]) for place in places],
        "affinity": [format_ranges(place["cpus"]) for place in places],
        "devices": [place["device"] for place in places],
        "gpu_transfers": transfers.kind,
        "gpu_transfers_reason": transfers.reason,
        "blas": describe_blas(),
        "blas_threads": [str(place["blas_threads"]) for place in places],
        "cpu_model": cpu_model(),
        "scheduler": [f"{name}={value}" for name, value in public_environment(_SCHEDULERS).items()],
        "oversubscribed": oversubscribed(places),
        **({"emulated_network": emulated} if emulated else {}),
        **({"data_reading": setup.problem.reading} if setup.problem.reading else {}),
        "remarks": list(remarks),
        "dispersion_prediction": dispersion_prediction(spec),
    }


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
            errors="replace",
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
