"""The cases of a scaling study, how their specs grow with P, and the order of launches."""

from __future__ import annotations

import copy
import hashlib
import itertools
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

from lad_mpi.errors import SpecError, UsageError
from lad_mpi.records import ScalingCase
from lad_mpi.spec import identify, parse_spec, parse_value, set_dotted, to_mapping
from lad_mpi.transport import Layout
from lad_mpi.types import device_ranks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lad_mpi.spec import Spec


Kind = Literal["strong", "weak"]
_SAME_WORK = "nothing grows: N, Q, d and samples are the same at every P"


@dataclass(frozen=True, slots=True)
class ScalePlan:
    """The cases of a study, with their specs.

    Parameters
    ----------
    kind : {"strong", "weak"}
        Whether the total work or the work of a device rank is constant.
    name : str
        Name of the spec.
    growth_rule : str
        How the spec grows with P, in words.
    ranks : tuple of int
        All values of P, ascending.
    over : dict
        Further axes: dotted keys and their values.
    cases : tuple of (ScalingCase, Spec)
        All cases; the first is the base case.
    """

    kind: Kind
    name: str
    growth_rule: str
    ranks: tuple[int, ...]
    over: dict[str, list[Any]]
    cases: tuple[tuple[ScalingCase, Spec], ...]

    @property
    def base(self) -> ScalingCase:
        """The case that speed-ups refer to: fewest ranks, first value of every axis."""
        return self.cases[0][0]


def parse_axis(text: str, spec: Spec) -> tuple[str, list[Any]]:
    """Read an axis such as ``"load=1,5"`` or ``"coding.load=1,5"``.

    Parameters
    ----------
    text : str
        A key, and values separated by commas. A value is TOML or a bare word. The last part
        of a dotted key is enough if only one table has it.
    spec : Spec
        Base spec, in which the key is looked up.

    Returns
    -------
    key : str
        The dotted key.
    values : list

    Raises
    ------
    UsageError, SpecError
        The text has another form, or the key is unknown or ambiguous.
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
        Whether the total work or the work of a device rank is the same at every P.
    spec : Spec
        Spec of the base case, which has the fewest ranks.
    ranks : sequence of int
        Values of P.
    over : mapping of sequence, optional
        Further axes: dotted keys and their values.
    growth : {"samples", "dimension", "devices"}, optional
        What grows in a weak study (default: samples).

    Raises
    ------
    UsageError, SpecError
        The arguments do not describe a study, or one of its specs is invalid.
    """
    if not ranks or min(ranks) < 1:
        raise UsageError(f"--ranks: each number must be at least 1, found {list(ranks)}")
    if kind == "strong" and growth is not None:
        raise UsageError(
            f"--grow {growth} belongs to weak scaling; in strong scaling nothing grows",
            hint="leave --grow out, or use lad-mpi scale weak",
        )
    rising = tuple(sorted(set(ranks)))
    rule: Growth | None = (growth or "samples") if kind == "weak" else None
    axes = {key: list(values) for key, values in (over or {}).items()}
    base = to_mapping(spec)
    cases = []
    for values in itertools.product(*axes.values()):
        point = dict(zip(axes, values, strict=True))
        for size in rising:
            servers = int(point.get("server.ranks", spec.server.ranks))
            factor = Fraction(device_ranks(size, servers), device_ranks(rising[0], servers))
            cases.append(_case(base, size, point, rule, factor))
    names = [case.name for case, _ in cases]
    if len(set(names)) < len(names):
        raise UsageError(
            f"--over: two cases are the same: {', '.join(sorted(names))}",
            hint="give every value only once",
        )
    words = _SAME_WORK if rule is None else f"grow = {rule!r}: {GROWTHS[rule][1]}"
    return ScalePlan(kind, spec.name, words, rising, axes, tuple(cases))


