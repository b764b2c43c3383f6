"""Check ranks and threads against the processors that they may use."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from lad_mpi.doctor.facts import RankFacts, by_host
from lad_mpi.doctor.finding import Finding, Severity, name_processors
from lad_mpi.launchers import ignored_cpus_per_task, inherited_binding

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_BIND = "mpirun --bind-to core, srun --cpu-bind=cores"
#: A shell and the doctor cause this load by themselves.
_IDLE_LOAD = 0.5

Mask = frozenset[int]


def judge_placement(facts: Sequence[RankFacts], servers: int = 1) -> list[Finding]:
    """Check threads, affinity, binding variables, quotas and load, host by host.

    Parameters
    ----------
    facts : sequence of RankFacts
        One per rank, in rank order.
    servers : int
        S; the first ranks are servers.
    """
    hosts = by_host(facts).values()
    found = [f for ranks in hosts for f in (_crowded(ranks) or _shared(ranks)) + _idle(ranks)]
    found += _uneven(facts) + _shared_links(facts, servers)
    busy = [f for ranks in hosts for f in _quota(ranks) + _load(ranks)]
    well = [Finding(Severity.OK, "placement", _summary(facts))]
    return (found or well) + _binding_variables(facts) + busy


def _shared_links(facts: Sequence[RankFacts], servers: int) -> list[Finding]:
    """Find servers on one of several hosts, which share its network link."""
    if len(by_host(facts)) == 1:
        return []
    return [
        Finding.on(
            ranks,
            Severity.WARNING,
            "servers",
            f"{len(ranks)} servers share the network link of a host",
            "put servers on different hosts (mpirun --map-by node, srun --distribution=cyclic), "
            "or lower server.ranks",
        )
        for ranks in by_host(facts[:servers]).values()
        if len(ranks) > 1
    ]


def _crowded(ranks: Sequence[RankFacts]) -> list[Finding]:
    """Find sets of processors with fewer members than threads that can run nowhere else.

    It is enough to test each mask, and all processors of the host together.
    """
    everything = _union(ranks)
    threads: Counter[Mask] = Counter()
    for rank in ranks:
        threads[frozenset(rank.cpus)] += rank.threads
    # The usual case. Comparing every pair of masks is slow on many processors.
    disjoint = sum(map(len, threads)) == len(everything)
    demand = threads if disjoint else {m: _inside(m, threads) for m in threads}
    crowded = [m for m in threads if demand[m] > len(m)]
    if not crowded and threads.total() > len(everything):
        crowded = [everything]
    if not crowded:
        return []
    smallest = [m for m in crowded if disjoint or not any(part < m for part in crowded)]
    return [_crowd(smallest, ranks)]


def _inside(mask: Mask, threads: Counter[Mask]) -> int:
    return sum(count for other, count in threads.items() if other <= mask)


def _crowd(masks: Sequence[Mask], ranks: Sequence[RankFacts]) -> Finding:
    known = set(masks)
    inside = [r for r in ranks if _fits(frozenset(r.cpus), known)]
    processors = frozenset[int]().union(*masks)
    each = max(r.threads for r in inside)
    host_cpus = max(r.host_cpus for r in inside)
    fixes = []
    if each > 1:
        fixes.append("lower OMP_NUM_THREADS to the processors per rank")
    if len(inside) > len(masks):
        most = max(1, sum(len(m) // each for m in masks))
        fixes.append(f"start at most {most} such ranks there, or use more hosts")
    if len(processors) < host_cpus:
        fixes.append(
            f"the host has {host_cpus} processors: ask the scheduler for more of them, or bind "
            f"each rank to its own ({_BIND})"
        )
    return Finding.on(
        inside,
        Severity.WARNING,
        "oversubscription" if processors == _union(ranks) else "affinity",
        f"{sum(r.threads for r in inside)} threads on {name_processors(processors)}; results are "
        "right, times are not reliable",
        "; ".join(fixes),
    )


def _fits(own: Mask, masks: set[Mask]) -> bool:
    return own in masks or any(own < mask for mask in masks)


def _shared(ranks: Sequence[RankFacts]) -> list[Finding]:
    """Find ranks that share processors, or else the cores of their processors."""
    shared = _used_twice(r.cpus for r in ranks)
    if shared:
        sharing = [r for r in ranks if shared & set(r.cpus)]
        alike = len({r.cpus for r in sharing}) == 1
        text = f"they share {name_processors(shared)}, and the system moves them between these"
        if not alike:
            text = (
                f"they are bound to different sets of processors, which overlap in "
                f"{name_processors(shared)}"
            )
        fix = f"for comparable times, bind each rank to its own, at every number of ranks ({_BIND})"
        severity = Severity.NOTE if alike else Severity.WARNING
        return [Finding.on(sharing, severity, "affinity", text, fix)]
    shared = _used_twice(set(r.cores) for r in ranks)
    if not shared:
        return []
    return [
        Finding.on(
            [r for r in ranks if shared & set(r.cores)],
            Severity.WARNING,
            "affinity",
            f"they share {len(shared)} core{'s' if len(shared) > 1 else ''}: their processors are "
            "hyper-threads",
            f"use one rank per core (srun --hint=nomultithread, {_BIND})",
        )
    ]


def _used_twice(sets: Iterable[Iterable[int]]) -> set[int]:
    users = Counter(number for numbers in sets for number in numbers)
    return {number for number, count in users.items() if count > 1}


def _idle(ranks: Sequence[RankFacts]) -> list[Finding]:
    users = Counter(r.cpus for r in ranks)
    # A single process that is not bound leaves the other processors to others.
    idle = [r for r in ranks if users[r.cpus] == 1 and r.threads < len(r.cpus) < r.host_cpus]
    if not idle:
        return []
    busy, processors = sum(r.threads for r in idle), sum(len(r.cpus) for r in idle)
    found = f"they use {busy} of their {processors} processors"
    fix = "raise OMP_NUM_THREADS to the processors per rank, or ask for fewer processors"
    return [Finding.on(idle, Severity.NOTE, "idle processors", found, fix)]


def _quota(ranks: Sequence[RankFacts]) -> list[Finding]:
    quota = min((r.quota_cpus for r in ranks if r.quota_cpus is not None), default=None)
    threads = sum(r.threads for r in ranks)
    if quota is None or threads <= quota:
        return []
    return [
        Finding.on(
            ranks,
            Severity.WARNING,
            "quota",
            f"{threads} threads, but the control group allows {quota:g} processors, so the "
            "kernel stops them for part of every period",
            "give the container whole processors (docker --cpuset-cpus, requests = limits with "
            "static CPU management), or start fewer ranks and threads",
        )
    ]


def _load(ranks: Sequence[RankFacts]) -> list[Finding]:
    load = max(r.load_average for r in ranks)
    cpus = max(r.host_cpus for r in ranks)
    threads = sum(r.threads for r in ranks)
    if load < _IDLE_LOAD or load + threads <= cpus + _IDLE_LOAD:
        return []
    return [
        Finding(
            Severity.WARNING,
            "load",
            f"{ranks[0].host} is busy: load average {load:.1f} besides the threads of these ranks "
            f"({threads}), on {cpus} processors",
            "measure on a host of your own (sbatch --exclusive); if a job of yours has just "
            "ended, wait: the average covers the last minute",
            (ranks[0].host,),
        )
    ]


def _uneven(facts: Sequence[RankFacts]) -> list[Finding]:
    threads = {r.blas_threads for r in facts}
    if len(threads) == 1:
        return []
    found = (
        f"linear algebra uses {min(threads)} to {max(threads)} threads on different ranks, so "
        "the last bits may depend on which rank computes"
    )
    fix = "set OMP_NUM_THREADS to the same value on all ranks"
    return [Finding(Severity.WARNING, "threads", found, fix)]


def _binding_variables(facts: Sequence[RankFacts]) -> list[Finding]:
    """Find variables that bind ranks or threads unintentionally."""
    on_host = Counter(r.host for r in facts)
    inherited = [r for r in facts if inherited_binding(r.environment)]
    ignored = [r for r in facts if ignored_cpus_per_task(r.environment, len(r.cpus))]
    openmp = [r for r in facts if on_host[r.host] > 1 and _openmp_binding(r)]
    found: list[tuple[Sequence[RankFacts], str, str]] = []
    if inherited:
        names = ", ".join(inherited_binding(inherited[0].environment))
        text = f"{names} came from an outer job step, so the next srun binds its ranks like it"
        found.append((inherited, text, "unset ${!SLURM_CPU_BIND@} before srun"))
    if ignored:
        wanted = ignored_cpus_per_task(ignored[0].environment, len(ignored[0].cpus))
        text = (
            f"the job asked for {wanted} processors per task, but srun (since 22.05) does not "
            "read SLURM_CPUS_PER_TASK and gives one"
        )
        fix = "export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK before srun"
        found.append((ignored, text, fix))
    if openmp:
        name = _openmp_binding(openmp[0])
        text = (
            f"{name}={openmp[0].environment[name]} binds the threads of every rank of a host to "
            "the same processors"
        )
        fix = f"unset {name}, and let the launcher bind ranks ({_BIND})"
        found.append((openmp, text, fix))
    return [
        Finding.on(ranks, Severity.WARNING, "environment", text, fix) for ranks, text, fix in found
    ]


def _openmp_binding(rank: RankFacts) -> str:
    """Return the variable by which OpenMP binds the threads of all ranks alike, or nothing."""
    environ = rank.environment
    for name in ("GOMP_CPU_AFFINITY", "KMP_AFFINITY"):
        if environ.get(name, "") not in ("", "disabled", "none"):
            return name
    unbound = len(rank.cpus) == rank.host_cpus or "{" in environ.get("OMP_PLACES", "")
    binds = environ.get("OMP_PROC_BIND", "").lower() not in ("", "false")
    return "OMP_PROC_BIND" if binds and unbound else ""


def _union(ranks: Iterable[RankFacts]) -> Mask:
    return frozenset(cpu for r in ranks for cpu in r.cpus)


def _summary(facts: Sequence[RankFacts]) -> str:
    first = facts[0]
    threads = f"{first.threads} thread{'s' if first.threads > 1 else ''}"
    if len(facts) == 1:
        return f"{threads} on {name_processors(first.cpus)} of {first.host_cpus}"
    return f"{threads} per rank, each rank on {len(first.cpus)} of its own"
