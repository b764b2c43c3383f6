"""From a mapping, as TOML gives it, to a checked :class:`~lad_mpi.spec.model.Spec`."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from lad_mpi.aggregation import Pipeline
from lad_mpi.attacks import AttackContext, LocalAttack, OmniscientAttack
from lad_mpi.coding import Code, DecodingCode
from lad_mpi.compression import ColumnCodec, GpuCodec
from lad_mpi.errors import ParameterError, SpecError, shown
from lad_mpi.network import build_network, parse_network
from lad_mpi.data import ProblemData, SizedProblem
from lad_mpi.rng import Streams
from lad_mpi.spec.build import (
    build,
    build_component,
    check_type,
    field_names,
    located,
    refuse_unknown,
)
from lad_mpi.spec.contracts import complaints_about
from lad_mpi.spec.families import FAMILIES
from lad_mpi.spec.model import (
    BackendChoice,
    ComputeMode,
    Devices,
    Logging,
    NetworkChoice,
    Optimizer,
    Safety,
    Spec,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lad_mpi.types import Array

_SECTIONS = {
    "devices": Devices,
    "optimizer": Optimizer,
    "logging": Logging,
    "safety": Safety,
    "backend": BackendChoice,
}
_COMPONENTS = ("problem", "coding", "compression", "attack")
#: Up to this many devices, rules and attacks are tried out; a rule may cost its square.
_TRIED_OUT = 1000
#: Most pre-aggregations of one rule.
_MOST_PRE = 16
_SCALARS = {"name": str, "seed": int, "iterations": int, "compute": ComputeMode, "overlap": bool}


def parse_spec(mapping: Mapping[str, Any]) -> Spec:
    """Build and check a spec.

    Parameters
    ----------
    mapping : mapping
        Tables and values as in a spec file. A key that is left out has its default.

    Raises
    ------
    SpecError
        The first mistake, with its place and how to correct it.
    """
    refuse_unknown(mapping, field_names(Spec), "")
    for key, value in mapping.items():
        if key not in _SCALARS and not isinstance(value, dict):
            raise SpecError(key, f"expected a table [{key}], found {shown(value)}")
    parts: dict[str, Any] = {
        name: check_type(hint, mapping[name], name)
        for name, hint in _SCALARS.items()
        if name in mapping
    }
    for name, cls in _SECTIONS.items():
        parts[name] = build(cls, mapping.get(name, {}), name)
    parts["network"] = _network(mapping.get("network", {}))
    devices: Devices = parts["devices"]
    faults = devices.num_byzantine
    for name in _COMPONENTS:
        if name in mapping:
            parts[name] = _component(mapping, name, faults)
    decodes = isinstance(parts.get("coding"), DecodingCode)
    parts["aggregation"] = _aggregation(mapping, faults, decodes=decodes)
    parts["fallback"] = _fallback(mapping, faults, parts.get("coding"))
    try:
        spec = Spec(**parts)
    except ParameterError as error:
        raise located(error, "") from error
    _check_together(spec)
    return spec


def parse_devices(mapping: Mapping[str, Any]) -> Devices:
    """Build the participants of a spec, whatever its components are.

    Raises
    ------
    SpecError
        A value is out of range.
    """
    devices: Devices = build(Devices, mapping.get("devices", {}), "devices")
    return devices


def parse_component(mapping: Mapping[str, Any], name: str) -> Any:
    """Build one component of a spec, whatever the others are.

    Parameters
    ----------
    mapping : mapping
        Tables and values as in a spec file.
    name : {"problem", "coding", "compression", "attack"}
        Its table.

    Raises
    ------
    SpecError
        It cannot be built, for instance because its package is not installed.
    """
    return _component(mapping, name, parse_devices(mapping).num_byzantine)


def check_data(spec: Spec, data: ProblemData) -> None:
    """Check that a problem has loaded data, in one subset for every device.

    Raises
    ------
    SpecError
        It has not. The message names the class and what it lacks.
    """
    found = complaints_about(data, ProblemData)
    if not found and data.num_subsets != spec.devices.count:
        found = (f"has {data.num_subsets} subsets instead of {spec.devices.count}",)
    if found:
        cls = type(data)
        raise SpecError(
            "problem.kind",
            f"class {cls.__module__}.{cls.__qualname__}, the data of {spec.problem.kind!r}, "
            f"{'; it '.join(found)}",
        )


def check_dimension(spec: Spec, dimension: int) -> None:
    """Check a spec against the length of its messages, known once the data are read.

    Raises
    ------
    SpecError
        The codec does not fit the dimension or the code.
    """
    try:
        spec.compression.check(dimension)
    except ParameterError as error:
        raise located(error, "compression") from error
    if spec.coding.needs_exact_messages and spec.compression.delta(dimension) != 0:
        raise SpecError(
            "compression.kind",
            f"{spec.compression.kind!r} changes messages, and {spec.coding.kind!r} decodes "
            "only messages that arrive as they were computed",
            hint='set compression.kind = "none", or take another code',
        )


def _component(mapping: Mapping[str, Any], name: str, faults: int) -> Any:
    table = _with_kind(name, mapping.get(name, {}))
    return build_component(FAMILIES[name], table, name, num_byzantine=faults)


def _network(table: Mapping[str, Any]) -> NetworkChoice:
    refuse_unknown(table, field_names(NetworkChoice), "network")
    value = table.get("emulate", False)
    try:
        # TOML has no null, and a case of a study may want to switch the emulation off.
        if value is False:
            return NetworkChoice()
        if isinstance(value, str):
            return NetworkChoice(parse_network(value))
        if isinstance(value, dict):
            return NetworkChoice(build_network(value))
    except ParameterError as error:
        # A mistake in the whole does not belong to a quantity.
        if error.parameter != "network":
            raise located(error, "network.emulate") from error
        raise SpecError("network.emulate", error.message, hint=error.hint) from error
    raise SpecError(
        "network.emulate",
        f"expected latency and bandwidth, or false, found {shown(value)}",
        hint='such as emulate = { latency = "50us", bandwidth = "1GB/s" }',
    )


def _with_kind(name: str, table: Mapping[str, Any]) -> Mapping[str, Any]:
    # A table without a kind changes parameters of the default kind.
    return {"kind": default_kinds()[name], **table}


@cache
def default_kinds() -> dict[str, str]:
    """Return the kind that each table of a component has if the spec does not name one."""
    default = Spec()
    kinds = {name: getattr(default, name).kind for name in _COMPONENTS}
    if default.aggregation is not None:
        kinds["aggregation"] = default.aggregation.rule.kind
    return kinds


def _aggregation(mapping: Mapping[str, Any], faults: int, *, decodes: bool) -> Pipeline | None:
    if decodes:
        if "aggregation" in mapping:
            raise SpecError(
                "aggregation",
                f"{mapping['coding']['kind']!r} recovers the gradient itself and takes no rule",
                hint="leave [aggregation] out; for a rule that steps in when decoding fails, "
                "call the table [fallback]",
            )
        return None
    table = _with_kind("aggregation", mapping.get("aggregation", {}))
    return _pipeline(table, "aggregation", faults)


def _fallback(mapping: Mapping[str, Any], faults: int, code: Code | None) -> Pipeline | None:
    if "fallback" not in mapping:
        return None
    if not isinstance(code, DecodingCode):
        raise SpecError(
            "fallback",
            "is only for codes that decode (draco_*), and coding.kind is not one of them",
            hint="leave [fallback] out; [aggregation] holds the rule",
        )
    if code.message_parts > 1:
        raise SpecError(
            "fallback",
            f"the messages of {code.kind!r} are not estimates of the gradient, so no rule can "
            "use them",
            hint="leave [fallback] out, or take another draco_* code",
        )
    return _pipeline(mapping["fallback"], "fallback", faults)


def _pipeline(table: Mapping[str, Any], place: str, faults: int) -> Pipeline:
    entries = table.get("pre", [])
    if not isinstance(entries, list):
        raise SpecError(f"{place}.pre", f"expected a list such as ['nnm'], found {shown(entries)}")
    if len(entries) > _MOST_PRE:
        found = f"expected at most {_MOST_PRE} steps, found {len(entries)}"
        raise SpecError(f"{place}.pre", found)
    pre = []
    for number, entry in enumerate(entries):
        where = f"{place}.pre[{number}]"
        step = {"kind": entry} if isinstance(entry, str) else entry
        if not isinstance(step, dict):
            raise SpecError(where, f"expected a name or a table, found {shown(entry)}")
        pre.append(build_component(FAMILIES["pre"], step, where, num_byzantine=faults))
    rest = {key: value for key, value in table.items() if key != "pre"}
    rule = build_component(FAMILIES["aggregation"], rest, place, num_byzantine=faults)
    return Pipeline(tuple(pre), rule)


def _check_together(spec: Spec) -> None:
    try:
        spec.coding.check(spec.devices.count, spec.devices.num_byzantine)
    except ParameterError as error:
        raise located(error, "coding") from error
    _check_overlap(spec)
    _check_transfers(spec)
    _try_out(spec)
    if isinstance(spec.problem, SizedProblem) and spec.problem.declared_dimension is not None:
        check_dimension(spec, spec.coding.message_parts * spec.problem.declared_dimension)


def _check_overlap(spec: Spec) -> None:
    if not spec.overlap:
        return
    if not isinstance(spec.compression, ColumnCodec):
        raise SpecError(
            "overlap",
            f"messages of compression.kind = {spec.compression.kind!r} cannot be decoded by "
            "columns before they have arrived completely",
            hint='set overlap = false, or compression.kind = "none" or "cast"',
        )
    if spec.backend.kind != "numpy":
        raise SpecError(
            "overlap",
            f"slices of messages are processed in host memory, and backend.kind is "
            f"{spec.backend.kind!r}",
            hint='set overlap = false, or backend.kind = "numpy"',
        )


def _check_transfers(spec: Spec) -> None:
    if spec.backend.gpu_transfers == "direct" and not isinstance(spec.compression, GpuCodec):
        raise SpecError(
            "backend.gpu_transfers",
            f"messages of compression.kind = {spec.compression.kind!r} are packed on the host, "
            "so MPI cannot take them from a GPU",
            hint='leave it out, or take another codec, such as compression.kind = "none"',
        )


def _try_out(spec: Spec) -> None:
    """Try rules and attacks on as many messages as in the run, of one coordinate.

    If a rule or an attack does not fit the number of messages, or returns an array of
    another shape, this refuses it before the first iteration.
    """
    count, faults = spec.devices.count, spec.devices.byzantine
    if count > _TRIED_OUT:
        return
    for place in ("aggregation", "fallback"):
        pipeline: Pipeline | None = getattr(spec, place)
        if pipeline is not None:
            _try(place, pipeline, count, (1,))
    if not faults:
        return
    context = AttackContext(Streams(spec.seed), 0, np.arange(faults), count, faults)
    attack = spec.attack
    if isinstance(attack, OmniscientAttack):
        _try("attack", lambda honest: attack.craft(honest, context), count - faults, (faults, 1))
    if isinstance(attack, LocalAttack):
        _try("attack", lambda coded: attack.corrupt(coded, context), faults, (faults, 1))


def _try(place: str, call: Callable[[Array], Array], rows: int, shape: tuple[int, ...]) -> None:
    messages = np.zeros((rows, 1))
    try:
        found = np.shape(call(messages))
    except ParameterError as error:
        raise located(error, place) from error
    except Exception as error:
        raise SpecError(
            f"{place}.kind",
            f"fails on messages of shape {messages.shape}: {type(error).__name__}: {error}",
        ) from error
    # NumPy would silently broadcast an array that is too small.
    if found != shape:
        raise SpecError(
            f"{place}.kind",
            f"returns an array of shape {found} for messages of shape {messages.shape}; "
            f"expected {shape}",
        )
