"""GPUs: whether they are seen, who shares them, and how messages get from them to MPI."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lad_mpi.doctor.facts import RankFacts, by_host
from lad_mpi.doctor.finding import Finding, Severity, name_ranks

if TYPE_CHECKING:
    from collections.abc import Sequence

# Not --gpus-per-task: ranks that see their own alone cannot hand arrays to each other.
_SHARED = "one rank a GPU: fewer ranks a host, or more GPUs (sbatch --gpus-per-node)"


def judge_gpus(facts: Sequence[RankFacts]) -> list[Finding]:
    """Judge every host's GPUs; nothing is wrong with a host that has none."""
    findings: list[Finding] = []
    for host, ranks in by_host(facts).items():
        findings += _unseen(host, ranks) + _shared(host, ranks) + _transfers(host, ranks)
    if not findings:
        seen = sum(bool(r.gpu) for r in facts)
        text = f"{seen} ranks have a GPU" if seen else "none here; backend.kind = numpy"
        findings.append(Finding(Severity.OK, "gpu", text))
    return findings


def _unseen(host: str, ranks: Sequence[RankFacts]) -> list[Finding]:
    blind = [r for r in ranks if r.driver_gpus and not r.gpus]
    if not blind:
        return []
    hidden = [r for r in blind if "CUDA_VISIBLE_DEVICES" in r.environment]
    installed = any(name.startswith("cupy") for name in blind[0].versions)
    if hidden:
        why, fix = "CUDA_VISIBLE_DEVICES hides them", "ask the scheduler for GPUs, or unset it"
    elif installed:
        why, fix = (
            "CuPy can use none of them",
            "match CuPy to the driver: lad_mpi[cuda12], [cuda13]",
        )
    else:
        why, fix = "CuPy is not installed", "pip install 'lad_mpi[cuda12]', to match the driver"
    return [
        Finding(
            Severity.NOTE,
            "gpu",
            f"{host} has {blind[0].driver_gpus} GPUs, and {name_ranks(r.rank for r in blind)} "
            f"can use none: {why}",
            f"for backend.kind = cupy: {fix}",
            (host,),
            tuple(r.rank for r in blind),
        )
    ]


def _shared(host: str, ranks: Sequence[RankFacts]) -> list[Finding]:
    users: dict[str, list[int]] = {}
    for rank in ranks:
        # With several ranks the server computes no gradients, and may share.
        if rank.gpu and rank.rank > 0:
            users.setdefault(rank.gpu, []).append(rank.rank)
    return [
        Finding(
            Severity.WARNING,
            "gpu",
            f"{name_ranks(numbers)} on {host} would share one GPU ({gpu}): they take turns",
            _SHARED,
            (host,),
            tuple(numbers),
        )
        for gpu, numbers in users.items()
        if len(numbers) > 1
    ]


def _transfers(host: str, ranks: Sequence[RankFacts]) -> list[Finding]:
    for rank in ranks:
        found = rank.transfers
        if found is None:
            continue
        if found.kind == "direct":
            text = f"{host}: MPI takes the GPU's arrays directly ({found.reason})"
            return [Finding(Severity.OK, "gpu transfers", text, hosts=(host,))]
        return [
            Finding(
                Severity.NOTE,
                "gpu transfers",
                f"{host}: {found.kind}, {found.reason}",
                "messages go through pinned memory of the host, which is right but slower; for "
                "direct ones use an MPI built for CUDA, with its variable set (Cray: "
                "MPICH_GPU_SUPPORT_ENABLED=1; MPICH: MPIR_CVAR_ENABLE_GPU=1), and an mpiexec "
                "of its own to try it with, or backend.gpu_transfers",
                (host,),
            )
        ]
    return []
