"""Check whether a run can be trusted here: every rank collects facts, the server judges."""

from lad_mpi.doctor.examine import Report, cheap_checks, examine, judge, refuse_unfit
from lad_mpi.doctor.facts import RankFacts
from lad_mpi.doctor.finding import Finding, Severity

__all__ = [
    "Finding",
    "RankFacts",
    "Report",
    "Severity",
    "cheap_checks",
    "examine",
    "judge",
    "refuse_unfit",
]
