"""Conditions on the keys of specs, such as ``attack.kind=ipm and devices.byzantine>=20``."""

from __future__ import annotations

import ast
import operator
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lad_mpi.errors import UsageError
from lad_mpi.spec.build import suggestion
from lad_mpi.spec.identity import flatten

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

_HINT = "write for example: attack.kind=ipm and devices.byzantine>=20 and coding.load in (1, 10)"
#: A single equals sign, which Python would read as an assignment.
_EQUALS = re.compile(r"(?<![<>=!])=(?!=)")
_STRINGS = re.compile(r"""('[^']*'|"[^"]*")""")
_ORDERS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


@dataclass(frozen=True, slots=True)
class Where:
    """A condition on the keys of a run.

    Parameters
    ----------
    text : str
        The condition as written.
    keys : tuple of str
        The keys that it names.
    """

    text: str
    keys: tuple[str, ...]
    _tree: ast.expr

    def check(self, known: Collection[str]) -> None:
        """Refuse keys that no run has.

        Raises
        ------
        UsageError
            The message names the nearest key.
        """
        for key in self.keys:
            check_key(key, known)

    def matches(self, facts: Mapping[str, Any]) -> bool:
        """Return whether a run fulfils the condition.

        Parameters
        ----------
        facts : mapping
            The run's values by key, from :func:`spec_facts`. A key that is missing differs
            from every value.

        Raises
        ------
        UsageError
            A number is compared with a text by ``<`` or ``>``.
        """
        return _holds(self._tree, facts)


def parse_where(text: str) -> Where:
    """Parse a condition.

    Keys are those of a spec; the name of a table stands for its ``kind``. Values are numbers,
    ``true``, ``false``, words, or texts in quotes. The operators are ``=``, ``!=``, ``<``,
    ``<=``, ``>``, ``>=``, ``in (…)``, ``not in (…)``, ``and``, ``or``, ``not`` and
    parentheses.

    Raises
    ------
    UsageError
        The text is not a condition.

    Examples
    --------
    >>> where = parse_where("attack=ipm and devices.byzantine >= 20")
    >>> where.keys
    ('attack', 'devices.byzantine')
    >>> where.matches({"attack": "ipm", "devices.byzantine": 30})
    True
    """
    parts = _STRINGS.split(text)
    # Odd parts are texts in quotes, which may contain anything.
    parts[::2] = [_EQUALS.sub("==", part) for part in parts[::2]]
    keys: dict[str, None] = {}
    try:
        tree = ast.parse("".join(parts).strip(), mode="eval").body
        _check(tree, keys)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise UsageError(f"--where {text!r} is not a condition: {reason}", hint=_HINT) from error
    return Where(text, tuple(keys), tree)


def spec_facts(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a spec by dotted key, and the kind of each component by its table.

    A list becomes a text, with the kinds of components in it joined by ``+``; an empty list
    is ``none``.

    Parameters
    ----------
    spec : mapping
        A spec, nested as in TOML.

    Examples
    --------
    >>> spec_facts({"aggregation": {"kind": "krum", "pre": ["clip", {"kind": "nnm"}]}})
    {'aggregation.kind': 'krum', 'aggregation.pre': 'clip+nnm', 'aggregation': 'krum'}
    """
    facts = {
        key: "+".join(map(_listed, value)) or "none" if isinstance(value, list) else value
        for key, value in flatten(spec).items()
    }
    kinds = {key.removesuffix(".kind"): facts[key] for key in facts if key.endswith(".kind")}
    return facts | kinds


def check_key(key: str, known: Collection[str]) -> None:
    """Refuse a key that no run has.

    Raises
    ------
    UsageError
        The message names the nearest key.
    """
    if key not in known:
        raise UsageError(
            f"no run has the key {key!r}{suggestion(key, known)}",
            hint="keys are those of a spec, such as coding.load; docs/reference.md lists them",
        )


def _listed(item: Any) -> str:
    return str(item.get("kind", "?")) if isinstance(item, dict) else str(item)


def _check(node: ast.expr, keys: dict[str, None]) -> None:
    """Refuse everything but conditions, and collect the keys."""
    if isinstance(node, ast.BoolOp):
        for value in node.values:
            _check(value, keys)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        _check(node.operand, keys)
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        keys[_name(node.left)] = None
        values = _values(node.comparators[0])
        one = isinstance(node.ops[0], (ast.Eq, ast.NotEq, *_ORDERS))
        if one and isinstance(node.comparators[0], (ast.Tuple, ast.List)):
            raise ValueError("a list of values follows 'in' or 'not in'")
        if not one and not isinstance(node.ops[0], (ast.In, ast.NotIn)):
            raise ValueError("the operators are = != < <= > >= in, not in")
        if not values:
            raise ValueError("the list of values is empty")
    else:
        raise ValueError("expected KEY=VALUE, or such conditions joined by and, or, not")


def _holds(node: ast.expr, facts: Mapping[str, Any]) -> bool:
    if isinstance(node, ast.BoolOp):
        found = [_holds(value, facts) for value in node.values]
        return all(found) if isinstance(node.op, ast.And) else any(found)
    if isinstance(node, ast.UnaryOp):
        return not _holds(node.operand, facts)
    if not isinstance(node, ast.Compare):
        raise TypeError(f"{type(node).__name__} was not refused")
    key, order = _name(node.left), node.ops[0]
    value, values = facts.get(key), _values(node.comparators[0])
    if isinstance(order, (ast.Eq, ast.In)):
        return any(_same(value, other) for other in values)
    if isinstance(order, (ast.NotEq, ast.NotIn)):
        return not any(_same(value, other) for other in values)
    if value is None:
        return False
    if isinstance(value, str) or isinstance(values[0], str):
        raise UsageError(f"--where compares {key} = {value!r} with {values[0]!r}", hint=_HINT)
    return _ORDERS[type(order)](value, values[0])


def _same(value: Any, other: Any) -> bool:
    # In Python, True == 1.
    return bool(value == other) and isinstance(value, bool) == isinstance(other, bool)


def _name(node: ast.expr) -> str:
    """Return a dotted name."""
    if isinstance(node, ast.Attribute):
        return f"{_name(node.value)}.{node.attr}"
    if isinstance(node, ast.Name):
        return node.id
    raise ValueError("expected a key of a spec, such as coding.load")


def _values(node: ast.expr) -> list[Any]:
    if isinstance(node, (ast.Tuple, ast.List)):
        return [value for item in node.elts for value in _values(item)]
    if isinstance(node, (ast.Name, ast.Attribute)):
        word = _name(node)
        return [{"true": True, "false": False}.get(word, word)]
    try:
        value = ast.literal_eval(node)
    except ValueError:
        value = None
    if isinstance(value, (str, bool, int, float)):
        return [value]
    raise ValueError("a value is a number, a word, or a text in quotes")
