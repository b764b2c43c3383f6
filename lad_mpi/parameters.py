"""Types of parameters that carry their range, unit and example, and the check of these.

The annotation of a field is the only place that states its range. The check at construction,
the JSON Schema and the reference of all keys read it from there.
"""

from __future__ import annotations

import dataclasses
import math
import operator
import types
import typing
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from annotated_types import Ge, Gt, Le, Lt, MultipleOf, Unit

from lad_mpi.errors import ParameterError, shown
from lad_mpi.types import LARGEST_COUNT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Count: TypeAlias = Annotated[int, Ge(1), Le(LARGEST_COUNT)]
CountOrZero: TypeAlias = Annotated[int, Ge(0), Le(LARGEST_COUNT)]
Positive: TypeAlias = Annotated[float, Lt(math.inf), Gt(0)]
NotNegative: TypeAlias = Annotated[float, Lt(math.inf), Ge(0)]
Finite: TypeAlias = Annotated[float, Gt(-math.inf), Lt(math.inf)]
Seconds: TypeAlias = Annotated[NotNegative, Unit("s")]


@dataclass(frozen=True, slots=True)
class Example:
    """A value to show for a parameter that has no default.

    Parameters
    ----------
    value : object
        The value, as TOML has it.
    """

    value: object


def check_parameters(component: Any) -> None:
    """Check every field of a dataclass against the range or the choices of its type.

    Parameters
    ----------
    component : dataclass instance
        A field that is None is not checked.

    Raises
    ------
    ParameterError
        The first field whose value is out of range.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Keep:
    ...     share: Annotated[float, Gt(0), Le(1)] = 0.5
    >>> check_parameters(Keep(share=2.0))
    Traceback (most recent call last):
        ...
    lad_mpi.errors.ParameterError: share: must be at most 1, not 2.0
    """
    cls: Any = type(component)
    for name, hint in field_types(cls).items():
        value = getattr(component, name)
        if value is None or isinstance(value, bool):
            continue
        if (choices := choices_of(hint)) and value not in choices:
            expected = " or ".join(map(repr, choices))
            raise ParameterError(name, f"must be {expected}, not {shown(value)}")
        for bound in () if isinstance(value, str) else bounds_of(hint):
            if not bound.holds(value):
                raise ParameterError(name, f"must be {bound}, not {shown(value)}")


@dataclass(frozen=True, slots=True)
class Bound:
    """One end of a range.

    Parameters
    ----------
    words : str
        How a message states it, without the limit: ``"at least"``.
    limit : number
        The limit.
    compare : callable
        Returns whether a value, its first argument, keeps to the limit, its second.
    """

    words: str
    limit: Any
    compare: Callable[[Any, Any], bool]

    def holds(self, value: float) -> bool:
        """Return whether a value keeps to the limit; NaN never does."""
        return bool(self.compare(value, self.limit))

    def __str__(self) -> str:
        return "finite" if math.isinf(self.limit) else f"{self.words} {self.limit}"


@cache
def field_types(cls: Any) -> dict[str, Any]:
    """Return the types of the parameters of a dataclass, annotations included."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls) if field.init}


@cache
def bounds_of(hint: Any) -> tuple[Bound, ...]:
    """Return the ends of the range of a type; a type with alternatives has those of all."""
    return tuple(dict.fromkeys(filter(None, map(_bound, _metadata(hint)))))


def choices_of(hint: Any) -> tuple[Any, ...]:
    """Return the values that a ``Literal``, which may be optional, allows; else nothing."""
    literals = [part for part in alternatives(hint) if typing.get_origin(part) is Literal]
    return tuple(value for literal in literals for value in typing.get_args(literal))


def unit_of(hint: Any) -> str:
    """Return the unit of a parameter of a type; empty if it has none."""
    return next((item.unit for item in _metadata(hint) if isinstance(item, Unit)), "")


def examples_of(hint: Any) -> list[Any]:
    """Return the values to show for a parameter of a type."""
    return [item.value for item in _metadata(hint) if isinstance(item, Example)]


def alternatives(hint: Any) -> list[Any]:
    """Return the alternatives of a union, of an annotated one as well, without None."""
    if typing.get_origin(hint) is Annotated and _is_union(typing.get_args(hint)[0]):
        hint = typing.get_args(hint)[0]
    parts = typing.get_args(hint) if _is_union(hint) else (hint,)
    return [part for part in parts if part is not types.NoneType]


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in {typing.Union, types.UnionType}


def _metadata(hint: Any) -> Iterator[Any]:
    if typing.get_origin(hint) is Annotated:
        yield from typing.get_args(hint)[1:]
        hint = typing.get_args(hint)[0]
    if _is_union(hint):
        for part in typing.get_args(hint):
            yield from _metadata(part)


def _bound(item: object) -> Bound | None:
    match item:
        case Ge(limit):
            return Bound("at least", limit, operator.ge)
        case Gt(limit):
            return Bound("above", limit, operator.gt)
        case Le(limit):
            return Bound("at most", limit, operator.le)
        case Lt(limit):
            return Bound("below", limit, operator.lt)
        case MultipleOf(limit):
            return Bound("a multiple of", limit, lambda value, of: value % of == 0)
    return None
