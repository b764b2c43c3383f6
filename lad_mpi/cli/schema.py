"""``lad-mpi schema``: JSON Schemas of the files that people write."""

from __future__ import annotations

import json
import sys
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from lad_mpi import parameters
from lad_mpi.cli import numpydoc
from lad_mpi.cli.reference import (
    COMPONENT_TABLES,
    STUDY,
    Key,
    keys_of,
    kinds,
    network_keys,
    reference_page,
    scalars,
    sections,
    shared_keys,
)
from lad_mpi.errors import ExitCode
from lad_mpi.slurm.cluster import Cluster
from lad_mpi.spec import FAMILIES, Spec, default_kinds

if TYPE_CHECKING:
    import argparse

_DRAFT = "https://json-schema.org/draft/2020-12/schema"


def schema(options: argparse.Namespace) -> ExitCode:
    """Print a JSON Schema, or the reference page of all keys."""
    if options.markdown:
        sys.stdout.write(reference_page())
    else:
        text = json.dumps(SCHEMAS[options.file](), indent=1, ensure_ascii=False)
        sys.stdout.write(text + "\n")
    return ExitCode.OK


def spec_schema() -> dict[str, Any]:
    """Return the JSON Schema of a spec file."""
    properties = _spec_properties()
    title = "Spec of a run of lad_mpi"
    return {
        "$schema": _DRAFT,
        "title": title,
        **_object(properties),
        "$defs": {"pre": _pre(), "schedule": _named("schedule")},
    }


def study_schema() -> dict[str, Any]:
    """Return the JSON Schema of a study file.

    No parameter of a component is required, because a case or an axis may add it. A case and an
    axis may name a key with dots, ``"coding.load"``. A table in a case that leaves out its
    ``kind`` changes the table of the base.
    """
    leaves, tables = _leaves(), _spec_properties(change=True)
    tables = {f"{name} table": found for name, found in tables.items() if name not in leaves}
    dotted = {name: _ref(name) for name in leaves}
    nested = {name.removesuffix(" table"): _ref(name) for name in tables}
    properties = {
        "name": {"type": "string", "description": STUDY["name"]},
        "description": {"type": "string", "description": STUDY["description"]},
        "base": {"description": STUDY["base"], **_object(_spec_properties(partial=True))},
        "axes": {"description": STUDY["axes"], **_ref("axes")},
        "cases": {
            "description": STUDY["cases"],
            "type": "array",
            "items": _object({**dotted, **nested, "axes": _ref("axes")}),
        },
    }
    definitions = {
        "axes": _axes(list(leaves), list(nested)),
        "pre": _pre(),
        "schedule": _named("schedule"),
        **leaves,
        **tables,
    }
    title = "Study of lad_mpi"
    return {"$schema": _DRAFT, "title": title, **_object(properties), "$defs": definitions}


def cluster_schema() -> dict[str, Any]:
    """Return the JSON Schema of a cluster file."""
    return {"$schema": _DRAFT, "title": "Cluster file of lad_mpi", **_table(keys_of(Cluster))}


SCHEMAS = {"spec": spec_schema, "study": study_schema, "cluster": cluster_schema}


def _spec_properties(*, partial: bool = False, change: bool = False) -> dict[str, Any]:
    """Return the properties of a spec.

    Parameters
    ----------
    partial : bool
        Whether parameters without a default may be left out.
    change : bool
        Whether it is a change of another spec, in which any ``kind`` may be left out as well.
    """
    properties = {}
    for key in keys_of(Spec):
        name = key.name
        if name in COMPONENT_TABLES:
            found = _component(name, partial=partial or change, change=change)
        elif name == "network":
            found = _object({"emulate": _emulate()})
        elif name in sections():
            found = _table(keys_of(sections()[name]))
        else:
            found = _value(key)
        properties[name] = {**found, "description": key.meaning}
    return properties


