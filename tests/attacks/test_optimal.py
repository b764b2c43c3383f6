"""Attacks that search for the factor that moves the server's estimate the most."""

import math
from dataclasses import replace

import numpy as np
import pytest

from lad_mpi.aggregation import (
    GeometricMedian,
    Krum,
    Median,
    NearestNeighbourMixing,
    Pipeline,
    TrimmedMean,
)
from lad_mpi.attacks import Alie, AttackContext, Ipm, OptimalAlie, OptimalIpm
from lad_mpi.attacks.optimal import worst_factor
from lad_mpi.errors import ParameterError
from lad_mpi.rng import Streams

H, F = 13, 4
PAIRS = [(OptimalAlie(), Alie), (OptimalIpm(), Ipm)]
RULES = [
    TrimmedMean(num_byzantine=F),
    Median(num_byzantine=F),
    Krum(num_byzantine=F),
    GeometricMedian(num_byzantine=F),
    Pipeline((NearestNeighbourMixing(num_byzantine=F),), TrimmedMean(num_byzantine=F)),
]


def honest_vectors(seed=0, mean=1.0):
    return np.random.default_rng(seed).normal(mean, 1.0, size=(H, 20))


def knowing(rule, honest):
    def aggregate(sent):
        calls.append(sent.copy())
        return rule(np.concatenate([honest, sent]))

    calls = []
    devices = np.arange(F)
    return AttackContext(Streams(2), 3, devices, H + F, F, aggregate=aggregate), calls


def distance(rule, honest, sent):
    return float(np.linalg.norm(rule(np.concatenate([honest, sent])) - honest.mean(axis=0)))


def textbook_search(distance, first, evaluations):
    """The line search as ByzFL's documentation has it, in one direction."""
    best, largest = 0.0, distance(0.0)
    left, step = evaluations - 1, first
    while left > 0:
        left -= 1
        found = distance(best + step)
        if found > largest:
            best, largest = best + step, found
            step = 2 * step
        else:
            step = 0.8 * step
            break
    while left > 0:
        left -= 1
        found = distance(best + step)
        if found > largest:
            best, largest = best + step, found
        step = 0.8 * step
    return best


@pytest.mark.parametrize("peak", [0.0, 0.3, 7.0, 25.0, 1234.5, -0.3, -7.0, -25.0, -1234.5])
@pytest.mark.parametrize("evaluations", [1, 2, 5, 20, 60])
def test_the_search_is_the_textbook_one_towards_the_peak(peak, evaluations):
    def height(factor):
        return -abs(factor - peak)

    expected = textbook_search(height, math.copysign(10.0, peak), evaluations)
    assert worst_factor(height, evaluations) == expected


def test_the_better_direction_wins_and_a_positive_factor_if_both_are_as_bad():
    assert worst_factor(lambda x: min(abs(x), 50.0) - (x > 0), 20) < 0
    assert worst_factor(lambda x: min(abs(x), 50.0) - (x < 0), 20) > 0
    assert worst_factor(lambda x: min(abs(x), 50.0), 20) > 0


def test_a_distance_that_is_not_a_number_is_never_the_worst():
    assert worst_factor(lambda x: x if x <= 10.0 else math.nan, 20) == 10.0


@pytest.mark.parametrize(("attack", "plain"), PAIRS)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("mean", [0.1, 3.0])
def test_what_is_sent_is_the_worst_of_all_that_was_tried(attack, plain, rule, mean):
    honest = honest_vectors(mean=mean)
    context, calls = knowing(rule, honest)
    sent = attack.craft(honest, context)
    assert len(calls) == 2 * attack.evaluations - 1
    worst = max(distance(rule, honest, tried) for tried in calls)
    assert distance(rule, honest, sent) == worst
    # It is the plain attack with one of the factors.
    origin = plain(0.0).craft(honest, context)[0]
    unit = plain(1.0).craft(honest, context)[0] - origin
    factor = float((sent[0] - origin) @ unit / (unit @ unit))
    np.testing.assert_allclose(
        sent, plain(factor).craft(honest, context), rtol=1e-9, atol=1e-9 * abs(sent).max()
    )


@pytest.mark.parametrize(("attack", "plain"), PAIRS)
@pytest.mark.parametrize("rule", RULES)
def test_it_is_worse_than_the_plain_attack(attack, plain, rule):
    honest = honest_vectors(seed=5)
    context, _ = knowing(rule, honest)
    found = distance(rule, honest, attack.craft(honest, context))
    for factor in (0.0, 10.0, -10.0):
        sent = plain(factor).craft(honest, context)
        assert found >= distance(rule, honest, sent) * (1 - 1e-12)


@pytest.mark.parametrize("attack", [OptimalAlie(), OptimalIpm()])
def test_both_signs_are_tried(attack):
    honest = honest_vectors(seed=1)
    for sign in (1.0, -1.0):

        def one_sided(rows, sign=sign):
            """Follow the rows behind the honest ones on one side of the mean only."""
            moved = rows[-1] - rows[:H].mean(axis=0)
            return rows[0] * 0.0 + np.maximum(sign * moved.sum(), 0.0)

        context, calls = knowing(one_sided, honest)
        sent = attack.craft(honest, context)
        assert sign * (sent[0] - honest.mean(axis=0)).sum() > 0.0
        sums = [float(tried[0].sum() - honest.mean(axis=0).sum()) for tried in calls]
        assert min(sums) < 0.0 < max(sums)


@pytest.mark.parametrize("attack", [OptimalAlie(), OptimalIpm()])
def test_without_the_rule_they_say_what_they_need(attack):
    context, _ = knowing(RULES[0], honest_vectors())
    with pytest.raises(ParameterError, match="kind: needs the server") as caught:
        attack.craft(honest_vectors(), replace(context, aggregate=None))
    assert "AttackContext(" in caught.value.hint


@pytest.mark.parametrize("attack", [OptimalAlie, OptimalIpm])
def test_evaluations_are_counted_from_one(attack):
    with pytest.raises(ParameterError, match="evaluations: must be at least 1"):
        attack(0)
    honest = honest_vectors()
    context, calls = knowing(RULES[0], honest)
    attack(1).craft(honest, context)
    assert len(calls) == 1
