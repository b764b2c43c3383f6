"""``lad-mpi doctor``."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

from lad_mpi.cli.world import whole_world
from lad_mpi.doctor import Finding, Report, Severity, examine, examine_alone
from lad_mpi.doctor.finding import name_ranks
from lad_mpi.errors import ExitCode, TransportError
from lad_mpi.launchers import announced_rank

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

_VERDICTS = {
    Severity.OK: "nothing to complain of",
    Severity.NOTE: "a run can be trusted",
    Severity.WARNING: "results can be trusted, times not yet",
    Severity.FATAL: "a run could not be trusted here",
}

#: Launchers end all ranks when one leaves; the first has a report to make.
_PATIENCE_S = 3.0
#: Of findings that say the same of many hosts, so many are printed in full.
_SHOWN = 3
_COUNTED = {
    Severity.OK: ("ok", "ok"),
    Severity.NOTE: ("note", "notes"),
    Severity.WARNING: ("warning", "warnings"),
    Severity.FATAL: ("fatal", "fatal"),
}


def doctor(options: argparse.Namespace) -> ExitCode:
    """Examine all ranks and print one report."""
    try:
        with whole_world(verbose=options.verbose) as (link, _):
            report = examine(link, options.output)
            if report is not None:
                _print(report, options)
            # Printed before any rank ends: launchers end all with the first that fails.
            return ExitCode(int(link.share("" if report is None else str(int(report.exit_code)))))
    except TransportError as error:
        # Every rank takes itself for the only one: the first speaks for all, if it is let.
        if announced_rank() > 0:
            time.sleep(_PATIENCE_S)
        else:
            _print(examine_alone(error, options.output), options)
        return ExitCode.UNFIT


def _print(report: Report, options: argparse.Namespace) -> None:
    if options.json:
        sys.stdout.write(json.dumps(report.to_record(), indent=2) + "\n")
        sys.stdout.flush()
        return
    # Only the rank that prints imports rich.
    from lad_mpi.cli.tables import print_table  # noqa: PLC0415

    if options.verbose:
        facts = [{"fact": name, "value": value} for name, value in merge_facts(report)]
        print_table(facts, columns={"fact": "fact", "value": "value"})
        sys.stdout.write("\n")
    rows = [
        {
            "severity": finding.severity.label,
            "check": finding.check,
            "found": [finding.found, *([f"→ {finding.fix}"] if finding.fix else [])],
        }
        for finding in shorten(report.findings)
    ]
    print_table(rows, columns={"severity": "", "check": "check", "found": "found, and what to do"})
    counts = [
        f"{count} {_COUNTED[severity][count > 1]}"
        for severity in reversed(Severity)
        if (count := report.count(severity))
    ]
    worst = max(finding.severity for finding in report.findings)
    sys.stdout.write(f"\n{', '.join(counts)}: {_VERDICTS[worst]}\n")
    sys.stdout.flush()


def shorten(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings with those of many hosts cut to a few and a line that says so."""
    groups: dict[tuple[Severity, str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.severity, finding.check, finding.fix), []).append(finding)
    short: list[Finding] = []
    for (severity, check, fix), group in groups.items():
        short += group[:_SHOWN]
        rest = group[_SHOWN:]
        if rest:
            more = f"the like {len(rest)} times more (--json has all)"
            hosts = tuple(dict.fromkeys(host for finding in rest for host in finding.hosts))
            short.append(Finding(severity, check, more, fix, hosts))
    return short


def merge_facts(report: Report) -> list[tuple[str, str]]:
    """Return every fact once, with the ranks where they differ in it.

    Returns
    -------
    list of (str, str)
        Dotted name and value; facts that no rank has are left out.
    """
    values: dict[str, dict[str, list[int]]] = {}
    for facts in report.facts:
        for name, value in _flatten(facts.to_record()):
            values.setdefault(name, {}).setdefault(value, []).append(facts.rank)
    merged = []
    for name, ranks_of in values.items():
        for value, ranks in ranks_of.items():
            where = "" if len(ranks) == len(report.facts) else f" ({name_ranks(ranks)})"
            merged.append((name, value + where))
    return merged


def _flatten(record: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    flat: list[tuple[str, str]] = []
    for key, value in record.items():
        if isinstance(value, dict):
            flat += _flatten(value, f"{prefix}{key}.")
        elif isinstance(value, (list, tuple)):
            flat += [(prefix + key, ", ".join(map(str, value)))] if value else []
        elif value not in (None, "") and prefix + key != "rank":
            flat.append((prefix + key, f"{value:.6g}" if isinstance(value, float) else str(value)))
    return flat
