"""Schedules at their edges: the first and the last iteration, and the end of the warm-up."""

import math
from dataclasses import replace

import pytest

from lad_mpi.errors import ParameterError
from lad_mpi.optimizers import Constant, Cosine, Inverse, Step


def factors(schedule, iterations):
    return [schedule.factor(t, iterations) for t in range(iterations)]


SCHEDULES = [Constant(), Step(3), Cosine(), Cosine(0.1), Inverse(4.0), Inverse(4.0, 0.5)]


def test_constant():
    assert factors(Constant(), 4) == [1.0] * 4


def test_step_drops_after_every_interval():
    assert factors(Step(3, 0.5), 8) == [1.0] * 3 + [0.5] * 3 + [0.25] * 2


def test_cosine_falls_from_one_towards_its_end():
    found = factors(Cosine(), 4)
    assert found[0] == 1.0
    assert found[1:] == pytest.approx(
        [(1 + math.cos(math.pi * share)) / 2 for share in (0.25, 0.5, 0.75)], rel=1e-15
    )
    assert Cosine().factor(4, 4) == 0.0
    raised = factors(Cosine(final=0.2), 4)
    assert raised == pytest.approx([0.2 + 0.8 * height for height in found], rel=1e-15)
    assert factors(Cosine(final=1.0), 4) == [1.0] * 4


def test_inverse():
    assert factors(Inverse(2.0), 4) == pytest.approx([1, 2 / 3, 2 / 4, 2 / 5], rel=1e-15)
    assert Inverse(3.0, 0.5).factor(9, 10) == pytest.approx(0.5, rel=1e-15)
    assert Inverse(3.0, 2.0).factor(3, 10) == pytest.approx(0.25, rel=1e-15)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_warm_up_is_linear_and_the_schedule_begins_after_it(schedule):
    iterations, warmup = 20, 4
    found = factors(replace(schedule, warmup=warmup), iterations)
    assert found[:warmup] == pytest.approx([0.2, 0.4, 0.6, 0.8], rel=1e-15)
    assert found[warmup] == 1.0
    assert found[warmup:] == factors(schedule, iterations - warmup)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("warmup", [9, 10, 11, 100])
def test_a_run_may_end_in_its_warm_up(schedule, warmup):
    found = factors(replace(schedule, warmup=warmup), 10)
    assert found == pytest.approx([(t + 1) / (warmup + 1) for t in range(10)], rel=1e-15)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_no_step_grows_after_the_warm_up_or_is_negative(schedule):
    found = factors(replace(schedule, warmup=3), 30)[3:]
    assert found == sorted(found, reverse=True)
    assert min(found) >= 0.0


def test_parameters_out_of_range_are_refused():
    for make, name in (
        (lambda: Step(0), "every"),
        (lambda: Step(5, 0.0), "decay"),
        (lambda: Step(5, 1.5), "decay"),
        (lambda: Cosine(-0.1), "final"),
        (lambda: Cosine(1.1), "final"),
        (lambda: Inverse(0.0), "scale"),
        (lambda: Inverse(1.0, 0.0), "power"),
        (lambda: Constant(-1), "warmup"),
    ):
        with pytest.raises(ParameterError, match=f"^{name}: must be"):
            make()


def test_extreme_parameters_cause_no_error():
    assert Inverse(5e-324, 300.0).factor(10, 20) == 0.0
    assert Step(1, 1e-300).factor(10, 20) == 0.0
