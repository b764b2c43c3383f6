"""Every attack that ByzFL has too gives what it gives, at its parameters."""

from __future__ import annotations

import dataclasses
import inspect
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lad_mpi.aggregation import Krum, Mean, Median, NearestNeighbourMixing, Pipeline, TrimmedMean
from lad_mpi.attacks import (
    Alie,
    AttackContext,
    Gaussian,
    Inf,
    Ipm,
    LocalAttack,
    MimicFixed,
    OptimalAlie,
    OptimalIpm,
)
from lad_mpi.rng import Streams

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import SimpleNamespace

pytestmark = pytest.mark.peers

NUM_HONEST, NUM_BYZANTINE = 13, 4


def as_byzfl_shifts(tau: float) -> Alie:
    """ByzFL adds τ deviations with divisor H − 1; ours are subtracted, with divisor H."""
    return Alie(z=-tau * math.sqrt(NUM_HONEST / (NUM_HONEST - 1)))


#: Ours and ByzFL's, by ByzFL's name.
PAIRS: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "SignFlipping": (Ipm(tau=1.0), lambda byzfl: byzfl.SignFlipping()),
    "InnerProductManipulation": (Ipm(tau=0.7), lambda byzfl: byzfl.InnerProductManipulation(0.7)),
    "ALittleIsEnough": (as_byzfl_shifts(1.5), lambda byzfl: byzfl.ALittleIsEnough(1.5)),
    "Mimic": (MimicFixed(device=5), lambda byzfl: byzfl.Mimic(5)),
    "Inf": (Inf(), lambda byzfl: byzfl.Inf()),
}
#: Compared below: random numbers have a distribution in common, not values, and two attacks
#: search for a factor against a rule.
APART = {"Gaussian", "Optimal_InnerProductManipulation", "Optimal_ALittleIsEnough"}
#: It averages gradients that ByzFL's trainer computes on flipped labels.
NOT_COMPARED = {"LabelFlipping"}
#: Rules to search against, by name: ours, and ByzFL's with its pre-aggregations.
RULES: dict[str, tuple[Any, Callable[[Any], tuple[Any, list[Any]]]]] = {
    "mean": (Mean(NUM_BYZANTINE), lambda byzfl: (byzfl.Average(), [])),
    "trimmed_mean": (
        TrimmedMean(NUM_BYZANTINE),
        lambda byzfl: (byzfl.TrMean(NUM_BYZANTINE), []),
    ),
    "median": (Median(NUM_BYZANTINE), lambda byzfl: (byzfl.Median(), [])),
    "krum": (
        Krum(NUM_BYZANTINE, "n-f-1"),
        lambda byzfl: (byzfl.Krum(NUM_BYZANTINE), []),
    ),
    "nnm, trimmed_mean": (
        Pipeline((NearestNeighbourMixing(NUM_BYZANTINE),), TrimmedMean(NUM_BYZANTINE)),
        lambda byzfl: (byzfl.TrMean(NUM_BYZANTINE), [byzfl.NNM(NUM_BYZANTINE)]),
    ),
}


def context() -> AttackContext:
    devices = np.arange(NUM_BYZANTINE, dtype=np.int64)
    return AttackContext(Streams(6), 4, devices, NUM_HONEST + NUM_BYZANTINE, NUM_BYZANTINE)


def sent(attack: Any, honest: np.ndarray) -> np.ndarray:
    if isinstance(attack, LocalAttack):
        return attack.corrupt(honest[:NUM_BYZANTINE], context())
    return attack.craft(honest, context())


def test_nothing_of_byzfl_is_left_out(byzfl: SimpleNamespace) -> None:
    theirs = {
        name
        for name, value in vars(byzfl).items()
        if inspect.isclass(value) and value.__module__ == "byzfl.attacks.attacks"
    }
    assert theirs == {*PAIRS, *APART, *NOT_COMPARED}


@pytest.mark.parametrize("columns", [1, 7, 60_000])
@pytest.mark.parametrize("mean", [0.0, 30.0])
@pytest.mark.parametrize("name", PAIRS)
def test_equal(
    name: str, mean: float, columns: int, byzfl: SimpleNamespace, assert_equal: Any
) -> None:
    ours, theirs = PAIRS[name]
    honest = np.random.default_rng(2).normal(mean, 2.0, size=(NUM_HONEST, columns))
    expected = np.tile(theirs(byzfl)(honest), (NUM_BYZANTINE, 1))
    found = sent(ours, honest)
    if name == "Inf":
        assert np.array_equal(found, expected)
    else:
        assert_equal(found, expected)


def test_gaussian_numbers_have_the_same_distribution(byzfl: SimpleNamespace) -> None:
    """By quantiles, and against the law itself: a wrong deviation of 2 % would show."""
    honest = np.zeros((NUM_HONEST, 200_000))
    np.random.seed(9)  # noqa: NPY002  (ByzFL draws from the global generator)
    theirs = byzfl.Gaussian(mu=0.0, sigma=3.0)(honest)
    ours = sent(Gaussian(standard_deviation=3.0), honest)
    levels = np.linspace(0.02, 0.98, 25)
    for row in ours:
        away = np.abs(np.quantile(row, levels) - np.quantile(theirs, levels))
        assert away.max() < 0.06
    assert np.abs(np.corrcoef([*ours, theirs]) - np.eye(NUM_BYZANTINE + 1)).max() < 0.01


def both_searches(search: Any, rule: tuple[Any, list[Any]], honest: np.ndarray) -> np.ndarray:
    """Search with ByzFL in both directions from 0, and return the worse result.

    For ALIE, ours subtracts standard deviations with divisor H. ByzFL's first step is therefore
    negative, and smaller.
    """
    aggregator, before = rule
    first = 10.0
    if search.__name__ == "Optimal_ALittleIsEnough":
        first *= -math.sqrt((NUM_HONEST - 1) / NUM_HONEST)

    def distance(sent: np.ndarray) -> float:
        vectors = np.concatenate([honest, [sent] * NUM_BYZANTINE])
        for stage in before:
            vectors = stage(vectors)
        return float(np.linalg.norm(aggregator(vectors) - honest.mean(axis=0)))

    forward, backward = (
        search(aggregator, pre_agg_list=before, f=NUM_BYZANTINE, delta=delta)(honest)
        for delta in (first, -first)
    )
    # For the mean both directions are equally bad, up to rounding.
    return backward if distance(backward) > distance(forward) * (1 + 1e-9) else forward


@pytest.mark.parametrize("columns", [1, 7, 300])
@pytest.mark.parametrize("mean", [0.3, 3.0])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("attack", "name"),
    [
        (OptimalIpm(), "Optimal_InnerProductManipulation"),
        (OptimalAlie(), "Optimal_ALittleIsEnough"),
    ],
)
def test_the_worst_factor_is_the_same(
    attack: Any,
    name: str,
    rule: str,
    *,
    mean: float,
    columns: int,
    byzfl: SimpleNamespace,
    assert_equal: Any,
) -> None:
    ours, theirs = RULES[rule]
    honest = np.random.default_rng(2).normal(mean, 2.0, size=(NUM_HONEST, columns))

    def aggregate(sent: np.ndarray) -> np.ndarray:
        return np.asarray(ours(np.concatenate([honest, sent])))

    found = attack.craft(honest, dataclasses.replace(context(), aggregate=aggregate))
    expected = both_searches(getattr(byzfl, name), theirs(byzfl), honest)
    assert_equal(found, np.tile(expected, (NUM_BYZANTINE, 1)))
