"""Whether a class implements the protocols of its family."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import sys
import typing
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from lad_mpi.parameters import is_exactly

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
#: Similarity from which a name counts as a misspelling of a missing one.
_ALIKE = 0.6


@cache
def complaints(cls: type[Any], contracts: tuple[type[Any], ...]) -> tuple[str, ...]:
    """Return why a class is not a component of a family; nothing if it is one.

    Parameters
    ----------
    cls : type
        The class.
    contracts : tuple of type
        A component implements exactly one of these protocols. Protocols in the same module
        that extend one of them are optional. A component that has some members of an
        optional protocol must have all of them.

    Returns
    -------
    tuple of str
        Phrases with ``cls`` as their subject.
    """
    found = [*_of_a_description(cls)]
    chosen = _chosen(cls, contracts)
    if len(chosen) == 1:
        found += _of_protocol(cls, chosen[0])
    elif chosen:
        names = _joined([_distinct(contract, contracts)[0] for contract in chosen])
        found.append(f"has {names}, but a component has only one of these")
    else:
        found += _of_none(cls, contracts)
    for protocol in _optional(contracts):
        if _means(cls, protocol, _own_members(protocol)):
            found += _of_protocol(cls, protocol)
    return tuple(dict.fromkeys(found))


def complaints_about(value: object, protocol: type[Any]) -> tuple[str, ...]:
    """Return why an object does not implement a protocol, as :func:`complaints` does."""
    attributes = vars(value) if hasattr(value, "__dict__") else ()
    return tuple(_of_protocol(type(value), protocol, attributes))


def capabilities(cls: type[Any], contracts: tuple[type[Any], ...]) -> list[str]:
    """Return the names of the optional protocols of a family that a class implements."""
    return [of.__name__ for of in _optional(contracts) if offers_all_of(cls, of)]


def offers_all_of(cls: type[Any], protocol: type[Any]) -> bool:
    """Return whether a class has every member of a protocol, class variables included."""
    return not any(_of_protocol(cls, protocol))


def _chosen(cls: type[Any], contracts: tuple[type[Any], ...]) -> list[type[Any]]:
    """Return the contracts that a class is meant to implement."""
    if len(contracts) == 1:
        return list(contracts)
    return [of for of in contracts if _means(cls, of, _distinct(of, contracts))]


def _means(cls: type[Any], protocol: type[Any], names: list[str]) -> bool:
    """Return whether a class derives from a protocol or has a member of one of the names."""
    return protocol in cls.__mro__ or any(_lookup(cls, name) is not None for name in names)


def _of_none(cls: type[Any], contracts: tuple[type[Any], ...]) -> Iterator[str]:
    """Yield the member that a class lacks which implements none of several contracts."""
    wanted = {name: contract for contract in contracts for name in _distinct(contract, contracts)}
    for name, contract in wanted.items():
        if slip := _slip(_names(cls), name):
            yield f"lacks {_described(contract, name)}{slip}"
            return
    every = [_described(contract, name) for name, contract in wanted.items()]
    yield f"lacks {_joined(every, 'or')}"


def _of_a_description(cls: type[Any]) -> Iterator[str]:
    """Yield why a class is not a frozen dataclass that a spec can describe."""
    if not _is_description(cls):
        yield "is not a dataclass; decorate it with @dataclass(frozen=True)"
    elif not _lookup(cls, "__dataclass_params__").frozen:
        yield "is a mutable dataclass; decorate it with @dataclass(frozen=True)"
    try:
        typing.get_type_hints(cls)
    except (NameError, TypeError, SyntaxError) as error:
        yield (
            f"has a type that cannot be resolved ({error}); import the names of types outside "
            "TYPE_CHECKING"
        )


def _is_description(cls: type[Any]) -> bool:
    return dataclasses.is_dataclass(cls)


def _of_protocol(
    cls: type[Any], protocol: type[Any], attributes: Collection[str] = ()
) -> Iterator[str]:
    """Yield what a class, and instances with some attributes, lack of a protocol."""
    own = {*attributes}
    if _is_description(cls):
        own.update(field.name for field in dataclasses.fields(cls))
    for name in _members(protocol):
        yield from _of_member(cls, protocol, name, own)


def _of_member(cls: type[Any], protocol: type[Any], name: str, own: set[str]) -> Iterator[str]:
    asked, found = _lookup(protocol, name), _lookup(cls, name)
    if found is None and name not in own:
        yield f"lacks {_described(protocol, name)}{_slip([*own, *_names(cls)], name)}"
    elif asked is None:
        value = getattr(cls, name, None)
        if name in own:
            yield f"has a field {name!r}; make it a class variable, {name}: ClassVar[…]"
        elif not _is_of_type(value, typing.get_type_hints(protocol)[name]):
            yield f"has {name} = {value!r}; expected {_described(protocol, name)}"
    elif isinstance(asked, property):
        if inspect.isfunction(found) or isinstance(found, (staticmethod, classmethod)):
            yield f"has a method {name!r}; make it a property or a field"
    elif name in own or not callable(getattr(cls, name, None)):
        yield f"has {name!r}; make it a method, {_described(protocol, name)}"
    elif reason := _mismatch(cls, protocol, name):
        yield reason


def _mismatch(cls: type[Any], protocol: type[Any], name: str) -> str:
    """Return what is wrong with the parameters of a method; empty if nothing is."""
    # A static method of a protocol is called on the class.
    bound = _binds(protocol, name)
    asked = _parameters(protocol, name, bound=bound)
    try:
        offered = _parameters(cls, name, bound=bound and _binds(cls, name))
    except (TypeError, ValueError):
        # The parameters of some functions that are not written in Python are unknown.
        return ""
    positional = [p.name for p in asked.parameters.values() if p.kind in _POSITIONAL]
    keywords = [p.name for p in asked.parameters.values() if p.kind not in _POSITIONAL]
    own = [p.name for p in offered.parameters.values() if p.kind in _POSITIONAL]
    try:
        offered.bind(*positional, **dict.fromkeys(keywords))
    except TypeError as error:
        reason = str(error)
    else:
        swapped = [
            name
            for place, name in enumerate(own[: len(positional)])
            if name in positional and positional.index(name) != place
        ]
        if not swapped:
            return ""
        reason = f"{_joined(swapped)} in another place"
    has = f"{name}{_bare(offered, bound=bound and _binds(cls, name))}"
    return f"has {has}, but {_described(protocol, name)} is called: {reason}"


def _members(protocol: type[Any]) -> list[str]:
    """Return the names of all members of a protocol, inherited ones first."""
    bases = [base for base in reversed(protocol.__mro__) if _is_protocol(base)]
    return list(dict.fromkeys(name for base in bases for name in _own_members(base)))


def _own_members(protocol: type[Any]) -> list[str]:
    names = [*inspect.get_annotations(protocol), *vars(protocol)]
    return [name for name in dict.fromkeys(names) if name == "__call__" or name[0] != "_"]


def _distinct(contract: type[Any], contracts: tuple[type[Any], ...]) -> list[str]:
    """Return the members that a contract does not share with the others."""
    others = {name for other in contracts if other is not contract for name in _members(other)}
    return [name for name in _members(contract) if name not in others]


def _optional(contracts: tuple[type[Any], ...]) -> list[type[Any]]:
    """Return the protocols in the modules of contracts that extend one of them."""
    beside = [value for of in contracts for value in vars(sys.modules[of.__module__]).values()]
    return [
        value
        for value in dict.fromkeys(value for value in beside if isinstance(value, type))
        if _is_protocol(value)
        and value not in contracts
        and not set(contracts).isdisjoint(value.__mro__)
    ]


def _is_protocol(cls: type[Any]) -> bool:
    return Protocol in cls.__bases__


def _is_of_type(value: object, class_variable: Any) -> bool:
    """Return whether a value has the type T of a ``ClassVar[T]``."""
    (expected,) = typing.get_args(class_variable)
    if is_exactly(value, expected):
        return True
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415  (see is_exactly)

    try:
        TypeAdapter(expected).validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


def _lookup(cls: type[Any], name: str) -> Any:
    """Return what a class or one of its bases has under a name, unbound; else None.

    The members of a protocol do not count for a class that derives from it.
    """
    for base in cls.__mro__:
        if name in vars(base) and (_is_protocol(cls) or not _is_protocol(base)):
            return vars(base)[name]
    return None


def _binds(cls: type[Any], name: str) -> bool:
    """Return whether a member takes ``self`` first."""
    found = _lookup(cls, name)
    return hasattr(found, "__get__") and not isinstance(found, (staticmethod, classmethod))


def _parameters(cls: type[Any], name: str, *, bound: bool) -> inspect.Signature:
    """Return the parameters that a caller passes to a method, bound to an object or not."""
    signature = inspect.signature(getattr(cls, name))
    return signature.replace(parameters=[*signature.parameters.values()][int(bound) :])


def _described(protocol: type[Any], name: str) -> str:
    """Return the member that a protocol requires, as ``corrupt(self, coded, context)``."""
    member = _lookup(protocol, name)
    if member is None:
        texts = [inspect.get_annotations(base).get(name) for base in protocol.__mro__]
        return f"{name}: {next(filter(None, texts))}"
    if isinstance(member, property):
        return f"{name}, a property or a field"
    bound = _binds(protocol, name)
    return f"{name}{_bare(_parameters(protocol, name, bound=bound), bound=bound)}"


def _bare(signature: inspect.Signature, *, bound: bool) -> str:
    """Return the names of parameters in brackets, without their types."""
    first = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)] if bound else []
    rest = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    return str(inspect.Signature([*first, *rest]))


def _names(cls: type[Any]) -> list[str]:
    bases = [base for base in cls.__mro__[:-1] if not _is_protocol(base)]
    return [name for base in bases for name in vars(base) if name[0] != "_"]


def _slip(names: list[str], name: str) -> str:
    nearest = difflib.get_close_matches(name, names, n=1, cutoff=_ALIKE)
    return f"; did you misspell it as {nearest[0]!r}?" if nearest else ""


def _joined(words: list[str], word: str = "and") -> str:
    *others, last = words
    return f"{', '.join(others)} {word} {last}" if others else last
