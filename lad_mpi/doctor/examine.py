"""Run all checks for a report, or the cheap ones at the start of every run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lad_mpi.doctor.facts import RankFacts, all_facts, by_host, cheap_facts, from_text, to_text
from lad_mpi.doctor.finding import Finding, Severity
from lad_mpi.doctor.gpu import judge_gpus
from lad_mpi.doctor.placement import judge_placement
from lad_mpi.doctor.ranks import judge_ranks, judge_versions
from lad_mpi.doctor.storage import judge_hdf5, judge_output
from lad_mpi.errors import ExitCode, UnfitError
from lad_mpi.training.clock import Phase

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lad_mpi.spec import Spec
    from lad_mpi.transport import Link

#: Version of the JSON report. Increase it if a key changes.
REPORT_VERSION = 2

_NUMBER_BYTES = 8
#: Least count of numbers per iteration in a log, besides times.
_NUMBERS = 12


@dataclass(frozen=True, slots=True)
class Report:
    """The result of all checks.

    Parameters
    ----------
    findings : tuple of Finding
        In the order of the checks.
    facts : tuple of RankFacts
        One per rank, in rank order.
    """

    findings: tuple[Finding, ...]
    facts: tuple[RankFacts, ...]

    @property
    def exit_code(self) -> ExitCode:
        """``UNFIT`` if a finding is fatal, else ``OK``."""
        return ExitCode.UNFIT if self.count(Severity.FATAL) else ExitCode.OK

    @property
    def hosts(self) -> list[str]:
        """Names of the hosts, in rank order."""
        return list(by_host(self.facts))

    def count(self, severity: Severity) -> int:
        """Return the number of findings of one severity."""
        return sum(finding.severity == severity for finding in self.findings)

    def to_record(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "report_version": REPORT_VERSION,
            "exit_code": int(self.exit_code),
            "ranks": len(self.facts),
            "hosts": self.hosts,
            "counts": {severity.label: self.count(severity) for severity in Severity},
            "findings": [finding.to_record() for finding in self.findings],
            "facts": [facts.to_record() for facts in self.facts],
        }


def examine(link: Link, output: Path) -> Report | None:
    """Run all checks on all ranks together.

    This takes a second or two. It starts other processes, and writes to a hidden folder
    beside the output that it removes afterwards.

    Parameters
    ----------
    link : Link
        Of this rank.
    output : Path
        Folder of the logs; it need not exist.

    Returns
    -------
    Report or None
        The report on the server, None on other ranks.
    """
    texts = link.gather_texts(to_text(all_facts(link, output)))
    return judge([from_text(text) for text in texts]) if link.is_server else None


def judge(facts: Sequence[RankFacts]) -> Report:
    """Judge the facts of all ranks. The same facts give the same report.

    Parameters
    ----------
    facts : sequence of RankFacts
        One per rank, in rank order.
    """
    findings = [
        *judge_ranks(facts),
        *judge_versions(facts),
        *judge_placement(facts),
        *judge_gpus(facts),
        *judge_output(facts),
        *judge_hdf5(facts),
    ]
    return Report(tuple(findings), tuple(facts))


def cheap_checks(link: Link, output: Path, spec: Spec | None = None) -> list[Finding]:
    """Run the checks for the start of a run, on all ranks together.

    They take one gather and one broadcast of text, write nothing and start no process.
    They do not test whether the folder can be written, because the run does, and ends
    with the exit code for usage.

    Parameters
    ----------
    link : Link
        Of this rank.
    output : Path
        Folder of the log; only the server's counts.
    spec : Spec, optional
        The run, for the size of its log; only the server's counts.

    Returns
    -------
    list of Finding
        All findings except ``OK``, the same on every rank.
    """
    texts = link.gather_texts(to_text(cheap_facts(link, output)))
    found = ""
    if link.is_server:
        facts = [from_text(text) for text in texts]
        findings = [
            *judge_versions(facts),
            *judge_placement(facts, 1 if spec is None else spec.server.ranks),
            *_judge_log(facts, spec, link.size),
        ]
        # Only the server judges: reading the facts of thousands of ranks takes time.
        found = json.dumps([f.to_record() for f in findings if f.severity > Severity.OK])
    return [Finding.from_record(record) for record in json.loads(link.share(found))]


def refuse_unfit(findings: Sequence[Finding]) -> None:
    """Stop the run on every rank if :func:`cheap_checks` found something fatal.

    Raises
    ------
    UnfitError
        A finding is fatal. All ranks raise it.
    """
    fatal = [finding for finding in findings if finding.severity == Severity.FATAL]
    if not fatal:
        return
    error = UnfitError(
        "; ".join(f"{finding.check}: {finding.found}" for finding in fatal),
        hint="; ".join(dict.fromkeys(finding.fix for finding in fatal))
        + "; lad-mpi doctor shows more, --force runs anyway",
    )
    error.relayed = True
    raise error


def _judge_log(facts: Sequence[RankFacts], spec: Spec | None, ranks: int) -> list[Finding]:
    if facts[0].output is None or facts[0].output.error:
        return []
    if spec is None:
        return judge_output(facts)
    return judge_output(facts, least_log_bytes(spec, ranks), swmr=spec.logging.swmr)


def least_log_bytes(spec: Spec, ranks: int) -> int:
    """Return the least size of a log in bytes, without the final model."""
    return _NUMBER_BYTES * spec.iterations * (_NUMBERS + ranks * len(Phase))
