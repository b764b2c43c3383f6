"""From a TOML table to a component: kinds, fields, types, and helpful refusals."""

from __future__ import annotations

import dataclasses
import difflib
import typing
from functools import cache
from typing import TYPE_CHECKING, Any

from lad_mpi.errors import ParameterError, SpecError, UsageError, shown
from lad_mpi.parameters import is_exactly

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic import TypeAdapter

    from lad_mpi.spec.families import Family

_LARGEST_INTEGER = 2**63 - 1
#: Longest text in a spec. Paths are not longer.
_LONGEST_TEXT = 4096
#: The field through which a component learns f; it comes from [devices] alone.
INJECTED = "num_byzantine"


def build_component(
    family: Family,
    table: Mapping[str, Any],
    place: str,
    *,
    num_byzantine: int,
    shared: Iterable[str] = (),
) -> Any:
    """Build the component that a table describes.

    Parameters
    ----------
    family : Family
        The family of its ``kind``.
    table : mapping
        ``kind`` and the component's parameters.
    place : str
        Dotted place of the table in the file, for messages.
    num_byzantine : int
        Value for components that have a field of this name.
    shared : iterable of str
        Keys of the same table that are built elsewhere, for messages.

    Raises
    ------
    SpecError
        An unknown kind or parameter, a wrong type, or a value out of range; or the kind is
        from another package, and cannot be imported or breaks the contract of its family.
    """
    if "kind" not in table:
        raise SpecError(
            f"{place}.kind", f"is missing; expected a {family.noun}: {listing(family.kinds())}"
        )
    kind = table["kind"]
    # The kinds of other packages are listed only if they are needed: that reads the metadata of
    # every installed package.
    if not isinstance(kind, str) or (kind not in family.table and kind not in family.kinds()):
        kinds = family.kinds()
        raise SpecError(
            f"{place}.kind",
            f"unknown {family.noun} {shown(kind)}{suggestion(kind, kinds)}",
            hint=f"known: {listing(kinds)}",
        )
    try:
        cls = family.find(kind)
    except UsageError as error:
        raise SpecError(f"{place}.kind", error.message, hint=error.hint) from error
    values = {key: value for key, value in table.items() if key != "kind"}
    if INJECTED in values:
        raise SpecError(
            f"{place}.{INJECTED}",
            "the number of faults is set in one place, devices.byzantine",
            hint="to study a misjudged number, set devices.assumed_byzantine",
        )
    injected = {INJECTED: num_byzantine} if INJECTED in field_names(cls) else {}
    return build(cls, values, place, injected=injected, kind=kind, shared=shared)


def build(
    cls: type[Any],
    values: Mapping[str, Any],
    place: str,
    injected: Mapping[str, Any] | None = None,
    *,
    kind: str = "",
    shared: Iterable[str] = (),
) -> Any:
    """Build a frozen dataclass from checked values; see :func:`build_component`."""
    injected = injected or {}
    allowed = [name for name in field_names(cls) if name not in injected]
    refuse_unknown(values, [*allowed, *shared], place)
    hints = _hints(cls)  # type: ignore[arg-type]  # classes are hashable
    checked = {
        key: check_type(hints[key], value, f"{place}.{key}" if place else key)
        for key, value in values.items()
    }
    try:
        return cls(**checked, **injected)
    except ParameterError as error:
        raise located(error, place) from error
    except TypeError as error:
        missing = [
            f.name
            for f in dataclasses.fields(cls)
            if f.init
            and f.default is dataclasses.MISSING
            and f.default_factory is dataclasses.MISSING
            and f.name not in checked
            and f.name not in injected
        ]
        if not missing:
            raise
        raise SpecError(
            f"{place}.{missing[0]}", f"is missing, and {kind or cls.__name__!r} needs it"
        ) from error


def located(error: ParameterError, place: str) -> SpecError:
    """Return the error of a component with the place in the file."""
    key = f"{place}.{error.parameter}" if place else error.parameter
    return SpecError(key, error.message, hint=error.hint)


def check_type(hint: Any, value: Any, place: str) -> Any:
    """Return a value as the annotated type, without conversions.

    Raises
    ------
    SpecError
        It has another type.
    """
    if isinstance(value, list) and _is_tuple(hint):
        value = tuple(value)
    if isinstance(value, int) and abs(value) > _LARGEST_INTEGER:
        raise SpecError(place, f"expected a number below 2**63, found {shown(value)}")
    if isinstance(value, str) and len(value) > _LONGEST_TEXT:
        raise SpecError(place, f"expected at most {_LONGEST_TEXT} characters, found {len(value)}")
    if is_exactly(value, hint):
        return value
    from pydantic import ValidationError  # noqa: PLC0415  (see is_exactly)

    try:
        return _adapter(hint).validate_python(value, strict=True)
    except ValidationError as error:
        # A union reports every branch. Show each expectation once.
        expected = dict.fromkeys(
            item["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
            for item in error.errors(include_url=False)
            if item["type"] != "none_required"
        )
        raise SpecError(place, f"expected {' or '.join(expected)}, found {shown(value)}") from error


def refuse_unknown(values: Iterable[str], allowed: list[str], place: str) -> None:
    """Refuse the first key that is not allowed, and name the nearest allowed one.

    Raises
    ------
    SpecError
        A key is not allowed.
    """
    for key in values:
        if key not in allowed:
            raise SpecError(
                f"{place}.{key}" if place else key,
                f"unknown key{suggestion(key, allowed)}",
                hint=f"allowed here: {listing(allowed)}" if allowed else "no parameters here",
            )


def field_names(cls: type[Any]) -> list[str]:
    """Return the names of a component's parameters."""
    return [f.name for f in dataclasses.fields(cls) if f.init]


def suggestion(word: object, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` with the nearest known word, or nothing."""
    if not isinstance(word, str):
        return ""
    nearest = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {nearest[0]!r}?" if nearest else ""


def listing(words: Iterable[str]) -> str:
    """Return the words in order, for a message."""
    return ", ".join(sorted(words))


@cache
def _hints(cls: Any) -> dict[str, Any]:
    return typing.get_type_hints(cls)


@cache
def _adapter(hint: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter  # noqa: PLC0415  (see is_exactly)

    return TypeAdapter(hint)


def _is_tuple(hint: Any) -> bool:
    return any(typing.get_origin(part) is tuple for part in (hint, *typing.get_args(hint)))
