"""From a mapping, as TOML gives it, to a checked :class:`~lad_mpi.spec.model.Spec`."""

from __future__ import annotations

import textwrap
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import tomli_w

from lad_mpi.aggregation import Pipeline
from lad_mpi.attacks import AttackContext, LocalAttack, OmniscientAttack, StatefulAttack
from lad_mpi.coding import Code, DecodingCode
from lad_mpi.columns import WorksOnColumns
from lad_mpi.compression import GpuCodec, column_codec
from lad_mpi.data import DataPlan
from lad_mpi.errors import DataError, ParameterError, SpecError, shown
from lad_mpi.metrics.names import LOSS
from lad_mpi.models import CountedModel, ModelFunctions
from lad_mpi.network import build_network, parse_network
from lad_mpi.optimizers import Updates, WarmedUp
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
    Safety,
    ServerChoice,
    Spec,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lad_mpi.arrays import Backend
    from lad_mpi.types import Array, SampleForm

_SECTIONS = {
    "devices": Devices,
    "logging": Logging,
    "safety": Safety,
    "server": ServerChoice,
    "backend": BackendChoice,
}
_COMPONENTS = ("model", "coding", "compression", "attack")
#: Up to this many devices, rules and attacks are tried out; a rule may cost its square.
_TRIED_OUT = 1000
#: Most pre-aggregations of one rule.
_MOST_PRE = 16
_SCALARS = {"name": str, "seed": int, "iterations": int, "compute": ComputeMode}


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
    _refuse_problem(mapping)
    if "overlap" in mapping:
        raise SpecError(
            "overlap",
            "is gone: the server now works on messages where they arrive",
            hint="leave it out; server.ranks shares a long gather among several servers",
        )
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
    parts["data"] = _data(mapping.get("data", {}), faults)
    parts["optimizer"] = _updates(mapping.get("optimizer", {}), faults)
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
    name : {"model", "coding", "compression", "attack"}
        Its table.

    Raises
    ------
    SpecError
        It cannot be built, for instance because its package is not installed.
    """
    return _component(mapping, name, parse_devices(mapping).num_byzantine)


def build_model(spec: Spec, form: SampleForm, backend: Backend) -> ModelFunctions:
    """Build the model of a spec for samples of one form.

    Raises
    ------
    SpecError
        A parameter does not fit the samples, or the model breaks its contract.
    DataError
        The model cannot learn from such samples.
    """
    try:
        functions = spec.model.build(form, backend)
    except ParameterError as error:
        raise located(error, "model") from error
    found = complaints_about(functions, ModelFunctions)
    if found:
        cls = type(functions)
        raise SpecError(
            "model.kind",
            f"class {cls.__module__}.{cls.__qualname__}, the functions of {spec.model.kind!r}, "
            f"{'; it '.join(found)}",
        )
    listed = [metric.name for metric in functions.metrics]
    if listed[:1] != [LOSS] or len({*listed}) != len(listed):
        raise SpecError(
            "model.kind",
            f"{spec.model.kind!r} has the metrics {', '.join(listed) or 'none'}; expected "
            f"different names, the first of them {LOSS!r}",
        )
    return functions


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


def _refuse_problem(mapping: Mapping[str, Any]) -> None:
    """Refuse the table of version 0.1 with the way to write it now."""
    if "problem" not in mapping:
        return
    old = mapping["problem"]
    table = (
        {key: value for key, value in old.items() if key != "kind"} if isinstance(old, dict) else {}
    )
    source = table.pop("data", "synthetic")
    is_file = isinstance(source, str) and "." in source
    new = {"kind": "file", "path": source} if is_file else {"kind": source}
    lines = tomli_w.dumps({"data": {**new, **table}, "model": {"kind": "linear_regression"}})
    raise SpecError(
        "problem",
        "is now two tables, [data] and [model]",
        hint="write\n" + textwrap.indent(lines.strip(), "    "),
    )


def _data(table: Mapping[str, Any], faults: int) -> DataPlan:
    table = _with_kind("data", table)
    shared = _shared(DataPlan, "source")
    plan: DataPlan = build(
        DataPlan,
        {key: value for key, value in table.items() if key in shared},
        "data",
        injected={"source": _sharing("data", table, shared, faults)},
    )
    return plan


def _updates(table: Mapping[str, Any], faults: int) -> Updates:
    table = _with_kind("optimizer", table)
    shared = _shared(Updates, "method")
    injected = {"method": _sharing("optimizer", table, shared, faults)}
    if "schedule" in table:
        schedule, place = table["schedule"], "optimizer.schedule"
        if isinstance(schedule, str):
            schedule = {"kind": schedule}
        if not isinstance(schedule, dict):
            raise SpecError(place, f"expected a name or a table, found {shown(schedule)}")
        injected["schedule"] = build_component(
            FAMILIES["schedule"], schedule, place, num_byzantine=faults
        )
    values = {key: value for key, value in table.items() if key in shared - injected.keys()}
    updates: Updates = build(Updates, values, "optimizer", injected=injected)
    return updates


def _shared(cls: type[Any], member: str) -> set[str]:
    """Return the keys that all kinds of a table have."""
    return {*field_names(cls)} - {member}


def _sharing(name: str, table: Mapping[str, Any], shared: set[str], faults: int) -> Any:
    """Build a component from a table that also has keys that all kinds have."""
    own = {key: value for key, value in table.items() if key not in shared}
    component = build_component(
        FAMILIES[name], own, name, num_byzantine=faults, shared=sorted(shared)
    )
    if taken := sorted(shared & {*field_names(type(component))}):
        raise SpecError(
            f"{name}.kind",
            f"{table['kind']!r} has a field {taken[0]!r}, which all kinds of [{name}] have",
            hint="rename the field of the class",
        )
    return component


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
    kinds |= {"data": default.data.source.kind, "optimizer": default.optimizer.method.kind}
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
    _check_transfers(spec)
    _check_servers(spec)
    _check_momentum(spec)
    _check_warmup(spec)
    _check_form(spec)
    _try_out(spec)


def _check_momentum(spec: Spec) -> None:
    if spec.devices.momentum and isinstance(spec.coding, DecodingCode) and spec.coding.varies:
        raise SpecError(
            "devices.momentum",
            f"{spec.coding.kind!r} assigns other subsets in each iteration, so the momenta of the "
            "devices are not coded alike and cannot be decoded",
            hint='set devices.momentum = 0, or optimizer.kind = "momentum" for momentum on '
            "the server",
        )


def _check_warmup(spec: Spec) -> None:
    schedule = spec.optimizer.schedule
    if isinstance(schedule, WarmedUp) and 0 < spec.iterations <= schedule.warmup:
        raise SpecError(
            "optimizer.schedule.warmup",
            f"is {schedule.warmup}, and the run has only {spec.iterations} iterations, so its step "
            "size would never be reached",
            hint="lower warmup, or raise iterations",
        )


def _check_form(spec: Spec) -> None:
    """Check what is known before the data are read."""
    try:
        form = spec.data.form(spec.model.task)
    except DataError as error:
        raise SpecError(
            "data.kind", error.message.removeprefix("[data]: "), hint=error.hint
        ) from error
    if form is None or not isinstance(spec.model, CountedModel):
        return
    try:
        dimension = spec.model.dimension_of(form)
    except DataError as error:
        raise SpecError("model.kind", error.message, hint=error.hint) from error
    check_dimension(spec, spec.coding.message_parts * dimension)


def _check_servers(spec: Spec) -> None:
    """Refuse components that several servers cannot share."""
    if spec.server.ranks == 1:
        return
    if spec.backend.kind != "numpy":
        _refuse_servers("backend.kind", spec.backend.kind, "messages on a GPU are not cut")
    if column_codec(spec.compression) is None:
        _refuse_servers(
            "compression.kind",
            spec.compression.kind,
            "its messages cannot be cut by columns",
            'use "none" or "cast", or give "qsgd" or "sign" a bucket',
        )
    if spec.coding.message_parts > 1:
        _refuse_servers("coding.kind", spec.coding.kind, "its messages are complex vectors")
    for key, component in _on_servers(spec):
        if not isinstance(component, WorksOnColumns):
            _refuse_servers(key, component.kind, "it does not declare works_on_columns")


def _on_servers(spec: Spec) -> Iterator[tuple[str, Any]]:
    """Yield the components that work on messages, by their keys."""
    for name, pipeline in (("aggregation", spec.aggregation), ("fallback", spec.fallback)):
        if pipeline is not None:
            yield f"{name}.kind", pipeline.rule
            yield from ((f"{name}.pre", stage) for stage in pipeline.pre)
    if isinstance(spec.coding, DecodingCode):
        yield "coding.kind", spec.coding
    if isinstance(spec.attack, OmniscientAttack):
        yield "attack.kind", spec.attack


def _refuse_servers(key: str, kind: str, why: str, hint: str = "") -> None:
    raise SpecError(
        "server.ranks",
        f"must be 1 with {key} = {kind!r}: {why}",
        hint=hint or "leave server.ranks out",
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

    def aggregate(crafted: Array) -> Array:
        return crafted.mean(axis=0)

    context = AttackContext(
        Streams(spec.seed),
        0,
        np.arange(faults),
        count,
        faults,
        aggregate=aggregate if spec.coding.message_parts == 1 else None,
    )
    attack = spec.attack
    if isinstance(attack, OmniscientAttack):
        _try("attack", lambda honest: attack.craft(honest, context), count - faults, (faults, 1))
    if isinstance(attack, StatefulAttack):
        _try(
            "attack",
            lambda honest: attack.advance(honest, context, attack.initial_state(honest[0])),
            count - faults,
            (faults, 1),
        )
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
