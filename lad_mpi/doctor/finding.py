"""What a check says: how bad, what was found, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from lad_mpi.errors import ExitCode
from lad_mpi.machine import format_ranges

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Severity(IntEnum):
    """How bad a finding is, for a run in this place.

    ``OK``: as it should be. ``NOTE``: worth knowing. ``WARNING``: results are
    right, but times are not those of the machine, or something may be lost.
    ``FATAL``: a run could not be trusted, or could not write its log.
    """

    OK = 0
    NOTE = 1
    WARNING = 2
    FATAL = 3

    @property
    def label(self) -> str:
        """The name in lower case, as reports and JSON have it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of one check.

    Parameters
    ----------
    severity : Severity
        How bad it is.
    check : str
        Name of the check, the same in every report.
    found : str
        What was found, with the numbers.
    fix : str
        What to do about it; only an ``OK`` needs none.
    hosts : tuple of str
        Where; empty where it is no matter of certain hosts.
    ranks : tuple of int
        Whom it concerns; empty where it is no matter of certain ranks.

    Raises
    ------
    ValueError
        A finding that is not ``OK`` gives no fix.
    """

    severity: Severity
    check: str
    found: str
    fix: str = ""
    hosts: tuple[str, ...] = ()
    ranks: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a complaint without a way out."""
        if self.severity > Severity.OK and not self.fix:
            raise ValueError(f"the finding {self.check!r} needs a fix")

    def __str__(self) -> str:
        text = f"{self.check}: {self.found}"
        return f"{text}\n  hint: {self.fix}" if self.fix else text

    def to_record(self) -> dict[str, Any]:
        """Return it as plain values for JSON."""
        return {
            "severity": self.severity.label,
            "check": self.check,
            "found": self.found,
            "fix": self.fix,
            "hosts": list(self.hosts),
            "ranks": list(self.ranks),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Finding:
        """Read what :meth:`to_record` wrote."""
        return cls(
            severity=Severity[str(record["severity"]).upper()],
            check=record["check"],
            found=record["found"],
            fix=record["fix"],
            hosts=tuple(record["hosts"]),
            ranks=tuple(record["ranks"]),
        )


def exit_code(findings: Iterable[Finding]) -> ExitCode:
    """Return ``UNFIT`` where a finding is fatal, else ``OK``."""
    worst = max((finding.severity for finding in findings), default=Severity.OK)
    return ExitCode.UNFIT if worst == Severity.FATAL else ExitCode.OK


def name_ranks(ranks: Iterable[int]) -> str:
    """Write ``rank 3`` or ``ranks 0-2,5``."""
    numbers = set(ranks)
    return f"rank{'s' if len(numbers) > 1 else ''} {format_ranges(numbers)}"
