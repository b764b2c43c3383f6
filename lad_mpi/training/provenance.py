"""Collect the provenance of a run: versions, hosts, processors, launcher."""

from __future__ import annotations

import json
import platform
import re
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
    from collections.abc import Mapping, Sequence

    from lad_mpi.training.setup import Setup


def provenance(
    setup: Setup,
    ranks: list[str],
    remarks: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the provenance for the log, as a flat dictionary.

    Without ``logging.host_details`` it has no command line, no process ids, and no names of
    hosts, jobs and queues. Hosts are then called ``host-0``, ``host-1``, … in rank order.

    Parameters
    ----------
    setup : Setup
        The run on the server.
    ranks : list of str
        :func:`~lad_mpi.training.run.describe_rank` of every rank.
    remarks : sequence of str
        Remarks on the environment of the run.
    """
    places = [json.loads(place) for place in ranks]
    spec, link = setup.spec, setup.link
    emulated = spec.network.emulated
    details = spec.logging.host_details
    hosts = [place["host"] for place in places]
    names = {host: host if details else f"host-{n}" for n, host in enumerate(dict.fromkeys(hosts))}
    variables = public_environment(naming=details)
    return {
        "lad_mpi_version": lad_mpi.__version__,
        **{f"{package}_version": number for package, number in package_versions().items()},
        **_revision(),
        "python_version": platform.python_version(),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]) if details else "",
        "server_ranks": setup.spec.server.ranks,
        "mpi_library": link.library or "none: a single process",
        "hosts": [names[host] for host in hosts],
        "processes": [str(place["pid"]) for place in places] if details else [],
        "affinity": [format_ranges(place["cpus"]) for place in places],
        "devices": [place["device"] for place in places],
        "gpu_transfers": _transfers(setup),
        "blas": describe_blas(),
        "blas_threads": [str(place["blas_threads"]) for place in places],
        "cpu_model": cpu_model(),
        "scheduler": [f"{name}={value}" for name, value in variables.items()],
        "oversubscribed": oversubscribed(places),
        **({"emulated_network": emulated} if emulated else {}),
        **({"data_reading": setup.data_reading} if setup.data_reading else {}),
        "remarks": [_with_names(remark, names) for remark in remarks],
        "dispersion_prediction": dispersion_prediction(setup),
    }


def _transfers(setup: Setup) -> str:
    if setup.backend.on_host:
        return "none"
    return "direct" if setup.sends_from_gpu else "staged"


def _with_names(text: str, names: Mapping[str, str]) -> str:
    """Replace names of hosts in a text by the names that the log uses."""
    longest_first = sorted(map(re.escape, names), key=len, reverse=True)
    hosts = rf"(?<![\w.-])({'|'.join(longest_first)})(?![\w-])"
    return re.sub(hosts, lambda found: names[found[0]], text)


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
