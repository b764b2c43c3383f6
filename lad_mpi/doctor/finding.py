"""A finding: how severe it is, what a check found, and what to do about it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from lad_mpi.machine import format_ranges

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lad_mpi.doctor.facts import RankFacts


class Severity(IntEnum):
    """How severe a finding is.

    ``OK``: nothing to do. ``NOTE``: worth knowing. ``WARNING``: results are right, but
    times are not reliable, or data may be lost. ``FATAL``: results could not be trusted,
    or the log could not be written.
    """

    OK = 0
    NOTE = 1
    WARNING = 2
    FATAL = 3

    @property
    def label(self) -> str:
        """The name in lower case, as in reports and JSON."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of one check.

    Parameters
    ----------
    severity : Severity
        How severe it is.
    check : str
        Name of the check.
    found : str
        What was found, with the numbers.
    fix : str
        What to do about it; may be empty for ``OK`` only.
    hosts : tuple of str
        Affected hosts; empty if it affects all alike.
    ranks : tuple of int
        Affected ranks; empty if it affects all alike.

    Raises
    ------
    ValueError
        The fix is missing.
    """

    severity: Severity
    check: str
    found: str
    fix: str = ""
    hosts: tuple[str, ...] = ()
    ranks: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Require a fix for every problem."""
        if self.severity > Severity.OK and not self.fix:
            raise ValueError(f"the finding {self.check!r} needs a fix")

    @classmethod
    def on(
        cls, ranks: Sequence[RankFacts], severity: Severity, check: str, found: str, fix: str
    ) -> Finding:
        """Return a finding about some ranks, whose text begins with the ranks and their hosts."""
        hosts = tuple(dict.fromkeys(r.host for r in ranks))
        numbers = tuple(r.rank for r in ranks)
        where = f"{name_ranks(numbers)} on {', '.join(hosts)}"
        return cls(severity, check, f"{where}: {found}", fix, hosts, numbers)

    def __str__(self) -> str:
        text = f"{self.check}: {self.found}"
        return f"{text}\n  hint: {self.fix}" if self.fix else text

    def to_record(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "severity": self.severity.label}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Finding:
        """Read a record that :meth:`to_record` returned, also after a way through JSON."""
        return cls(
            **{
                **record,
                "severity": Severity[str(record["severity"]).upper()],
                "hosts": tuple(record["hosts"]),
                "ranks": tuple(record["ranks"]),
            }
        )


def name_ranks(ranks: Iterable[int]) -> str:
    """Return text like ``rank 3`` or ``ranks 0-2,5``."""
    return _counted("rank", ranks)


def name_processors(cpus: Iterable[int]) -> str:
    """Return text like ``processor 3`` or ``processors 0-2,5``."""
    return _counted("processor", cpus)


def _counted(word: str, numbers: Iterable[int]) -> str:
    known = set(numbers)
    return f"{word}{'s' if len(known) > 1 else ''} {format_ranges(known)}"
