"""The hosts themselves: quotas, other work, clocks, frequencies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lad_mpi.doctor.facts import RankFacts, by_host
from lad_mpi.doctor.finding import Finding, Severity, name_ranks

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Readings of a kernel that asks the hardware slowly take microseconds.
_SLOW_CLOCK_S = 1e-6
#: A load that a shell and a doctor make themselves.
_IDLE_LOAD = 0.5


def judge_host(facts: Sequence[RankFacts]) -> list[Finding]:
    """Judge what every host does besides, and how long it lets ranks run."""
    findings: list[Finding] = []
    for host, ranks in by_host(facts).items():
        findings += _quota(host, ranks)
        findings += _load(host, ranks)
    if not findings:
        loads = [r.load_average for r in facts]
        text = f"load average {max(loads):.1f}, no quota in the way"
        findings.append(Finding(Severity.OK, "host", text))
    return findings


def judge_clocks(facts: Sequence[RankFacts]) -> list[Finding]:
    """Judge the clocks that time phases, and frequencies that change under them."""
    findings: list[Finding] = []
    for host, ranks in by_host(facts).items():
        findings += _clock(host, ranks)
        findings += _governor(host, ranks)
    steps = [r.clock.step_s for r in facts if r.clock is not None]
    calls = [r.clock.call_s for r in facts if r.clock is not None]
    if steps and not any(finding.check == "clock" for finding in findings):
        text = f"steps of {max(steps) * 1e9:.0f} ns, {max(calls) * 1e9:.0f} ns a reading"
        findings.append(Finding(Severity.OK, "clock", text))
    return findings


def _quota(host: str, ranks: Sequence[RankFacts]) -> list[Finding]:
    quotas = [r.quota_cpus for r in ranks if r.quota_cpus is not None]
    if not quotas:
        return []
    quota = min(quotas)
    processors = len({cpu for r in ranks for cpu in r.cpus})
    threads = sum(r.threads for r in ranks)
    if quota >= processors:
        return []
    severity = Severity.WARNING if threads > quota else Severity.NOTE
    then = "they are stopped for part of every period" if threads > quota else "enough for them"
    return [
        Finding(
            severity,
            "quota",
            f"{host} shows {processors} processors, but the control group allows the time of "
            f"{quota:g}; {threads} threads here: {then}",
            "give the container whole processors (docker --cpuset-cpus, requests = limits with "
            "static CPU management), or start fewer ranks and threads",
            (host,),
            tuple(r.rank for r in ranks),
        )
    ]


def _load(host: str, ranks: Sequence[RankFacts]) -> list[Finding]:
    load = max(r.load_average for r in ranks)
    if load < _IDLE_LOAD:
        return []
    cpus = max(r.host_cpus for r in ranks)
    threads = sum(r.threads for r in ranks)
    busy = load + threads > cpus + _IDLE_LOAD
    return [
        Finding(
            Severity.WARNING if busy else Severity.NOTE,
            "load",
            f"{host} is busy: load average {load:.1f} on {cpus} processors"
            + (f", and {threads} more to come from here" if busy else ""),
            "measure on a host of your own (sbatch --exclusive); if a job of yours has just "
            "ended, wait: the average looks back a minute",
            (host,),
        )
    ]


def _clock(host: str, ranks: Sequence[RankFacts]) -> list[Finding]:
    known = [(r.rank, r.clock) for r in ranks if r.clock is not None]
    back = [rank for rank, clock in known if clock.went_back]
    if back:
        return [
            Finding(
                Severity.FATAL,
                "clock",
                f"the clock of {host} went backwards on {name_ranks(back)}: no time can be trusted",
                "report it to whoever runs the machine; dmesg | grep -i clocksource says more",
                (host,),
                tuple(back),
            )
        ]
    slow = [(rank, clock) for rank, clock in known if clock.call_s > _SLOW_CLOCK_S]
    if not slow:
        return []
    clock = max((clock for _, clock in slow), key=lambda clock: clock.call_s)
    return [
        Finding(
            Severity.WARNING,
            "clock",
            f"reading the clock of {host} takes {clock.call_s * 1e6:.1f} µs (source: "
            f"{clock.source or 'unknown'}): short phases are timed too long",
            "have the kernel use tsc as its clocksource; until then compare whole iterations only",
            (host,),
            tuple(rank for rank, _ in slow),
        )
    ]


def _governor(host: str, ranks: Sequence[RankFacts]) -> list[Finding]:
    found = sorted({r.governor for r in ranks if r.governor} - {"performance"})
    if not found:
        return []
    return [
        Finding(
            Severity.NOTE,
            "frequency",
            f"{host} sets its processors' frequency by {', '.join(found)}: speed changes with load",
            "use the performance governor (srun --cpu-freq=performance) where you may; leave "
            "warm-up iterations out of timings",
            (host,),
        )
    ]
