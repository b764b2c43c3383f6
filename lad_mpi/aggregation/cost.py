"""How the arithmetic of a rule grows, as a sum of terms."""

from __future__ import annotations

from dataclasses import dataclass

_POWERS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True, slots=True)
class Term:
    """A product of sizes, each to a power.

    Parameters
    ----------
    n, log_n, f, Q : int
        Powers of the number of messages, of its logarithm, of the number of faults, and
        of the number of coordinates.
    choices : int
        Power of C(n, f), the number of ways to leave out f of n messages.
    steps : str
        Letter for a number of steps that depends on the messages; empty for none.
    """

    n: int = 0
    log_n: int = 0
    f: int = 0
    Q: int = 0
    choices: int = 0
    steps: str = ""

    def __str__(self) -> str:
        powers = (("f", self.f), ("n", self.n))
        factors = [self.steps, *(_power(letter, power) for letter, power in powers)]
        factors += [f"{_power('log', self.log_n)} n"] if self.log_n else []
        factors += [_power("C(n, f)", self.choices)]
        text = " ".join(filter(None, factors))
        return f"{text}{' · ' if self.log_n else ' '}{_power('Q', self.Q)}".strip(" ·") or "1"


@dataclass(frozen=True, slots=True, init=False)
class Cost:
    """The order of the arithmetic of a rule or a pre-aggregation, as a sum of terms.

    Parameters
    ----------
    first, *others : Term
        The terms, of which only the order of growth matters.

    Examples
    --------
    >>> from lad_mpi.aggregation import Cost, Term
    >>> print(Cost(Term(n=2, Q=1), Term(n=2, steps="T")))
    O(n² Q + T n²), T steps
    """

    terms: tuple[Term, ...]

    def __init__(self, first: Term, *others: Term) -> None:
        object.__setattr__(self, "terms", (first, *others))

    def __str__(self) -> str:
        steps = "".join(f", {term.steps} steps" for term in self.terms if term.steps)
        return f"O({' + '.join(map(str, self.terms))}){steps}"

    @property
    def takes_pairs(self) -> bool:
        """Whether all pairs of messages are compared, coordinate by coordinate."""
        return any(term.n >= 2 and term.Q >= 1 for term in self.terms)


def _power(letter: str, power: int) -> str:
    if power == 0:
        return ""
    return letter if power == 1 else f"{letter}{str(power).translate(_POWERS)}"