def _case(
    base: Mapping[str, Any],
    ranks: int,
    point: Mapping[str, Any],
    rule: Growth | None,
    factor: Fraction,
) -> tuple[ScalingCase, Spec]:
    mapping = copy.deepcopy(dict(base))
    for key, value in point.items():
        set_dotted(mapping, key, value)
    if rule is not None:
        mapping = grow(mapping, rule, factor)
    axes = "".join(f"-{key.rpartition('.')[2]}={_slug(value)}" for key, value in point.items())
    # The name must not contain P: the same spec at another P is the same run.
    if rule is not None and factor != 1:
        mapping["name"] = f"{mapping['name']} ({rule} × {factor})"
    spec = parse_spec(mapping)
    identity = identify(spec)
    Layout(spec.devices.count, ranks, spec.server.ranks)
    # The number of servers is no part of the identity of a run.
    servers = "" if spec.server.ranks == 1 else f"-servers={spec.server.ranks}"
    case = ScalingCase(
        name=f"p{ranks}{axes}",
        ranks=ranks,
        over=dict(point),
        growth=float(factor) if rule is not None else 1.0,
        spec=f"specs/{identity.run_id}{servers}.toml",
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


Growth = Literal["samples", "dimension", "devices"]

#: The keys that are multiplied, and the rule in words. The words are in the record of a study,
#: which is only continued if they are the same.
GROWTHS: dict[str, tuple[tuple[str, ...], str]] = {
    "samples": (
        ("data.samples_per_subset", "devices.batch_size"),
        "samples a subset and batches grow with the number of device ranks; N, Q and d stay",
    ),
    "dimension": (
        ("data.dimension",),
        "the dimension Q grows with the number of device ranks; N, d and samples stay",
    ),
    "devices": (
        ("devices.count", "devices.byzantine", "devices.assumed_byzantine"),
        (
            "devices N and Byzantine ones f grow with the number of device ranks; Q, d and samples "
            "a subset stay"
        ),
    ),
}


def grow(spec: Mapping[str, Any], rule: Growth, factor: Fraction) -> dict[str, Any]:
    """Return a spec with ``factor`` times as much work.

    Parameters
    ----------
    spec : mapping
        Resolved spec of the base case.
    rule : {"samples", "dimension", "devices"}
        What grows.
    factor : Fraction
        Number of device ranks over that of the base case.

    Raises
    ------
    SpecError
        The spec does not set the value, or the product is not a whole number.
    """
    grown = copy.deepcopy(dict(spec))
    for number, key in enumerate(GROWTHS[rule][0]):
        table, _, name = key.partition(".")
        value = spec[table].get(name)
        if value is None and number:
            continue
        if not isinstance(value, int):
            raise SpecError(
                key,
                f"is not set, so it cannot grow by grow = {rule!r}",
                hint="choose another --grow, or data that have this key",
            )
        product = value * factor
        if product.denominator != 1:
            raise SpecError(
                key,
                f"{value} times {factor} is not a whole number",
                hint="choose --ranks so that every number of device ranks (P − S) is a multiple "
                "of the smallest one, or change the value",
            )
        set_dotted(grown, key, int(product))
    return grown


@dataclass(frozen=True, slots=True)
class Planned:
    """A launch of a study.

    Parameters
    ----------
    case : ScalingCase
        The case to launch.
    number : int
        Number of the launch within its case, from 1.
    position : int
        Position in the order of all launches, from 1.
    """

    case: ScalingCase
    number: int
    position: int

    @property
    def log(self) -> str:
        """Path of the log, relative to the folder of the study."""
        return f"logs/{self.case.name}-{self.number}.h5"


def planned_launches(cases: Iterable[ScalingCase], launches: int, seed: int) -> list[Planned]:
    """Put all launches in a random but reproducible order.

    Parameters
    ----------
    cases : iterable of ScalingCase
        Cases to launch.
    launches : int
        Number of launches of each case.
    seed : int
        Seed of the order.

    Returns
    -------
    list of Planned

    Notes
    -----
    Every round launches each case once, in an order of its own. A machine that changes
    slowly therefore affects all cases alike. A round is sorted by the SHA-256 of (seed,
    round, case), so that further rounds do not change the order of the earlier ones.
    """
    chosen = list(cases)
    ordered = []
    for number in range(1, launches + 1):
        key = {case.name: _draw(seed, number, case.name) for case in chosen}
        ordered += [(case, number) for case in sorted(chosen, key=lambda case: key[case.name])]
    return [Planned(case, number, at) for at, (case, number) in enumerate(ordered, start=1)]


def _draw(seed: int, number: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed} {number} {name}".encode()).digest()
