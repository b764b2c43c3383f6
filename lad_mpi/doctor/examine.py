"""All checks, in the order of the report; and the cheap ones that every run makes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lad_mpi.doctor.environment import judge_environment
from lad_mpi.doctor.facts import RankFacts, by_host, from_text, to_text
from lad_mpi.doctor.finding import Finding, Severity, exit_code
from lad_mpi.doctor.gather import all_facts, cheap_facts
from lad_mpi.doctor.gpu import judge_gpus
from lad_mpi.doctor.host import judge_clocks, judge_host
from lad_mpi.doctor.placement import judge_placement
from lad_mpi.doctor.storage import judge_hdf5, judge_output, judge_temporary
from lad_mpi.doctor.world import judge_ranks, judge_versions
from lad_mpi.errors import UnfitError
from lad_mpi.training.clock import Phase
from lad_mpi.transport import Loopback

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lad_mpi.errors import ExitCode, TransportError
    from lad_mpi.spec import Spec
    from lad_mpi.transport import Link

#: Version of the JSON report; it changes when a key does.
REPORT_VERSION = 1

_NUMBER_BYTES = 8
#: Numbers of one iteration in a log, times apart; a lower bound.
_NUMBERS = 12


@dataclass(frozen=True, slots=True)
class Report:
    """What an examination found.

    Parameters
    ----------
    findings : tuple of Finding
        In the order of the checks.
    facts : tuple of RankFacts
        What they were judged on, by rank.
    """

    findings: tuple[Finding, ...]
    facts: tuple[RankFacts, ...]

    @property
    def exit_code(self) -> ExitCode:
        """What the command ends with."""
        return exit_code(self.findings)

    @property
    def hosts(self) -> list[str]:
        """Names of the hosts, in rank order."""
        return list(by_host(self.facts))

    def count(self, severity: Severity) -> int:
        """Return how many findings are of a severity."""
        return sum(finding.severity == severity for finding in self.findings)

    def to_record(self) -> dict[str, Any]:
        """Return it as plain values for JSON."""
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
    """Look at everything on every rank; all ranks call it together.

    It takes a second or two, starts other processes, and writes a hidden folder
    beside the output, which it removes again.

    Parameters
    ----------
    link : Link
        Of this rank.
    output : Path
        Folder of the logs; it need not exist.

    Returns
    -------
    Report or None
        On the server; None on the other ranks.
    """
    texts = link.gather_texts(to_text(all_facts(link, output)))
    return judge([from_text(text) for text in texts]) if link.is_server else None


def examine_alone(refusal: TransportError, output: Path) -> Report:
    """Look at this process only, because the ranks did not become a world.

    Nothing is tried in other processes: each of the ranks takes itself for
    the only one, and the launcher ends them all with the first.
    """
    return judge([all_facts(Loopback(), output, probe=False)], refusal)


def judge(facts: Sequence[RankFacts], refusal: TransportError | None = None) -> Report:
    """Judge facts of all ranks; the same facts make the same report.

    Parameters
    ----------
    facts : sequence of RankFacts
        One a rank, in rank order.
    refusal : TransportError, optional
        Why the ranks did not become a world.
    """
    findings = [
        *judge_ranks(facts, refusal),
        *judge_versions(facts),
        *judge_placement(facts),
        *judge_environment(facts),
        *judge_host(facts),
        *judge_clocks(facts),
        *judge_gpus(facts),
        *judge_output(facts),
        *judge_hdf5(facts),
        *judge_temporary(facts),
    ]
    return Report(tuple(findings), tuple(facts))


def cheap_checks(link: Link, output: Path, spec: Spec | None = None) -> list[Finding]:
    """Make the checks that a run can afford; all ranks call it together.

    One gather of texts, and one broadcast. Nothing is written and no process started.
    Whether the folder can be written is not judged: that is a matter of the
    command line, and the run refuses it as such.

    Parameters
    ----------
    link : Link
        Of this rank.
    output : Path
        Folder of the log, on the server; what other ranks give is not looked at.
    spec : Spec, optional
        The run, to know how much it writes; on the server.

    Returns
    -------
    list of Finding
        The same on every rank, without what is as it should be.
    """
    texts = link.gather_texts(to_text(cheap_facts(link, output)))
    found = ""
    if link.is_server:
        facts = [from_text(text) for text in texts]
        findings = [
            *judge_versions(facts),
            *judge_placement(facts),
            *judge_environment(facts),
            *judge_host(facts),
            *_judge_room(facts, spec, link.size),
        ]
        # The server alone judges: facts of thousands of ranks take a while to read.
        found = json.dumps([f.to_record() for f in findings if f.severity > Severity.OK])
    return [Finding.from_record(record) for record in json.loads(link.share(found))]


def refuse_unfit(findings: Sequence[Finding]) -> None:
    """Stop a run for what :func:`cheap_checks` found, where that is fatal; on every rank alike.

    Raises
    ------
    UnfitError
        A finding is fatal. All ranks know of it.
    """
    fatal = [finding for finding in findings if finding.severity == Severity.FATAL]
    if not fatal:
        return
    error = UnfitError(
        "; ".join(f"{finding.check}: {finding.found}" for finding in fatal),
        hint="; ".join(dict.fromkeys(finding.fix for finding in fatal))
        + "; lad-mpi doctor says more, --force goes on all the same",
    )
    error.relayed = True
    raise error


def _judge_room(facts: Sequence[RankFacts], spec: Spec | None, ranks: int) -> list[Finding]:
    if facts[0].output is None or facts[0].output.error:
        return []
    if spec is None:
        return judge_output(facts)
    return judge_output(facts, least_log_bytes(spec, ranks), swmr=spec.logging.swmr)


def least_log_bytes(spec: Spec, ranks: int) -> int:
    """Return how much a log takes at least, the final model apart."""
    return _NUMBER_BYTES * spec.iterations * (_NUMBERS + ranks * len(Phase))
