"""Quotas, other people's work, and clocks."""

import pytest

from lad_mpi.doctor import Severity
from lad_mpi.doctor.facts import ClockFacts
from lad_mpi.doctor.host import judge_clocks, judge_host


def found(findings):
    return [(f.severity, f.check) for f in findings]


def test_an_idle_host_is_well(ranks):
    assert found(judge_host(ranks(4))) == [(Severity.OK, "host")]
    assert found(judge_clocks(ranks(4))) == [(Severity.OK, "clock")]


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        (None, (Severity.OK, "host")),
        (8.0, (Severity.OK, "host")),
        (4.0, (Severity.OK, "host")),
        (3.5, (Severity.WARNING, "quota")),
        (0.5, (Severity.WARNING, "quota")),
    ],
)
def test_a_quota_below_the_threads_stops_them(ranks, quota, expected):
    assert found(judge_host(ranks(4, quota_cpus=quota))) == [expected]


def test_a_quota_that_is_enough_is_a_note(rank):
    (finding,) = judge_host([rank(0, cpus=tuple(range(16)), quota_cpus=2.0)])
    assert (finding.severity, finding.check) == (Severity.NOTE, "quota")
    assert "16 processors" in finding.found


@pytest.mark.parametrize(
    ("load", "expected"),
    [
        (0.3, (Severity.OK, "host")),
        (2.0, (Severity.NOTE, "load")),
        (12.4, (Severity.NOTE, "load")),
        (13.0, (Severity.WARNING, "load")),
        (40.0, (Severity.WARNING, "load")),
    ],
)
def test_a_busy_host_is_told_by_its_load(ranks, load, expected):
    assert found(judge_host(ranks(4, load_average=load))) == [expected]


def test_each_host_is_judged_by_itself(rank):
    facts = [rank(0), rank(1, host="n2", load_average=30.0), rank(2, host="n3", quota_cpus=0.5)]
    assert [(f.check, f.hosts) for f in judge_host(facts)] == [
        ("load", ("n2",)),
        ("quota", ("n3",)),
    ]


def test_a_clock_that_goes_back_is_fatal(ranks, rank):
    back = rank(2, clock=ClockFacts("tsc", 5e-8, 4e-8, went_back=True))
    (finding,) = judge_clocks([*ranks(2), back])
    assert (finding.severity, finding.check) == (Severity.FATAL, "clock")
    assert finding.ranks == (2,)


def test_a_slow_clock_is_a_warning(ranks):
    slow = ClockFacts("hpet", 2e-6, 1e-7, went_back=False)
    (finding,) = judge_clocks(ranks(2, clock=slow))
    assert (finding.severity, finding.check) == (Severity.WARNING, "clock")
    assert "hpet" in finding.found
    assert "2.0 µs" in finding.found


@pytest.mark.parametrize(
    ("governor", "told"), [("performance", False), ("", False), ("powersave", True)]
)
def test_a_frequency_that_follows_the_load_is_a_note(ranks, governor, told):
    checks = found(judge_clocks(ranks(2, governor=governor)))
    assert ((Severity.NOTE, "frequency") in checks) == told