def _component(table: str, *, partial: bool, change: bool = False) -> dict[str, Any]:
    """Return the schema of a table with a ``kind``: one alternative for each kind."""
    family = COMPONENT_TABLES.get(table, table)
    more = _more(table)
    default = default_kinds().get(table)
    alternatives = []
    for kind, keys in kinds(family).items():
        required = [] if kind == default and not change else ["kind"]
        required += [key.name for key in keys if key.required and not partial]
        properties = {"kind": {"const": kind}, **_properties(keys), **more}
        summary = numpydoc.read_docstring(FAMILIES[family].find(kind)).summary
        alternatives.append(
            {"title": kind, "description": summary, **_object(properties), "required": required}
        )
    if change:
        without_kind = _object({**_any_kind(family), **more})
        alternatives.append({"title": "the kind of the base", **without_kind})
    return {"type": "object", "oneOf": alternatives}


def _more(table: str) -> dict[str, Any]:
    """Return the properties that all kinds of a table have."""
    found = _properties(shared_keys(table))
    if COMPONENT_TABLES.get(table) == "aggregation":
        found["pre"] = _ref("pre")
    if table == "optimizer":
        found["schedule"] = _ref("schedule")
    return found


def _pre() -> dict[str, Any]:
    items = _named("pre")
    return {"type": "array", "items": items, "description": "Pre-aggregations, in their order."}


def _named(family: str) -> dict[str, Any]:
    """Return the schema of a component that may be given by its name alone."""
    names = {"type": "string", "enum": list(kinds(family))}
    return {"oneOf": [names, _component(family, partial=False)]}


def _any_kind(family: str) -> dict[str, Any]:
    """Return the parameters of all kinds of a family."""
    found: dict[str, list[Any]] = {}
    for keys in kinds(family).values():
        for key in keys:
            found.setdefault(key.name, []).append(_value(key))
    return {
        name: schemas[0] if schemas.count(schemas[0]) == len(schemas) else {"anyOf": schemas}
        for name, schemas in found.items()
    }


def _emulate() -> dict[str, Any]:
    table = {**_table(network_keys()), "minProperties": 1}
    return {"oneOf": [{"const": False}, {"type": "string"}, table]}


def _leaves() -> dict[str, Any]:
    """Return the schema of every value of a spec by its dotted key."""
    leaves = {key.name: _value(key) for key in scalars()}
    for name, cls in sections().items():
        found = {"emulate": _emulate()} if name == "network" else _properties(keys_of(cls))
        leaves |= {f"{name}.{key}": schema for key, schema in found.items()}
    emulated = _properties(network_keys())
    leaves |= {f"network.emulate.{key}": schema for key, schema in emulated.items()}
    for name, family in COMPONENT_TABLES.items():
        leaves[f"{name}.kind"] = {"type": "string", "enum": list(kinds(family))}
        leaves |= {f"{name}.{key}": schema for key, schema in _any_kind(family).items()}
        leaves |= {f"{name}.{key}": schema for key, schema in _more(name).items()}
    return leaves


def _axes(leaves: list[str], tables: list[str]) -> dict[str, Any]:
    """Return the schema of axes: lists of values or of tables, under nested or dotted keys."""
    lists = {name: _list_of(name) for name in leaves}
    properties = dict(lists)
    for table in tables:
        nested = _below(table, lists)
        if table == "network":
            nested["emulate"] = {
                "oneOf": [nested["emulate"], _object(_below("network.emulate", lists))]
            }
        properties[table] = {"oneOf": [_list_of(f"{table} table"), _object(nested)]}
    return _object(properties)


def _below(place: str, schemas: dict[str, Any]) -> dict[str, Any]:
    """Return the schemas of the keys of a table, without the name of the table."""
    inner = {name.removeprefix(f"{place}."): name for name in schemas if name != place}
    return {name: schemas[full] for name, full in inner.items() if full != name}


def _list_of(name: str) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "items": _ref(name)}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{name.replace(' ', '%20')}"}


def _table(keys: list[Key]) -> dict[str, Any]:
    return _object(_properties(keys))


def _properties(keys: list[Key]) -> dict[str, Any]:
    return {key.name: _value(key) for key in keys}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _value(key: Key) -> dict[str, Any]:
    """Return the schema of the value of a key; TOML has no null, so None is no alternative."""
    hint = reduce(or_, parameters.alternatives(key.hint))
    found: dict[str, Any] = TypeAdapter(hint).json_schema()
    if key.default is not None:
        found["default"] = key.default
    if key.examples:
        found["examples"] = key.examples
    found["description"] = f"{key.meaning} Unit: {key.unit}." if key.unit else key.meaning
    return found
