"""Findings survive JSON, and every problem has a fix."""

import json

import pytest

from lad_mpi.doctor import Finding, Report, Severity
from lad_mpi.doctor.finding import name_ranks
from lad_mpi.errors import ExitCode

FINDINGS = [Finding(s, "check", "found", "" if s == Severity.OK else "fix") for s in Severity]


@pytest.mark.parametrize("severity", list(Severity)[1:])
def test_a_problem_needs_a_fix(severity):
    with pytest.raises(ValueError, match="'placement' needs a fix"):
        Finding(severity, "placement", "crowded")


@pytest.mark.parametrize("finding", FINDINGS, ids=lambda finding: finding.severity.label)
def test_records_are_read_as_they_were_written(finding):
    placed = Finding(finding.severity, "c", "é → ü", finding.fix or "x", ("n1", "n2"), (0, 3))
    for each in (finding, placed):
        assert Finding.from_record(json.loads(json.dumps(each.to_record()))) == each


def test_only_fatal_findings_give_exit_code_5():
    assert Report(tuple(FINDINGS[:3]), ()).exit_code == ExitCode.OK
    assert Report(tuple(FINDINGS), ()).exit_code == ExitCode.UNFIT == 5


def test_the_fix_is_a_hint_as_in_errors():
    assert str(FINDINGS[2]) == "check: found\n  hint: fix"
    assert str(FINDINGS[0]) == "check: found"


def test_a_finding_on_ranks_names_them_and_their_hosts(rank):
    finding = Finding.on([rank(1), rank(3, host="n2")], Severity.NOTE, "check", "odd", "fix")
    assert finding.found == "ranks 1,3 on n1, n2: odd"
    assert (finding.hosts, finding.ranks) == (("n1", "n2"), (1, 3))


def test_ranks_are_named_in_ranges():
    assert name_ranks([4]) == "rank 4"
    assert name_ranks([5, 0, 1, 2, 1]) == "ranks 0-2,5"
