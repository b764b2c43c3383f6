"""Study files: one base spec, axes and cases, expanded to runs."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lad_mpi.errors import ParameterError, SpecError, shown
from lad_mpi.spec import (
    apply_override,
    flatten,
    identify,
    parse_spec,
    read_toml,
    set_dotted,
    to_mapping,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Sized
    from pathlib import Path

    from lad_mpi.spec import Identity, Spec

_KEYS = ("name", "description", "base", "axes", "cases")
_PLACEHOLDER = re.compile(r"\{([A-Za-z0-9_.]+)\}")
#: Each run is checked on its own, which takes milliseconds.
_MOST_RUNS = 5000
#: More than the keys of a spec.
_MOST_AXES = 100
#: Number of axes that a message names.
_NAMED_AXES = 4
#: A file name may have 255 bytes. A character may take four, and the temporary file of a
#: checkpoint adds 72.
_SLUG_CHARACTERS = 45


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a study.

    Parameters
    ----------
    spec : Spec
        The spec.
    names : tuple of str
        Labels of the run; several if cases of the study are the same run.
    identity : Identity
        Identity of the run.
    """

    spec: Spec
    names: tuple[str, ...]
    identity: Identity

    @property
    def run_id(self) -> str:
        """Short form of the identity."""
        return self.identity.run_id

    @property
    def title(self) -> str:
        """All its names in one line."""
        return " = ".join(self.names)

    def locate(self, folder: Path) -> Path:
        """Return the path of the log, which need not exist.

        The file name consists of a readable part, the seed and the id of the run. Only the
        id is looked up, so a log keeps its file if the run is renamed.
        """
        path = folder / self.file_name([])
        if path.exists():
            return path
        try:
            names = os.listdir(folder)  # noqa: PTH208
        except OSError:
            return path
        return folder / self.file_name([name for name in names if name.endswith(self.ending)])

    @property
    def ending(self) -> str:
        """End of the file name of the log, by which it is looked up."""
        return f"-s{self.spec.seed}-{self.run_id}.h5"

    def file_name(self, found: Collection[str]) -> str:
        """Return the file name of the log.

        Parameters
        ----------
        found : collection of str
            The files in the folder that have this ending.
        """
        name = f"{_slug(self.names[0]) or 'run'}{self.ending}"
        return name if name in found else min(found, default=name)


@dataclass(frozen=True, slots=True)
class Study:
    """A study file, expanded.

    Parameters
    ----------
    name : str
        Names the folder of the results: letters, digits and dashes only.
    description : str
        Purpose of the study.
    runs : tuple of Run
        All runs, in the order of the file.
    """

    name: str
    description: str
    runs: tuple[Run, ...]

    def without_host_details(self) -> Study:
        """Return the study with ``logging.host_details = false`` in all runs."""
        runs = (dataclasses.replace(run, spec=run.spec.without_host_details()) for run in self.runs)
        return dataclasses.replace(self, runs=tuple(runs))


def load_study(path: Path, overrides: Iterable[str] = ()) -> Study:
    """Read and expand a study file.

    ``[base]`` is a spec. ``[axes]`` maps dotted keys to lists of values, and the study has
    all their combinations. Each ``[[cases]]`` changes the base and may have ``axes`` of its
    own. A study without cases has one, the base. A name may contain dotted keys in braces:
    ``"LAD d={coding.load}"``. Cases that have the same identity are one run with several
    names.

    Parameters
    ----------
    path : Path
        The TOML file.
    overrides : iterable of str
        ``table.key=value``: changes of the base.

    Raises
    ------
    UsageError, SpecError
        The file cannot be read, one of its runs is invalid, or an axis or a case sets a key
        of ``overrides``.
    """
    mapping = read_toml(path)
    _check_keys(mapping)
    name, description = mapping.get("name", path.stem), mapping.get("description", "")
    if not isinstance(name, str) or not _slug(name):
        raise SpecError("name", f"expected a name with letters or digits, found {shown(name)}")
    if not isinstance(description, str):
        raise SpecError("description", f"expected a text, found {shown(description)}")
    runs: dict[str, Run] = {}
    for place, changed in _expand(mapping, overrides):
        spec = _spec(place, changed)
        identity = identify(spec)
        known = runs.get(identity.digest, Run(spec, (), identity))
        names = tuple(dict.fromkeys([*known.names, spec.name]))
        runs[identity.digest] = dataclasses.replace(known, names=names)
    return Study(_slug(name), description, tuple(runs.values()))


def _check_keys(mapping: Mapping[str, Any]) -> None:
    for key in mapping:
        if key not in _KEYS:
            raise SpecError(
                key,
                "unknown key of a study",
                hint=f"a study has {', '.join(_KEYS)}; use lad-mpi run for a single spec",
            )


