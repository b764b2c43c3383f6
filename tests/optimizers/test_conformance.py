"""The laws of optimizers over all of the suite's own."""

import dataclasses

import pytest

from lad_mpi import conformance
from lad_mpi.optimizers import OPTIMIZERS, SCHEDULES, Adam, GradientDescent, Momentum, Schedule

TestGradientDescent = conformance.optimizer(GradientDescent)
TestMomentum = conformance.optimizer(Momentum)
TestNesterov = conformance.optimizer(Momentum, make=lambda: Momentum(nesterov=True))
TestAdam = conformance.optimizer(Adam)


def test_every_optimizer_is_put_to_the_test():
    tested = {value.subject for value in globals().values() if hasattr(value, "subject")}
    assert tested == set(OPTIMIZERS.values())


@pytest.mark.parametrize("table", [OPTIMIZERS, SCHEDULES])
def test_a_table_has_each_class_under_its_kind(table):
    assert {kind: cls.kind for kind, cls in table.items()} == {kind: kind for kind in table}


def test_every_schedule_keeps_its_protocol():
    schedules = [SCHEDULES["constant"](), SCHEDULES["cosine"]()]
    schedules += [SCHEDULES["step"](every=5), SCHEDULES["inverse"](scale=5.0)]
    assert {type(schedule) for schedule in schedules} == set(SCHEDULES.values())
    for schedule in schedules:
        assert isinstance(schedule, Schedule)
        assert not hasattr(schedule, "__dict__")
        assert hash(schedule) == hash(dataclasses.replace(schedule))
