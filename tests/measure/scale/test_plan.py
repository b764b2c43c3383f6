"""Cases of a scaling study, and how specs grow."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lad_mpi.errors import SpecError, UsageError
from lad_mpi.measure.scale import parse_axis, plan_scaling, planned_launches
from lad_mpi.measure.scale.plan import GROWTHS, grow
from lad_mpi.spec import identify, parse_spec, to_mapping
from lad_mpi.types import device_ranks

SPEC = parse_spec(
    {
        "name": "tiny",
        "data": {"kind": "synthetic", "dimension": 6},
        "devices": {"count": 12, "byzantine": 2},
        "coding": {"kind": "cyclic", "load": 3},
    }
)


def work_a_rank(spec, ranks):
    """Multiplications of the fullest rank's gradients, d m Q a device."""
    hosted = -(-spec.devices.count // device_ranks(ranks))
    data = spec.data.source
    return hosted * spec.coding.load * data.samples_per_subset * data.dimension


def test_strong_scaling_is_one_spec_on_all_ranks():
    plan = plan_scaling("strong", SPEC, [5, 2, 3, 2])
    assert [case.ranks for case, _ in plan.cases] == [2, 3, 5]
    assert {spec for _, spec in plan.cases} == {SPEC}
    assert len({(case.spec, case.reference, case.identity) for case, _ in plan.cases}) == 1
    assert plan.base.name == "p2"
    assert "nothing grows" in plan.growth_rule


@pytest.mark.parametrize("rule", sorted(GROWTHS))
def test_weak_scaling_keeps_the_work_of_a_device_rank(rule):
    plan = plan_scaling("weak", SPEC, [2, 3, 4], growth=rule)
    work = {work_a_rank(spec, case.ranks) for case, spec in plan.cases}
    assert work == {work_a_rank(SPEC, 2)}
    assert [case.growth for case, _ in plan.cases] == [1, 2, 3]
    assert rule in plan.growth_rule
    # The log says it too, by the name of the run.
    assert [spec.name for _, spec in plan.cases][1:] == [f"tiny ({rule} × 2)", f"tiny ({rule} × 3)"]


def test_devices_grow_with_their_byzantine_share():
    grown = parse_spec(grow(to_mapping(SPEC), "devices", Fraction(3)))
    assert (grown.devices.count, grown.devices.byzantine) == (36, 6)
    assert grown.aggregation.rule.num_byzantine == 6


@given(st.sampled_from(sorted(GROWTHS)), st.integers(1, 5))
def test_growing_by_one_changes_nothing_and_steps_add_up(rule, factor):
    mapping = to_mapping(SPEC)
    assert grow(mapping, rule, Fraction(1)) == mapping
    twice = grow(grow(mapping, rule, Fraction(factor)), rule, Fraction(2))
    assert twice == grow(mapping, rule, Fraction(2 * factor))
    assert mapping == to_mapping(SPEC)


def test_what_cannot_grow_is_named():
    with pytest.raises(SpecError, match=r"data.samples_per_subset: 1 times 3/2 is not a whole"):
        plan_scaling("weak", SPEC, [3, 4])
    diabetes = parse_spec({"data": {"kind": "diabetes"}})
    with pytest.raises(SpecError, match=r"data.samples_per_subset: is not set"):
        plan_scaling("weak", diabetes, [2, 3])
    with pytest.raises(UsageError, match="belongs to weak scaling"):
        plan_scaling("strong", SPEC, [2], growth="devices")


@pytest.mark.parametrize("ranks", [[], [0], [2, -1]])
def test_ranks_are_numbers_from_one_on(ranks):
    with pytest.raises(UsageError, match="--ranks"):
        plan_scaling("strong", SPEC, ranks)


def test_more_ranks_than_work_are_refused_before_anything_runs():
    with pytest.raises(UsageError, match="would have nothing to do"):
        plan_scaling("strong", SPEC, [2, 14])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("load=1,3", ("coding.load", [1, 3])),
        ("coding.load=1", ("coding.load", [1])),
        ("seed=1,2", ("seed", [1, 2])),
        ("compute=faithful,shared", ("compute", ["faithful", "shared"])),
        ("step_size=1e-3, 1e-4", ("optimizer.step_size", [1e-3, 1e-4])),
    ],
)
def test_an_axis_is_any_key_of_the_spec(text, expected):
    assert parse_axis(text, SPEC) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [("load", "expected KEY=A,B"), ("lode=1", "no table of the spec has it"),
     ("kind=a", "in several tables: data.kind")],
)  # fmt: skip
def test_an_axis_that_is_none_is_refused(text, message):
    with pytest.raises(UsageError, match=message):
        parse_axis(text, SPEC)


def test_axes_multiply_and_each_point_has_its_own_reference():
    plan = plan_scaling("strong", SPEC, [2, 3], over={"coding.load": [1, 3], "seed": [1, 2]})
    names = [case.name for case, _ in plan.cases]
    assert len(set(names)) == 8
    assert names[0] == "p2-load=1-seed=1"
    assert len({case.reference for case, _ in plan.cases}) == 4
    for case, spec in plan.cases:
        assert (spec.coding.load, spec.seed) == (case.over["coding.load"], case.over["seed"])
        assert case.identity == identify(spec).digest


def test_equal_points_are_refused():
    with pytest.raises(UsageError, match="two cases are the same"):
        plan_scaling("strong", SPEC, [2], over={"coding.load": [1, 1]})


def test_every_round_has_every_case_once_in_an_order_of_its_own():
    cases = [case for case, _ in plan_scaling("strong", SPEC, [2, 3, 4, 5, 6]).cases]
    ordered = planned_launches(cases, 6, seed=1)
    assert [planned.position for planned in ordered] == list(range(1, 31))
    rounds = [ordered[i : i + 5] for i in range(0, 30, 5)]
    for number, launched in enumerate(rounds, start=1):
        assert {planned.number for planned in launched} == {number}
        assert {planned.case.name for planned in launched} == {case.name for case in cases}
    assert len({tuple(p.case.name for p in launched) for launched in rounds}) > 1
    assert len({planned.log for planned in ordered}) == 30


def test_the_order_depends_on_the_seed_and_more_rounds_leave_the_first_as_they_were():
    cases = [case for case, _ in plan_scaling("strong", SPEC, [2, 3, 4, 5, 6]).cases]
    few, many = planned_launches(cases, 2, 1), planned_launches(cases, 5, 1)
    assert many[: len(few)] == few
    assert planned_launches(cases, 5, 1) == many
    assert planned_launches(cases, 5, 2) != many
    # What is given in another order is launched in the same.
    assert planned_launches(cases[::-1], 5, 1) == many
