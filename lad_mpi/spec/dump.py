"""From a spec back to TOML."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import tomli_w

from lad_mpi.spec.components import INJECTED
from lad_mpi.spec.model import NetworkChoice

if TYPE_CHECKING:
    from lad_mpi.aggregation import Pipeline
    from lad_mpi.spec.model import Spec


def to_mapping(spec: Spec) -> dict[str, Any]:
    """Return the resolved spec, every default written out, as nested plain values."""
    mapping: dict[str, Any] = {}
    for field in dataclasses.fields(spec):
        value = getattr(spec, field.name)
        if value is None:
            continue
        if field.name in {"aggregation", "fallback"}:
            mapping[field.name] = _pipeline(value)
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


def _table(component: Any) -> dict[str, Any]:
    kind = {"kind": component.kind} if hasattr(component, "kind") else {}
    values = {
        field.name: getattr(component, field.name)
        for field in dataclasses.fields(component)
        if field.init and field.name != INJECTED
    }
    plain = {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in values.items()
        if value is not None
    }
    return {**kind, **plain}


def _pipeline(pipeline: Pipeline) -> dict[str, Any]:
    return {**_table(pipeline.rule), "pre": [_table(step) for step in pipeline.pre]}
