"""Every key of spec, study and cluster files, and the page ``docs/reference.md`` about them.

Names, types, defaults and ranges come from the dataclasses, meanings from their docstrings.
:mod:`lad_mpi.cli.schema` writes the same keys as a JSON Schema.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from lad_mpi import parameters
from lad_mpi.cli import numpydoc
from lad_mpi.data import DataPlan
from lad_mpi.network import EXAMPLES, Network, units_of
from lad_mpi.optimizers import Updates
from lad_mpi.slurm.cluster import Cluster
from lad_mpi.spec import FAMILIES, INJECTED, Spec, default_kinds
from lad_mpi.types import LARGEST_COUNT

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Tables of a spec that hold a component, with its family.
COMPONENT_TABLES = {
    "data": "data",
    "model": "model",
    "coding": "coding",
    "compression": "compression",
    "attack": "attack",
    "aggregation": "aggregation",
    "fallback": "aggregation",
    "optimizer": "optimizer",
}
#: Tables in which all kinds have further keys, with the class that has these, and its fields
#: that hold components.
_SHARED: dict[str, tuple[Any, set[str]]] = {
    "data": (DataPlan, {"source"}),
    "optimizer": (Updates, {"method", "schedule"}),
}
#: Limits of all counts and of all integers, which the introduction states once.
_LARGEST = (LARGEST_COUNT, 2**63 - 1)
_INTRODUCTION = """\
# Reference of all keys

<!-- Made by `make reference`. Do not edit: change the dataclass or its docstring. -->

