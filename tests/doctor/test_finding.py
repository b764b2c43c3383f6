"""A finding is data: it survives JSON, and never complains without a way out."""

import json

import pytest

from lad_mpi.doctor import Finding, Severity, exit_code
from lad_mpi.doctor.finding import name_ranks
from lad_mpi.errors import ExitCode

FINDINGS = [Finding(s, "check", "found", "" if s == Severity.OK else "fix") for s in Severity]


@pytest.mark.parametrize("severity", list(Severity)[1:])
def test_a_complaint_needs_a_fix(severity):
    with pytest.raises(ValueError, match="'placement' needs a fix"):
        Finding(severity, "placement", "crowded")


@pytest.mark.parametrize("finding", FINDINGS, ids=lambda finding: finding.severity.label)
def test_records_are_read_as_they_were_written(finding):
    placed = Finding(finding.severity, "c", "é → ü", finding.fix or "x", ("n1", "n2"), (0, 3))
    for each in (finding, placed):
        assert Finding.from_record(json.loads(json.dumps(each.to_record()))) == each


def test_only_what_is_fatal_makes_a_place_unfit():
    assert exit_code([]) == ExitCode.OK
    assert exit_code(FINDINGS[:3]) == ExitCode.OK
    assert exit_code(FINDINGS) == ExitCode.UNFIT == 5


def test_the_fix_is_a_hint_as_in_errors():
    assert str(FINDINGS[2]) == "check: found\n  hint: fix"
    assert str(FINDINGS[0]) == "check: found"


def test_ranks_are_named_in_ranges():
    assert name_ranks([4]) == "rank 4"
    assert name_ranks([5, 0, 1, 2, 1]) == "ranks 0-2,5"
