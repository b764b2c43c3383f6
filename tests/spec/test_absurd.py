"""Whatever value a key has, a spec is refused with the key, or is one that can be written out."""

import datetime as dt

import pytest

from lad_mpi.data import DataPlan
from lad_mpi.errors import LadError, SpecError
from lad_mpi.optimizers import Updates
from lad_mpi.spec import (
    FAMILIES,
    INJECTED,
    field_names,
    identify,
    load_spec,
    parse_spec,
    parse_toml_spec,
    to_toml,
)
from lad_mpi.spec.model import BackendChoice, Devices, Logging, Safety, Spec

HUGE = 16**9000
VALUES = [
    10**30, 10**18, 10**15, 2**62, 2**31 - 1, 10**9, -1, 0, HUGE, float("nan"), float("inf"), 1e308,
    5e-324, True, "", "x" * 10**6, "\x1b[31m", "a\nb", [], [10**30], [HUGE], [[[]]], {},
    {"kind": "nope"}, {"kind": HUGE}, {"kind": "x" * 10**6}, {"x" * 10**6: 1}, dt.date(2020, 1, 1),
]  # fmt: skip
SECTIONS = {
    "devices": Devices,
    "data": DataPlan,
    "optimizer": Updates,
    "logging": Logging,
    "safety": Safety,
    "backend": BackendChoice,
}


def places():
    for name in field_names(Spec):
        yield name, lambda value, name=name: {name: value}
    for section, cls in SECTIONS.items():
        for name in field_names(cls):
            yield f"{section}.{name}", lambda v, s=section, n=name: {s: {n: v}}
    for place in FAMILIES:
        for kind, cls in FAMILIES[place].table.items():
            for name in sorted(set(field_names(cls)) - {INJECTED}):
                yield (
                    f"{place}.{kind}.{name}",
                    lambda v, p=place, k=kind, n=name: _of(p, {"kind": k, n: v}),
                )
    yield "network.emulate", lambda value: {"network": {"emulate": value}}
    yield "network.latency", lambda value: {"network": {"emulate": {"latency": value}}}


def _of(place, table):
    if place == "pre":
        return {"aggregation": {"pre": [table]}}
    if place == "schedule":
        return {"optimizer": {"schedule": table}}
    return {place: table}


PLACES = dict(places())


@pytest.mark.timeout(60)
@pytest.mark.parametrize("place", PLACES)
def test_an_absurd_value_is_refused_or_can_be_written_out(place):
    for value in VALUES:
        try:
            spec = parse_spec(PLACES[place](value))
        except SpecError as error:
            assert error.key  # noqa: PT017  (most values are refused, some are not)
            assert len(str(error)) < 2000  # noqa: PT017
            continue
        written = to_toml(spec)
        assert parse_toml_spec(written) == spec
        assert identify(spec).run_id


@pytest.mark.timeout(60)
@pytest.mark.parametrize("place", [*FAMILIES])
@pytest.mark.parametrize("count", [999, 10**7, 2**31 - 1])
def test_any_number_of_devices_is_checked_at_once(place, count):
    for kind in FAMILIES[place].table:
        mapping = {"devices": {"count": count, "byzantine": (count - 1) // 2}}
        try:
            parse_spec(mapping | _of(place, {"kind": kind}))
        except LadError as error:
            assert len(str(error)) < 2000  # noqa: PT017


def test_steps_of_a_rule_are_bounded():
    with pytest.raises(SpecError, match=r"aggregation\.iterations: must be at most 1000"):
        parse_spec({"aggregation": {"kind": "centered_clipping", "iterations": 2**31}})
    with pytest.raises(SpecError, match=r"aggregation\.pre: expected at most 16 steps"):
        parse_spec({"aggregation": {"pre": ["nnm"] * 17}})


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("iterations = 1_000_000_000_000_000_000_000_000_000_000", "iterations"),
        ("[devices]\ncount = 1_000_000_000_000_000_000", "devices.count"),
        ("[data]\ndimension = 1_000_000_000_000_000", "data.dimension"),
        ("[optimizer]\nstep_size = 1e400", "optimizer.step_size"),
        ("[optimizer]\nstep_size = nan", "optimizer.step_size"),
        ("seed = true", "seed"),
        ("iterations = 2020-01-01", "iterations"),
        ('name = "a\\u001b[2J"', "name"),
    ],
)
def test_the_key_is_named(tmp_path, text, key):
    path = tmp_path / "a.toml"
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    assert caught.value.key == key
