"""What a rank knows of its place on the machine."""

from __future__ import annotations

import json
import os
import socket
from typing import TYPE_CHECKING

from threadpoolctl import threadpool_info

if TYPE_CHECKING:
    from lad_mpi.arrays import Backend


def describe_rank(backend: Backend) -> str:
    """Return host, process, processors, device and BLAS threads as JSON, for the start."""
    return json.dumps(
        {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "cpus": sorted(os.sched_getaffinity(0)),
            "device": backend.device_name,
            "blas_threads": max((pool["num_threads"] for pool in threadpool_info()), default=1),
        }
    )