def _expand(
    mapping: Mapping[str, Any], overrides: Iterable[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    base = _table(mapping, "base", "base")
    shared = _axes(mapping, "axes")
    cases = mapping.get("cases", [{}])
    if (
        not isinstance(cases, list)
        or not cases
        or not all(isinstance(case, dict) for case in cases)
    ):
        raise SpecError("cases", "expected tables, each under [[cases]]")
    if len(cases) > _MOST_RUNS:
        raise SpecError("cases", f"there are {len(cases)}, and at most {_MOST_RUNS} are allowed")
    places = [f"cases[{i}]" if "cases" in mapping else "base" for i in range(len(cases))]
    axes_of = [
        {**shared, **_axes(case, f"{place}.axes")}
        for case, place in zip(cases, places, strict=True)
    ]
    _check_number(places, axes_of)
    _override(base, overrides, dict(_setters(cases, places, shared)))
    for case, place, axes in zip(cases, places, axes_of, strict=True):
        for values in itertools.product(*axes.values()):
            changed = copy.deepcopy(base)
            for key, value in case.items():
                if key != "axes":
                    set_dotted(changed, key, copy.deepcopy(value))
            for key, value in zip(axes, values, strict=True):
                set_dotted(changed, key, copy.deepcopy(value))
            yield place, changed


def _override(base: dict[str, Any], overrides: Iterable[str], setters: Mapping[str, str]) -> None:
    """Change the base; refuse a change that an axis or a case would undo."""
    for override in overrides:
        change: dict[str, Any] = {}
        apply_override(change, override)
        for key in flatten(change):
            setter = next((name for name in setters if f"{key}.".startswith(f"{name}.")), None)
            if setter is not None:
                raise SpecError(
                    f"--set {key}",
                    f"{setters[setter]} sets {setter}, so the value of the base is not used",
                    hint="choose runs with --where, or change the study file",
                )
        apply_override(base, override)


def _setters(
    cases: Sequence[Mapping[str, Any]], places: Sequence[str], shared: Mapping[str, list[Any]]
) -> Iterator[tuple[str, str]]:
    """Yield each key that an axis or a case sets, and the place where it does."""
    for key, values in shared.items():
        yield from ((name, "[axes]") for value in values for name in _keys_set(key, value))
    for case, place in zip(cases, places, strict=True):
        for key, values in _axes(case, f"{place}.axes").items():
            yield from (
                (name, f"{place}.axes") for value in values for name in _keys_set(key, value)
            )
        for key, value in case.items():
            if key != "axes":
                yield from ((name, place) for name in _keys_set(key, value))


def _keys_set(key: str, value: Any) -> Iterable[str]:
    # A table with a kind replaces the whole table of the base.
    return flatten({key: value}) if isinstance(value, dict) and "kind" not in value else [key]


def _check_number(places: Sequence[str], axes_of: Sequence[Mapping[str, Sized]]) -> None:
    """Refuse a study with too many runs before any is created."""
    numbers = [math.prod(map(len, axes.values())) for axes in axes_of]
    if sum(numbers) <= _MOST_RUNS:
        return
    most = max(range(len(numbers)), key=numbers.__getitem__)
    axes = sorted(axes_of[most].items(), key=lambda axis: -len(axis[1]))
    longest = ", ".join(f"{key} ({len(values)} values)" for key, values in axes[:_NAMED_AXES])
    raise SpecError(
        "axes" if places[most] == "base" else f"{places[most]}.axes",
        f"the study has {shown(sum(numbers))} runs, and at most {_MOST_RUNS} are allowed; "
        f"{shown(numbers[most])} come from the axes {longest}",
        hint="split it into several files",
    )


def _spec(place: str, mapping: dict[str, Any]) -> Spec:
    try:
        spec = parse_spec(mapping)
        resolved = to_mapping(spec)
        name = _PLACEHOLDER.sub(lambda found: str(_lookup(resolved, found[1])), spec.name)
        return dataclasses.replace(spec, name=name)
    except ParameterError as error:
        raise SpecError(f"{place}: {error.parameter}", error.message, hint=error.hint) from error
    except SpecError as error:
        raise SpecError(f"{place}: {error.key}", _without_key(error), hint=error.hint) from error


def _without_key(error: SpecError) -> str:
    return error.message.removeprefix(f"{error.key}: ")


def _lookup(mapping: Mapping[str, Any], key: str) -> Any:
    inner: Any = mapping
    for part in key.split("."):
        if not isinstance(inner, dict) or part not in inner:
            raise SpecError(
                "name",
                f"the placeholder {{{key}}} names no value of the spec",
                hint="use a key of the spec with its table, such as {coding.load}",
            )
        inner = inner[part]
    if isinstance(inner, (dict, list)):
        raise SpecError(
            "name",
            f"the placeholder {{{key}}} names a table or a list, not a single value",
            hint="use a key of the spec with a single value, such as {coding.load}",
        )
    return inner


def _axes(mapping: Mapping[str, Any], place: str) -> dict[str, list[Any]]:
    # [axes] coding.load = […] and "coding.load" = […] mean the same.
    axes = flatten(_table(mapping, "axes", place))
    if len(axes) > _MOST_AXES:
        raise SpecError(place, f"has {len(axes)} axes, and at most {_MOST_AXES} are allowed")
    for key, values in axes.items():
        if not isinstance(values, list) or not values:
            raise SpecError(f"{place}.{key}", f"expected a list of values, found {shown(values)}")
    return axes


def _table(mapping: Mapping[str, Any], key: str, place: str) -> dict[str, Any]:
    table = mapping.get(key, {})
    if not isinstance(table, dict):
        raise SpecError(place, f"expected a table, found {shown(table)}")
    return table


def _slug(text: str) -> str:
    return re.sub(r"[^\w=]+", "-", text.lower()).strip("-")[:_SLUG_CHARACTERS]
