"""Numbers, intervals and labels as text."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


#: Shown if there is no number.
NOTHING = "–"

_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def significant(value: float, digits: int) -> str:
    """Write a number with a number of significant digits.

    Examples
    --------
    >>> significant(12345.6, 4), significant(0.1, 3), significant(float("nan"), 3)
    ('1.235e+04', '0.100', '–')
    """
    return NOTHING if math.isnan(value) else f"{value:#.{digits}g}".rstrip(".")


def interval_text(low: float, high: float, digits: int, *, certain: bool) -> str:
    """Write an interval: in square brackets if it has a coverage, in round ones if it has none.

    Examples
    --------
    >>> interval_text(1.0, 3.0, 4, certain=False)
    '(1.000 … 3.000)'
    """
    ends = significant(low, digits), significant(high, digits)
    return f"[{ends[0]}, {ends[1]}]" if certain else f"({ends[0]} … {ends[1]})"


def with_prefix(value: float) -> str:
    """Write a count with a decimal prefix.

    Examples
    --------
    >>> with_prefix(83200), with_prefix(12), with_prefix(2.5e6)
    ('83.2k', '12', '2.5M')
    """
    for factor, prefix in _PREFIXES:
        if value >= factor:
            return f"{value / factor:.3g}{prefix}"
    return f"{value:.3g}"


def natural_key(text: str) -> tuple[tuple[int, int | str], ...]:
    """Return a sort key that puts ``d=5`` before ``d=10`` and ignores case.

    Examples
    --------
    >>> sorted(["d=10", "D=5"], key=natural_key)
    ['D=5', 'd=10']
    """
    parts = re.split(r"([0-9]+)", text)
    return tuple(
        (1, int(part)) if place % 2 else (0, part.lower()) for place, part in enumerate(parts)
    )


def tell_apart(
    labels: Sequence[str],
    facts: Sequence[Mapping[str, object]],
    *,
    last_resort: str = "",
) -> list[str]:
    """Make labels unique by adding the facts in which the owners of equal labels differ.

    Parameters
    ----------
    labels : sequence of str
        One label for each owner.
    facts : sequence of mapping
        Facts about each owner, by name. None means that a fact does not apply. Dotted names
        are shortened to their last part if that is unique.
    last_resort : str
        A fact that is only added if the others do not make the labels unique.

    Returns
    -------
    list of str
        Unique labels.

    Examples
    --------
    >>> tell_apart(["LAD", "LAD", "mean"], [{"coding.load": 1}, {"coding.load": 2}, {}])
    ['LAD (load=1)', 'LAD (load=2)', 'mean']
    """
    told = [_with_facts(place, labels, facts, without=last_resort) for place in range(len(labels))]
    if last_resort and len(set(told)) < len(told):
        return tell_apart(labels, facts)
    # A user may choose a name that looks like another one with its facts.
    unique: list[str] = []
    for label in told:
        number, numbered = 1, label
        while numbered in unique:
            number += 1
            numbered = f"{label} #{number}"
        unique.append(numbered)
    return unique


def _with_facts(
    place: int, labels: Sequence[str], facts: Sequence[Mapping[str, object]], without: str
) -> str:
    own = facts[place]
    alike = [other for one, other in zip(labels, facts, strict=True) if one == labels[place]]
    differing = [key for key in differences(alike) if key != without]
    short = Counter(_last(key) for key in differing)
    words = [
        f"{_last(key) if short[_last(key)] == 1 else key}={own.get(key, 'none')}"
        for key in differing
        if _applies(own, key)
    ]
    return f"{labels[place]} ({', '.join(words)})" if words else labels[place]


def differences(facts: Sequence[Mapping[str, object]]) -> list[str]:
    """Return the names of the facts in which owners differ, in order of appearance."""
    keys = dict.fromkeys(key for one in facts for key in one)
    found = {
        key: {str(one.get(key, "none")) for one in facts if _applies(one, key)} for key in keys
    }
    return [key for key, values in found.items() if len(values) > 1]


def some_of(labels: Sequence[str], most: int = 5, between: str = ", ") -> str:
    """List labels, and count the rest if there are many.

    Examples
    --------
    >>> some_of(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    named = between.join(labels[:most])
    rest = len(labels) - most
    return f"{named} and {rest} more" if rest > 0 else named


def _applies(facts: Mapping[str, object], key: str) -> bool:
    return facts.get(key, "none") is not None


def _last(key: str) -> str:
    return key.rpartition(".")[2]