A run is described by a [spec](#spec), many runs by a [study](#study), and a SLURM cluster by a
[cluster file](#cluster-file). All are TOML. [Studies](studies.md) explains axes and cases.

- A key that is left out has its default. An empty default means that the component decides, as
  its meaning says.
- Every example is one line of a file. On the command line the same key is set by `--set`:
  `lad-mpi run SPEC.toml --set coding.load=10`. A value is TOML, or a bare word.
- `lad-mpi study submit --set` changes keys of the cluster file: `--set time=04:00:00`.
- An unknown key is an error that names the nearest known one.
- Counts are at most 2³¹ − 1, and other integers less than 2⁶³.
- `lad-mpi schema spec`, `study` and `cluster` print the same keys as a JSON Schema. Editors with
  a TOML plug-in (Even Better TOML, taplo) complete and check a file whose first line names it:
  `#:schema docs/schema/spec.json`.
- Components of [other packages](extending.md) have more kinds. `lad-mpi components` lists them,
  and the schemas that `lad-mpi schema` prints where they are installed include them."""
_NETWORK = """\
`emulate` is a table with the keys below, a line such as `"latency=50us,bandwidth=1GB/s"`, or
`false`, the default, for no emulation."""
_SCHEDULE = """\
How the step size changes during a run: a name, such as `schedule = "cosine"`, or a table with a
`kind` and its keys, such as `schedule = { kind = "cosine", warmup = 20 }`."""
_PRE = """\
A list of pre-aggregations, carried out in order before the rule. Each is a name, `pre = ["nnm"]`,
or a table, `pre = [{ kind = "bucketing", size = 2 }]`."""
_STUDIES = """\
See [Studies](studies.md). The keys of `base` and of cases are those of a spec."""
_CLUSTERS = """\
`lad-mpi study submit STUDY.toml --cluster FILE.toml` reads it. See the
[cluster guide](cluster-guide.md)."""
STUDY = {
    "name": "Name of the study and of the folder of its results; the name of the file if left out.",
    "description": "What the study is for.",
    "base": "The spec that every run starts from.",
    "axes": "A list of values for each key. The study runs all combinations.",
    "cases": "Changes of the base, one table each, with `axes` of their own if needed.",
}


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a table.

    Parameters
    ----------
    name : str
        The key, without its table.
    hint : type
        Type of the value, with its range, unit and example.
    default : object
        Value if the key is left out; None if it then has none.
    required : bool
        Whether the key cannot be left out.
    meaning : str
        What the value stands for.
    """

    name: str
    hint: Any
    default: Any
    required: bool
    meaning: str

    @property
    def type(self) -> str:
        """The type of the value in words."""
        return " or ".join(map(_type, parameters.alternatives(self.hint)))

    @property
    def range(self) -> str:
        """The range of the value in words, without the largest integers; empty if there is none."""
        bounds = parameters.bounds_of(self.hint)
        return ", ".join(dict.fromkeys(str(one) for one in bounds if one.limit not in _LARGEST))

    @property
    def unit(self) -> str:
        """The unit of the value; empty if there is none."""
        return parameters.unit_of(self.hint)

    @property
    def examples(self) -> list[Any]:
        """Values to show: those of the type, else the default, else the first choice."""
        found = parameters.examples_of(self.hint)
        default = [] if self.default is None else [self.default]
        return found or default or list(parameters.choices_of(self.hint)[:1])


def keys_of(cls: Any) -> list[Key]:
    """Return the keys of the table that a dataclass describes."""
    described, types = numpydoc.read_docstring(cls).parameters, parameters.field_types(cls)
    return [
        Key(
            field.name,
            types[field.name],
            None if is_required(field) else default_of(field),
            is_required(field),
            described.get(field.name, ""),
        )
        for field in dataclasses.fields(cls)
        if field.name in types and field.name != INJECTED
    ]


def is_required(field: dataclasses.Field[Any]) -> bool:
    """Return whether a field of a dataclass has no default."""
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def default_of(field: dataclasses.Field[Any]) -> Any:
    """Return the default of a field that has one."""
    factory = field.default_factory
    value = field.default if factory is dataclasses.MISSING else factory()
    # As TOML and JSON have it.
    return list(value) if isinstance(value, tuple) else value


def sections() -> dict[str, Any]:
    """Return the tables of a spec that have no components, with their classes."""
    types: dict[str, Any] = parameters.field_types(Spec)
    return {
        name: hint
        for name, hint in types.items()
        if dataclasses.is_dataclass(hint) and name not in COMPONENT_TABLES
    }


def scalars() -> list[Key]:
    """Return the keys of a spec that are not tables."""
    tables = {*COMPONENT_TABLES, *sections()}
    return [key for key in keys_of(Spec) if key.name not in tables]


def shared_keys(table: str) -> list[Key]:
    """Return the keys that all kinds of a table have, besides ``kind`` and components."""
    if table not in _SHARED:
        return []
    cls, components = _SHARED[table]
    return [key for key in keys_of(cls) if key.name not in components]


def kinds(family: str) -> dict[str, list[Key]]:
    """Return the keys of each member of a family, besides ``kind``."""
    members = FAMILIES[family].members()
    return {kind: keys_of(cls) for kind, cls in sorted(members.items())}


def network_keys() -> list[Key]:
    """Return the keys of ``network.emulate``."""
    described = numpydoc.read_docstring(Network).parameters
    return [
        Key(
            name,
            Annotated[str, parameters.Example(example)],
            None,
            False,
            next(text for field, text in described.items() if field.startswith(name))
            + f" Units: {', '.join(units_of(name))}.",
        )
        for name, example in EXAMPLES.items()
    ]


def reference_page() -> str:
    """Return ``docs/reference.md``."""
    parts = [_INTRODUCTION, "## Spec", "### Top level", _rows("", scalars())]
    for name, key in ((key.name, key) for key in keys_of(Spec)):
        if name in COMPONENT_TABLES:
            parts += [f"### `[{name}]`", key.meaning]
            if shared := shared_keys(name):
                parts += ["All kinds have these keys:", _rows(f"{name}.", shared)]
            parts += _members(name, COMPONENT_TABLES[name])
            if name == "optimizer":
                parts += ["### `optimizer.schedule`", _SCHEDULE]
                parts += _members("optimizer.schedule", "schedule")
        elif name in sections():
            parts += [f"### `[{name}]`", numpydoc.read_docstring(sections()[name]).summary]
            if name == "network":
                parts += [_NETWORK, _rows("network.emulate.", network_keys())]
            else:
                parts.append(_rows(f"{name}.", keys_of(sections()[name])))
    parts += ["### `aggregation.pre` and `fallback.pre`", _PRE, *_members("pre", "pre")]
    parts += [
        "## Study",
        _STUDIES,
        _lines(["key", "meaning"], [[f"`{k}`", v] for k, v in STUDY.items()]),
    ]
    parts += ["## Cluster file", _CLUSTERS, _rows("", keys_of(Cluster))]
    return "\n\n".join(parts) + "\n"


def _members(table: str, family: str) -> Iterator[str]:
    default = default_kinds().get(table)
    for kind, keys in kinds(family).items():
        yield f'#### `kind = "{kind}"`{" (default)" if kind == default else ""}'
        summary = numpydoc.read_docstring(FAMILIES[family].find(kind)).summary
        yield summary if keys else f"{summary} No further keys."
        if keys:
            yield _rows(f"{table}.", keys)


def _rows(place: str, keys: list[Key]) -> str:
    header = ["key", "type", "default", "range", "unit", "meaning", "example"]
    return _lines(header, [_row(place, key) for key in keys])


def _row(place: str, key: Key) -> list[str]:
    example = next((value for value in key.examples if value not in ("", (), {})), None)
    default = "required" if key.required else "" if key.default is None else _toml(key.default)
    return [
        f"`{key.name}`",
        key.type,
        default,
        key.range,
        key.unit,
        key.meaning,
        "" if example is None else f"`{place}{key.name} = {_toml(example)}`",
    ]


def _type(hint: Any) -> str:
    """Return the type of a value as a reader of TOML knows it."""
    if choices := parameters.choices_of(hint):
        return " or ".join(map(_toml, choices))
    if typing.get_origin(hint) is Annotated:
        return _type(typing.get_args(hint)[0])
    names = {bool: "boolean", int: "integer", float: "float", str: "string"}
    if typing.get_origin(hint) is tuple:
        return f"list of {_type(typing.get_args(hint)[0])}s"
    if typing.get_origin(hint) is dict:
        return f"table of {names[typing.get_args(hint)[1]]}s"
    return names.get(hint) or inspect.formatannotation(hint)


def _toml(value: Any) -> str:
    # On one line, which tomli_w does not promise. What JSON and TOML share is enough here.
    return json.dumps(value, ensure_ascii=False)


def _lines(header: list[str], rows: list[list[str]]) -> str:
    """Return a table, without columns that are empty."""
    used = [i for i in range(len(header)) if any(row[i] for row in rows)]
    table = [[row[i].replace("|", "\\|") for i in used] for row in [header, *rows]]
    table.insert(1, ["---"] * len(used))
    return "\n".join(f"| {' | '.join(row)} |" for row in table)
