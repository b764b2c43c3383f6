"""Is this place fit for a run? Facts of every rank, judged on the server."""

from lad_mpi.doctor.examine import Report, cheap_checks, examine, examine_alone, judge, refuse_unfit
from lad_mpi.doctor.facts import RankFacts
from lad_mpi.doctor.finding import Finding, Severity, exit_code

__all__ = [
    "Finding",
    "RankFacts",
    "Report",
    "Severity",
    "cheap_checks",
    "examine",
    "examine_alone",
    "exit_code",
    "judge",
    "refuse_unfit",
]
