"""Specs as TOML: files, command-line overrides, and the way back to text."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Any

import tomli_w

from lad_mpi.data import DataPlan
from lad_mpi.errors import SpecError, UsageError, shown
from lad_mpi.files import read_bytes
from lad_mpi.optimizers import Updates
from lad_mpi.spec.build import INJECTED
from lad_mpi.spec.model import NetworkChoice
from lad_mpi.spec.parse import parse_spec
from lad_mpi.toml import MOST_BYTES, MOST_LEVELS, parse_toml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from lad_mpi.aggregation import Pipeline
    from lad_mpi.spec.model import Spec


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises
    ------
    UsageError
        It cannot be read or is not TOML; see :func:`lad_mpi.toml.parse_toml`.
    """
    try:
        # Editors may begin a file with a byte-order mark, which TOML does not allow.
        return parse_toml(read_bytes(path, most_bytes=MOST_BYTES).decode("utf-8-sig"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path}: not a TOML file: {error}") from error


def is_study(mapping: Mapping[str, Any]) -> bool:
    """Return whether a file is a study, not a spec."""
    return not mapping.keys().isdisjoint({"base", "axes", "cases"})


def load_spec(path: Path, overrides: Iterable[str] = ()) -> Spec:
    """Read a spec file, apply overrides and check the result.

    Parameters
    ----------
    path : Path
        The TOML file.
    overrides : iterable of str
        ``table.key=value``, the value in TOML notation or a bare word.

    Raises
    ------
    UsageError, SpecError
        The file or a value in it cannot be used.
    """
    mapping = read_toml(path)
    if is_study(mapping):
        raise UsageError(
            f"{path}: this is a study, not a single run",
            hint=f"lad-mpi study run {path}",
        )
    for override in overrides:
        apply_override(mapping, override)
    return parse_spec(mapping)


def parse_toml_spec(text: str) -> Spec:
    """Build a spec from TOML text, such as the text in a log."""
    return parse_spec(parse_toml(text))


def apply_override(mapping: dict[str, Any], override: str) -> None:
    """Set one dotted key in place, ``"coding.load=20"``.

    Raises
    ------
    SpecError
        It has another form, or is not UTF-8, as logs must be.
    """
    try:
        override = os.fsencode(override).decode("utf-8")
    except UnicodeError as error:
        raise SpecError("--set", f"expected text in UTF-8, found {shown(override)}") from error
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise SpecError("--set", f"expected table.key=value, found {shown(override)}")
    set_dotted(mapping, key.strip(), parse_value(text.strip()))


def set_dotted(mapping: dict[str, Any], key: str, value: Any) -> None:
    """Set ``a.b.c`` in nested tables, in place, making tables as needed.

    A table without a ``kind`` is merged into the existing table. One with a ``kind`` replaces it.

    Raises
    ------
    SpecError
        A part of the key names a value that is not a table, or there are too many parts.
    """
    if key.count(".") >= MOST_LEVELS:
        raise SpecError(key, f"a key has at most {MOST_LEVELS} parts")
    *tables, last = key.split(".")
    if not last or not all(tables):
        raise SpecError(key, "has an empty part; expected names with dots between them")
    inner = mapping
    for depth, name in enumerate(tables):
        inner = inner.setdefault(name, {})
        if not isinstance(inner, dict):
            raise SpecError(key, f"{'.'.join(tables[: depth + 1])} is a value, not a table")
    # A table with a kind describes a component. Parameters of the old kind do not apply to it.
    if isinstance(inner.get(last), dict) and isinstance(value, dict) and "kind" not in value:
        inner[last].update(value)
    else:
        inner[last] = value


def parse_value(text: str) -> Any:
    """Return the value of a word on the command line: TOML notation, else the word itself."""
    try:
        parsed = parse_toml(f"value = {text}")
    except ValueError:
        return text
    return parsed["value"] if len(parsed) == 1 else text


def to_mapping(spec: Spec) -> dict[str, Any]:
    """Return the resolved spec as nested plain values, with all defaults."""
    mapping: dict[str, Any] = {}
    for field in dataclasses.fields(spec):
        value = getattr(spec, field.name)
        if value is None:
            continue
        if field.name in {"aggregation", "fallback"}:
            mapping[field.name] = _pipeline(value)
        elif isinstance(value, DataPlan):
            mapping[field.name] = {**_table(value.source), **_table(value, "source")}
        elif isinstance(value, Updates):
            shared = _table(value, "method", "schedule")
            schedule = {"schedule": _table(value.schedule)}
            mapping[field.name] = {**_table(value.method), **shared, **schedule}
        elif isinstance(value, NetworkChoice):
            if value.emulate is not None:
                mapping[field.name] = {"emulate": value.emulate.to_texts()}
        elif dataclasses.is_dataclass(value):
            mapping[field.name] = _table(value)
        else:
            mapping[field.name] = value
    return mapping


def to_toml(spec: Spec) -> str:
    """Return the resolved spec as TOML text that parses to an equal spec."""
    return tomli_w.dumps(to_mapping(spec))


def _table(component: Any, *without: str) -> dict[str, Any]:
    kind = {"kind": component.kind} if hasattr(component, "kind") else {}
    values = {
        field.name: getattr(component, field.name)
        for field in dataclasses.fields(component)
        if field.init and field.name not in {INJECTED, *without}
    }
    plain = {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in values.items()
        if value is not None
    }
    return {**kind, **plain}


def _pipeline(pipeline: Pipeline) -> dict[str, Any]:
    return {**_table(pipeline.rule), "pre": [_table(step) for step in pipeline.pre]}
