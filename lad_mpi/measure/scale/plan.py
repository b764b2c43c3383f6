"""From a spec, numbers of ranks and axes to cases."""

from __future__ import annotations

import copy
import itertools
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

from lad_mpi.errors import SpecError, UsageError
from lad_mpi.measure.scale.grow import RULES, device_ranks, grow
from lad_mpi.records import Case
from lad_mpi.spec import identify, parse_spec, parse_value, set_dotted, to_mapping
from lad_mpi.transport import Layout

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lad_mpi.measure.scale.grow import Growth
    from lad_mpi.spec import Spec

Kind = Literal["strong", "weak"]
_SAME_WORK = "nothing grows: N, Q, d and samples are the same at every P"


@dataclass(frozen=True, slots=True)
class ScalePlan:
    """The cases of a study, with their specs.

    Parameters
    ----------
    kind : {"strong", "weak"}
        What stays the same.
    name : str
        Of the spec.
    growth_rule : str
        How the spec grows with P, in words.
    ranks : tuple of int
        All P, ascending.
    over : dict
        Axes beside P.
    cases : tuple of (Case, Spec)
        The base case is the first.
    """

    kind: Kind
    name: str
    growth_rule: str
    ranks: tuple[int, ...]
    over: dict[str, list[Any]]
    cases: tuple[tuple[Case, Spec], ...]

    @property
    def base(self) -> Case:
        """The case that speed-ups are relative to: the fewest ranks, the first of every axis."""
        return self.cases[0][0]


def parse_axis(text: str, spec: Spec) -> tuple[str, list[Any]]:
    """Read an axis, ``"load=1,5"`` or ``"coding.load=1,5"``.

    Parameters
    ----------
    text : str
        A key and values with commas between them, each as in TOML or a bare word. The
        last part of a dotted key will do where only one table has it.
    spec : Spec
        The base, which the key is looked up in.

    Returns
    -------
    key : str
        Dotted.
    values : list

    Raises
    ------
    UsageError, SpecError
        It is not of that form, or the key is unknown or ambiguous.
    """
    key, equals, values = text.partition("=")
    if not equals or not values.strip():
        raise UsageError(f"--over {text}: expected KEY=A,B,…", hint="--over load=1,5,10")
    return _full_key(key.strip(), to_mapping(spec)), [
        parse_value(value.strip()) for value in values.split(",")
    ]


def plan_scaling(
    kind: Kind,
    spec: Spec,
    ranks: Sequence[int],
    *,
    over: Mapping[str, Sequence[Any]] | None = None,
    growth: Growth | None = None,
) -> ScalePlan:
    """Work out all cases of a study.

    Parameters
    ----------
    kind : {"strong", "weak"}
        Whether the whole work or that of a device rank is the same at every P.
    spec : Spec
        The base case's, at the fewest ranks.
    ranks : sequence of int
        Numbers of ranks.
    over : mapping of sequence, optional
        Axes beside P: dotted keys and their values.
    growth : {"samples", "dimension", "devices"}, optional
        What grows in a weak study; samples if left out.

    Raises
    ------
    UsageError, SpecError
        The numbers make no study, or a spec that results cannot be run.
    """
    if not ranks or min(ranks) < 1:
        raise UsageError(f"--ranks: expected numbers from 1 on, found {list(ranks)}")
    if kind == "strong" and growth is not None:
        raise UsageError(
            f"--grow {growth} belongs to weak scaling; in strong scaling nothing grows"
        )
    rising = tuple(sorted(set(ranks)))
    rule: Growth | None = (growth or "samples") if kind == "weak" else None
    axes = {key: list(values) for key, values in (over or {}).items()}
    base = to_mapping(spec)
    cases = []
    for values in itertools.product(*axes.values()):
        point = dict(zip(axes, values, strict=True))
        for size in rising:
            factor = Fraction(device_ranks(size), device_ranks(rising[0]))
            cases.append(_case(base, size, point, rule, factor))
    names = [case.name for case, _ in cases]
    if len(set(names)) < len(names):
        raise UsageError(f"--over: two cases are the same: {', '.join(sorted(names))}")
    words = _SAME_WORK if rule is None else f"grow = {rule!r}: {RULES[rule][1]}"
    return ScalePlan(kind, spec.name, words, rising, axes, tuple(cases))


def _case(
    base: Mapping[str, Any],
    ranks: int,
    point: Mapping[str, Any],
    rule: Growth | None,
    factor: Fraction,
) -> tuple[Case, Spec]:
    mapping = copy.deepcopy(dict(base))
    for key, value in point.items():
        set_dotted(mapping, key, value)
    if rule is not None:
        mapping = grow(mapping, rule, factor)
    axes = "".join(f"-{key.rpartition('.')[2]}={_slug(value)}" for key, value in point.items())
    # Runs of one spec are the same run whatever P is: names may hold what is in the spec only.
    if rule is not None and factor != 1:
        mapping["name"] = f"{mapping['name']} ({rule} × {factor})"
    spec = parse_spec(mapping)
    identity = identify(spec)
    Layout(spec.devices.count, ranks)
    case = Case(
        name=f"p{ranks}{axes}",
        ranks=ranks,
        over=dict(point),
        growth=float(factor) if rule is not None else 1.0,
        spec=f"specs/{identity.run_id}.toml",
        identity=identity.digest,
        reference=f"reference/{identity.run_id}.h5",
    )
    return case, spec


def _slug(value: Any) -> str:
    return re.sub(r"[^\w.+-]+", "-", str(value)).strip("-")


def _full_key(key: str, mapping: Mapping[str, Any]) -> str:
    if "." in key or key in mapping:
        return key
    found = [
        f"{table}.{key}"
        for table, content in mapping.items()
        if isinstance(content, dict) and key in content
    ]
    if len(found) != 1:
        known = sorted(
            name for content in mapping.values() if isinstance(content, dict) for name in content
        )
        raise SpecError(
            key,
            f"is in several tables: {', '.join(found)}" if found else "no table of the spec has it",
            hint="write it with its table, as coding.load"
            if found
            else f"known: {', '.join(dict.fromkeys(known))}; others with their table",
        )
    return found[0]
