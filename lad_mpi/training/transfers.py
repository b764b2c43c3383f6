"""How what is packed on GPUs gets to MPI, decided once for all ranks."""

from __future__ import annotations

import json
import socket
from dataclasses import asdict, dataclass
from functools import cache
from typing import TYPE_CHECKING

from lad_mpi.arrays import visible_gpus
from lad_mpi.compression import GpuCodec
from lad_mpi.doctor.gpu_probe import (
    HOST_MEMORY,
    PROBE_TIMEOUT_S,
    GpuTransfers,
    probe_gpu_transfers,
)
from lad_mpi.launchers import local_rank

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lad_mpi.spec import Spec
    from lad_mpi.transport import Link

#: For ranks that wait for others to probe, which may take two tries.
_PATIENCE_S = 3 * PROBE_TIMEOUT_S


@dataclass(frozen=True, slots=True)
class _Word:
    """What a rank tells the others.

    Parameters
    ----------
    host : str
        Where it is.
    gpus : list of str
        What it sees there.
    verdict : dict or None
        A :class:`GpuTransfers`, from the first rank of a host.
    """

    host: str
    gpus: list[str]
    verdict: dict[str, object] | None


def agree_on_transfers(spec: Spec, link: Link) -> GpuTransfers:
    """Decide whether MPI is handed arrays of the GPUs; every rank calls this together.

    The first rank of every host probes, and one that must not be handed them decides
    for all. Nothing is tried where the spec or the codec leaves no choice, or where
    there is one process, whose messages need no MPI. The bits of a run are the same
    either way.

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
    link.set_timeout(_PATIENCE_S)
    verdict = asdict(_probe()) if local_rank() == 0 else None
    word = json.dumps(asdict(_Word(socket.gethostname(), visible_gpus(), verdict)))
    found = _judge([_Word(**json.loads(text)) for text in link.gather_texts(word)])
    link.set_timeout(spec.safety.timeout_s)
    return found


def _judge(words: Sequence[_Word]) -> GpuTransfers:
    """Return what holds for all ranks; the first refusal, if there is one."""
    seen: dict[str, list[str]] = {}
    verdicts = []
    for word in words:
        if seen.setdefault(word.host, word.gpus) != word.gpus:
            return GpuTransfers(
                "staged",
                f"{word.host}: ranks see different GPUs, and cannot reach into those of others; "
                "give each all of the host's",
            )
        if word.verdict is not None:
            verdicts.append((word.host, GpuTransfers(**word.verdict)))  # type: ignore[arg-type]
    for host, verdict in verdicts:
        if verdict.kind != "direct":
            return GpuTransfers("staged", f"{host}: {verdict.reason}")
    if not verdicts:
        return GpuTransfers("staged", "no rank was told that it is the first of its host")
    return verdicts[0][1]


@cache
def _probe() -> GpuTransfers:
    """Probe once a process: a study has many runs, and its later ones crowd the GPU."""
    return probe_gpu_transfers()
