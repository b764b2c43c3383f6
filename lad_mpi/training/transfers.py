"""How messages get from GPUs to MPI, decided once for all ranks."""

from __future__ import annotations

import json
import socket
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING

from lad_mpi.compression import GpuCodec
from lad_mpi.launchers import local_rank
from lad_mpi.transport.gpu_probe import (
    HOST_MEMORY,
    PROBE_TIMEOUT_S,
    GpuTransfers,
    probe_gpu_transfers,
)

if TYPE_CHECKING:
    from lad_mpi.spec import Spec
    from lad_mpi.transport import Link


def agree_on_transfers(spec: Spec, link: Link) -> GpuTransfers:
    """Decide whether MPI is handed arrays of the GPUs; every rank calls this together.

    The first rank of every host probes, and one that must not be handed them decides
    for all. Nothing is tried where the spec or the codec leaves no choice, or where
    there is one process, whose messages need no MPI.

    Returns
    -------
    GpuTransfers
        The same on every rank; ``none`` where arrays are in host memory anyway.
    """
    given = spec.backend.gpu_transfers
    if spec.backend.kind == "numpy":
        return HOST_MEMORY
    if not isinstance(spec.compression, GpuCodec):
        return GpuTransfers("staged", f"compression {spec.compression.kind!r} packs on the host")
    if given is not None:
        return GpuTransfers(given, "backend.gpu_transfers says so")
    if link.size == 1:
        return GpuTransfers("direct", "one process, whose messages stay on its GPU")
    patience_s = spec.safety.timeout_s
    # The other ranks wait for the verdict, as long as for anything; it may take two tries.
    timeout_s = min(PROBE_TIMEOUT_S, patience_s / 4) if patience_s else PROBE_TIMEOUT_S
    told = json.dumps(asdict(_probe(timeout_s))) if local_rank() == 0 else ""
    host = socket.gethostname()
    verdicts = [
        (host, GpuTransfers(**json.loads(verdict)))
        for host, _, verdict in (
            text.partition(" ") for text in link.gather_texts(f"{host} {told}")
        )
        if verdict
    ]
    for host, verdict in verdicts:
        if verdict.kind != "direct":
            return GpuTransfers("staged", f"{host}: {verdict.reason}")
    return verdicts[0][1]


@cache
def _probe(timeout_s: float) -> GpuTransfers:
    """Probe once a process: a study has many runs."""
    return probe_gpu_transfers(timeout_s=timeout_s)
