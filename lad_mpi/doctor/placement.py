"""Ranks and threads against the processors that they may use."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from lad_mpi.doctor.facts import RankFacts, by_host
from lad_mpi.doctor.finding import Finding, Severity, name_ranks
from lad_mpi.machine import format_ranges

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_BIND = "mpirun --bind-to core, srun --cpu-bind=cores"

Mask = frozenset[int]


def judge_placement(facts: Sequence[RankFacts]) -> list[Finding]:
    """Judge every host: too many threads, shared and uneven processors, idle ones.

    Notes
    -----
    A set of processors is crowded when the threads of the ranks that can run
    nowhere else are more than it has. It is enough to look at the masks and at
    all processors of a host together.
    """
    findings: list[Finding] = []
    for host, ranks in by_host(facts).items():
        found = _crowded(host, ranks) or _overlaps(host, ranks) or _unbound(host, ranks)
        findings += found or _siblings(host, ranks)
        findings += _idle(host, ranks)
    findings += _uneven(facts)
    if not findings:
        findings.append(Finding(Severity.OK, "placement", _summary(facts)))
    return findings


def _crowded(host: str, ranks: Sequence[RankFacts]) -> list[Finding]:
    everything = _union(ranks)
    threads: Counter[Mask] = Counter()
    for rank in ranks:
        threads[frozenset(rank.cpus)] += rank.threads
    disjoint = sum(map(len, threads)) == len(everything)
    demand = threads if disjoint else {m: _inside(m, threads) for m in threads}
    crowded = [m for m in threads if demand[m] > len(m)]
    if not crowded and threads.total() > len(everything):
        crowded = [everything]
    # What is crowded because a part of it is, is not told again.
    smallest = [m for m in crowded if disjoint or not any(part < m for part in crowded)]
    alike: dict[tuple[int, int], list[Mask]] = {}
    for m in sorted(smallest, key=min):
        alike.setdefault((len(m), demand.get(m, threads.total())), []).append(m)
    return [_crowd(host, masks, count, ranks) for (_, count), masks in alike.items()]


def _inside(mask: Mask, threads: Counter[Mask]) -> int:
    return sum(count for other, count in threads.items() if other <= mask)


def _crowd(host: str, masks: list[Mask], threads: int, ranks: Sequence[RankFacts]) -> Finding:
    """Tell of sets of processors that are of one size and crowded by as many threads."""
    known = set(masks)
    inside = [r for r in ranks if _fits(r, known)]
    size, each = len(masks[0]), max(r.threads for r in inside)
    host_cpus = max(r.host_cpus for r in inside)
    everything = _union(ranks)
    fixes = []
    if each > 1:
        fixes.append("lower OMP_NUM_THREADS to the processors of a rank")
    if len(inside) > len(masks):
        fixes.append(f"start at most {max(1, size // each)} such ranks there, or use more hosts")
    if size < host_cpus:
        fixes.append(
            f"the host has {host_cpus} processors: ask the scheduler for more of them, or have "
            f"each rank bound to its own ({_BIND})"
        )
    where = _processors(masks[0])
    if len(masks) > 1:
        where = f"each of {len(masks)} sets of {size} among {_processors(_union(inside))}"
    return Finding(
        Severity.WARNING,
        "oversubscription" if masks[0] == everything else "affinity",
        f"{name_ranks(r.rank for r in inside)} on {host}: {threads} threads on {where}; results "
        "are right, times are those of a crowd",
        "; ".join(fixes),
        (host,),
        tuple(r.rank for r in inside),
    )


def _fits(rank: RankFacts, masks: set[Mask]) -> bool:
    own = frozenset(rank.cpus)
    return own in masks or any(own < mask for mask in masks)


def _overlaps(host: str, ranks: Sequence[RankFacts]) -> list[Finding]:
    owners: dict[int, set[Mask]] = {}
    for mask in {frozenset(r.cpus) for r in ranks}:
        for cpu in mask:
            owners.setdefault(cpu, set()).add(mask)
    shared = {cpu for cpu, masks in owners.items() if len(masks) > 1}
    if not shared:
        return []
    concerned = tuple(r.rank for r in ranks if shared & set(r.cpus))
    return [
        Finding(
            Severity.WARNING,
            "affinity",
            f"{name_ranks(concerned)} on {host} have different processors that overlap in "
            f"{_processors(shared)}: some ranks share what others have alone",
            f"have the launcher bind all ranks alike ({_BIND}), or none",
            (host,),
            concerned,
        )
    ]


def _unbound(host: str, ranks: Sequence[RankFacts]) -> list[Finding]:
    users = Counter(r.cpus for r in ranks)
    several = [r for r in ranks if users[r.cpus] > 1]
    if not several:
        return []
    concerned = tuple(r.rank for r in several)
    return [
        Finding(
            Severity.NOTE,
            "affinity",
            f"{name_ranks(concerned)} on {host} are bound to no processors of their own: the "
            f"system moves them about on {_processors(_union(several))}",
            f"for times that can be compared, bind ranks, alike at every number of them ({_BIND})",
            (host,),
            concerned,
        )
    ]


def _siblings(host: str, ranks: Sequence[RankFacts]) -> list[Finding]:
    owners: dict[int, set[Mask]] = {}
    for rank in ranks:
        for core in rank.cores:
            owners.setdefault(core, set()).add(frozenset(rank.cpus))
    shared = {core for core, masks in owners.items() if len(masks) > 1}
    if not shared:
        return []
    concerned = tuple(r.rank for r in ranks if shared & set(r.cores))
    return [
        Finding(
            Severity.WARNING,
            "affinity",
            f"{name_ranks(concerned)} on {host} share cores: their processors are hyper-threads "
            f"of the same {len(shared)} core{'s' if len(shared) > 1 else ''}",
            f"one rank a core (srun --hint=nomultithread, {_BIND})",
            (host,),
            concerned,
        )
    ]


def _idle(host: str, ranks: Sequence[RankFacts]) -> list[Finding]:
    users = Counter(r.cpus for r in ranks)
    # An unbound process alone on a host leaves the rest to others.
    idle = [r for r in ranks if users[r.cpus] == 1 and r.threads < len(r.cpus) < r.host_cpus]
    if not idle:
        return []
    count = sum(len(r.cpus) - r.threads for r in idle)
    return [
        Finding(
            Severity.NOTE,
            "idle processors",
            f"{name_ranks(r.rank for r in idle)} on {host} leave {count} of their "
            f"{sum(len(r.cpus) for r in idle)} processors idle",
            "raise OMP_NUM_THREADS to the processors of a rank, or ask for fewer; count idle "
            "ones in every efficiency",
            (host,),
            tuple(r.rank for r in idle),
        )
    ]


def _uneven(facts: Sequence[RankFacts]) -> list[Finding]:
    findings = []
    threads = {r.blas_threads for r in facts}
    if len(threads) > 1:
        findings.append(
            Finding(
                Severity.WARNING,
                "threads",
                f"linear algebra uses {min(threads)} to {max(threads)} threads, different ones "
                "on different ranks: last bits may depend on who computes",
                "set OMP_NUM_THREADS, the same for all ranks",
            )
        )
    sizes = {len(r.cpus) for r in facts}
    if len(sizes) > 1:
        findings.append(
            Finding(
                Severity.NOTE,
                "affinity",
                f"ranks have {min(sizes)} to {max(sizes)} processors, not all the same number",
                f"ask for the same for every rank ({_BIND}, with --cpus-per-task)",
            )
        )
    return findings


def _union(ranks: Iterable[RankFacts]) -> Mask:
    return frozenset(cpu for r in ranks for cpu in r.cpus)


def _processors(cpus: Iterable[int]) -> str:
    numbers = set(cpus)
    return f"processor{'s' if len(numbers) > 1 else ''} {format_ranges(numbers)}"


def _summary(facts: Sequence[RankFacts]) -> str:
    first = facts[0]
    threads = f"{first.threads} thread{'s' if first.threads > 1 else ''}"
    if len(facts) == 1:
        return f"{threads} on {_processors(first.cpus)} of {first.host_cpus}"
    return f"{threads} a rank, each rank on {len(first.cpus)} of its own"
