"""What a rank knows of its place on the machine."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from lad_mpi.machine import describe_place

if TYPE_CHECKING:
    from lad_mpi.arrays import Backend


def describe_rank(backend: Backend) -> str:
    """Return host, processors, device and BLAS threads as JSON, for the start-up exchange."""
    return json.dumps({**describe_place(), "pid": os.getpid(), "device": backend.device_name})
