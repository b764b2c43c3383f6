"""Variables that were set for something else and bind ranks or threads all the same."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lad_mpi.doctor.facts import RankFacts, by_host
from lad_mpi.doctor.finding import Finding, Severity, name_ranks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

#: Step numbers above are SLURM's own: the batch script, an interactive shell.
_LARGEST_STEP = 2**31
#: Compilers' own variables, which list processors without knowing of other ranks.
_LISTS = ("GOMP_CPU_AFFINITY", "KMP_AFFINITY")
#: Launchers' settings; a rank cannot see options of the command line.
_LAUNCHERS = (
    "HYDRA_BINDING",
    "HYDRA_MAPPING",
    "HYDRA_MEMBIND",
    "I_MPI_PIN",
    "MV2_CPU",
    "MV2_ENABLE_AFFINITY",
    "OMPI_MCA_hwloc",
    "OMPI_MCA_rmaps",
    "PRTE_MCA_hwloc",
    "PRTE_MCA_rmaps",
    "SLURM_DISTRIBUTION",
)
_PLACE = re.compile(r"\{[^}]*\}(?::(\d+)(?::-?\d+)?)?")
_NAMED_PLACES = re.compile(r"[a-z_]+\((\d+)\)")


def judge_environment(facts: Sequence[RankFacts]) -> list[Finding]:
    """Judge binding variables on every rank; what several ranks have alike is told once."""
    found: dict[Finding, list[RankFacts]] = {}
    hosts = by_host(facts)
    for rank in facts:
        for judge in _JUDGES:
            for finding in judge(rank, len(hosts[rank.host])):
                found.setdefault(finding, []).append(rank)
    findings = [_placed(finding, ranks, len(facts)) for finding, ranks in found.items()]
    if not findings:
        text = "no variable that would bind ranks or threads behind the launcher's back"
        findings.append(Finding(Severity.OK, "environment", text))
    return findings


def _placed(finding: Finding, ranks: Sequence[RankFacts], size: int) -> Finding:
    if len(ranks) == size:
        return finding
    numbers = tuple(r.rank for r in ranks)
    return Finding(
        finding.severity,
        finding.check,
        f"{finding.found} ({name_ranks(numbers)})",
        finding.fix,
        tuple(by_host(ranks)),
        numbers,
    )


def _slurm_binding(rank: RankFacts, on_host: int) -> list[Finding]:  # noqa: ARG001
    variables = [name for name in rank.environment if name.startswith("SLURM_CPU_BIND")]
    # In a step of its own srun sets them for its tasks, as a record of what it did.
    if not variables or _in_step(rank.environment):
        return []
    return [
        Finding(
            Severity.WARNING,
            "environment",
            f"{', '.join(variables)} came from an outer job step: the next srun binds its ranks "
            "as that one's",
            "unset ${!SLURM_CPU_BIND@} before srun",
        )
    ]


def _slurm_cpus(rank: RankFacts, on_host: int) -> list[Finding]:  # noqa: ARG001
    environ = rank.environment
    wanted = _number(environ.get("SLURM_CPUS_PER_TASK", ""))
    if not wanted or wanted == 1 or "SRUN_CPUS_PER_TASK" in environ:
        return []
    # What counts in a step is what the rank was given.
    if _in_step(environ) and len(rank.cpus) >= wanted:
        return []
    return [
        Finding(
            Severity.WARNING,
            "environment",
            f"the job asked for {wanted} processors a task, but srun (since 22.05) does not read "
            "SLURM_CPUS_PER_TASK and gives one",
            "export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK before srun",
        )
    ]


def _openmp_places(rank: RankFacts, on_host: int) -> list[Finding]:
    environ = rank.environment
    bind = environ.get("OMP_PROC_BIND", "").lower()
    if bind in ("", "false"):
        return []
    places = _count_places(environ.get("OMP_PLACES", ""))
    if places is not None and places < rank.threads:
        return [
            Finding(
                Severity.WARNING,
                "environment",
                f"OMP_PROC_BIND={bind} with {places} OMP_PLACES for {rank.threads} threads: "
                "several threads share a place",
                "unset OMP_PLACES, or list as many places as threads",
            )
        ]
    if on_host > 1 and (places is not None or len(rank.cpus) == rank.host_cpus):
        return [
            Finding(
                Severity.WARNING,
                "environment",
                f"OMP_PROC_BIND={bind} while ranks are not bound: each rank's OpenMP binds its "
                "threads to the same first processors",
                "unset OMP_PROC_BIND OMP_PLACES, or have the launcher bind ranks",
            )
        ]
    return []


def _compiler_lists(rank: RankFacts, on_host: int) -> list[Finding]:
    severity = Severity.WARNING if on_host > 1 else Severity.NOTE
    together = ": the same processors for every rank of a host" if on_host > 1 else ""
    return [
        Finding(
            severity,
            "environment",
            f"{name}={rank.environment[name]} binds threads{together}",
            f"unset {name}, and have the launcher bind ranks",
        )
        for name in _LISTS
        if rank.environment.get(name, "") not in ("", "disabled", "none")
    ]


def _launcher_settings(rank: RankFacts, on_host: int) -> list[Finding]:  # noqa: ARG001
    names = [name for name in rank.environment if name.startswith(_LAUNCHERS)]
    # Inside a step, srun's record of its own layout is no setting.
    if _in_step(rank.environment):
        names = [name for name in names if not name.startswith("SLURM_")]
    if not names:
        return []
    shown = ", ".join(f"{name}={rank.environment[name]}" for name in names)
    return [
        Finding(
            Severity.NOTE,
            "environment",
            f"the launcher places ranks by inherited variables: {shown}",
            "see that they mean this machine and every number of ranks alike; else unset them",
        )
    ]


_JUDGES: tuple[Callable[[RankFacts, int], list[Finding]], ...] = (
    _slurm_binding,
    _slurm_cpus,
    _openmp_places,
    _compiler_lists,
    _launcher_settings,
)


def _in_step(environ: Mapping[str, str]) -> bool:
    step = _number(environ.get("SLURM_STEP_ID", ""))
    return step is not None and step < _LARGEST_STEP


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def _count_places(text: str) -> int | None:
    """Count OpenMP's places; None for a name, ``cores``, whose number is the machine's."""
    named = _NAMED_PLACES.fullmatch(text.strip())
    if named:
        return int(named[1])
    listed = _PLACE.findall(text)
    return sum(int(count or 1) for count in listed) if listed else None
