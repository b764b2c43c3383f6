"""Check that GPUs can be used, are not shared, and how their arrays best reach MPI."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lad_mpi.doctor.facts import RankFacts, by_host
from lad_mpi.doctor.finding import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Sequence


def judge_gpus(facts: Sequence[RankFacts]) -> list[Finding]:
    """Check the GPUs of every host, and recommend a value of ``backend.gpu_transfers``."""
    findings: list[Finding] = []
    for ranks in by_host(facts).values():
        findings += _unusable(ranks) + _shared(ranks)
    findings += _transfers(facts)
    if not findings:
        count = sum(bool(r.gpu) for r in facts)
        text = f"{count} of {len(facts)} ranks have a GPU" if count else "there are no GPUs"
        findings.append(Finding(Severity.OK, "gpu", text))
    return findings


def _unusable(ranks: Sequence[RankFacts]) -> list[Finding]:
    blind = [r for r in ranks if r.driver_gpus and not r.gpus]
    if not blind:
        return []
    installed = any(name.startswith("cupy") for name in blind[0].versions)
    if any("CUDA_VISIBLE_DEVICES" in r.environment for r in blind):
        why, fix = "CUDA_VISIBLE_DEVICES hides them", "ask the scheduler for GPUs, or unset it"
    elif installed:
        why = "CuPy finds none"
        fix = "install the CuPy that matches the driver: lad_mpi[cuda12] or lad_mpi[cuda13]"
    else:
        why = "CuPy is not installed"
        fix = "pip install 'lad_mpi[cuda12]', or lad_mpi[cuda13], to match the driver"
    found = f"the host has {blind[0].driver_gpus} GPUs that cannot be used: {why}"
    return [Finding.on(blind, Severity.NOTE, "gpu", found, f"for backend.kind = cupy: {fix}")]


def _shared(ranks: Sequence[RankFacts]) -> list[Finding]:
    users: dict[str, list[RankFacts]] = {}
    for rank in ranks:
        # Rank 0 computes no gradients, so it may share.
        if rank.gpu and rank.rank > 0:
            users.setdefault(rank.gpu, []).append(rank)
    # Not --gpus-per-task: a rank that sees only its own GPU cannot reach the others.
    fix = "use one rank per GPU: fewer ranks per host, or more GPUs (sbatch --gpus-per-node)"
    return [
        Finding.on(sharing, Severity.WARNING, "gpu", f"they would share one GPU ({gpu})", fix)
        for gpu, sharing in users.items()
        if len(sharing) > 1
    ]


def _transfers(facts: Sequence[RankFacts]) -> list[Finding]:
    """Recommend ``"direct"`` only if it works on every host."""
    tried = [(r.host, r.transfers) for r in facts if r.transfers is not None]
    if not tried:
        return []
    for host, ranks in by_host(facts).items():
        if len({r.gpus for r in ranks if r.gpus}) > 1:
            why = f"the ranks of {host} see different GPUs and cannot reach those of each other"
            fix = "let every rank see all GPUs of its host (sbatch --gpus-per-node)"
            return [_stay_staged(why, fix)]
    for host, found in tried:
        if found.kind != "direct":
            fix = (
                "for direct transfers use an MPI library built for CUDA, switched on by its "
                "variable (Cray: MPICH_GPU_SUPPORT_ENABLED=1; MPICH: MPIR_CVAR_ENABLE_GPU=1), "
                "with its mpiexec on the path"
            )
            return [_stay_staged(f"{host}: {found.reason}", fix)]
    host, found = tried[0]
    return [
        Finding(
            Severity.NOTE,
            "gpu transfers",
            f"MPI takes arrays of the GPU correctly, and faster than through the host "
            f"({host}: {found.reason})",
            'set backend.gpu_transfers = "direct"; the default is "staged"',
        )
    ]


def _stay_staged(why: str, fix: str) -> Finding:
    found = f'stay with backend.gpu_transfers = "staged", the default: {why}'
    return Finding(Severity.NOTE, "gpu transfers", found, fix)
