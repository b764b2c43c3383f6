"""The command ``lad-mpi doctor``: print the report of all ranks."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from lad_mpi.cli.world import whole_world
from lad_mpi.doctor import Finding, Report, Severity, examine
from lad_mpi.errors import ExitCode

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

_VERDICTS = {
    Severity.OK: "ready to run",
    Severity.NOTE: "ready to run",
    Severity.WARNING: "results can be trusted, times cannot",
    Severity.FATAL: "results could not be trusted",
}

#: Number of similar findings that are printed in full.
_SHOWN = 3
_COUNTED = {
    Severity.OK: ("ok", "ok"),
    Severity.NOTE: ("note", "notes"),
    Severity.WARNING: ("warning", "warnings"),
    Severity.FATAL: ("fatal", "fatal"),
}


def doctor(options: argparse.Namespace) -> ExitCode:
    """Check all ranks and print one report."""
    with whole_world(verbose=options.verbose) as (link, _):
        report = examine(link, options.output)
        if report is not None:
            _print(report, options)
        # Share after printing: a launcher ends all ranks as soon as one fails.
        return ExitCode(int(link.share("" if report is None else str(int(report.exit_code)))))


def _print(report: Report, options: argparse.Namespace) -> None:
    if options.json:
        sys.stdout.write(json.dumps(report.to_record(), indent=2) + "\n")
        sys.stdout.flush()
        return
    # Only the rank that prints imports Rich.
    from lad_mpi.cli.tables import print_table  # noqa: PLC0415

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
    """Replace all but the first few of many similar findings by their number."""
    groups: dict[tuple[Severity, str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.severity, finding.check, finding.fix), []).append(finding)
    short: list[Finding] = []
    for (severity, check, fix), group in groups.items():
        short += group[:_SHOWN]
        rest = group[_SHOWN:]
        if rest:
            more = f"{len(rest)} similar findings (--json shows all)"
            hosts = tuple(dict.fromkeys(host for finding in rest for host in finding.hosts))
            short.append(Finding(severity, check, more, fix, hosts))
    return short
