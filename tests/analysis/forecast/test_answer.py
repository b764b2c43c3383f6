"""Ranking: a cost covers what it states, and methods are told apart seed by seed."""

import math

import numpy as np
import pytest
from scipy.stats import binom

from analysis.forecast.answer import Progress, Row, Scenario, progress_to
from analysis.forecast.model import Prediction
from analysis.methods import Method
from analysis.runs import load_collection
from analysis.statistics import CONFIDENCE, EACH_OF_TWO, Interval, estimate, least_count
from analysis.target import find_target

STUDIES = 3000
#: Normal quantile of EACH_OF_TWO, on both sides.
WIDTH = 2.2414


def progress(counts):
    found = estimate(list(map(float, counts)), EACH_OF_TWO)
    interval = Interval(found.median, found.low, found.high, found.coverage)
    reached = math.isfinite(found.median)
    return Progress(interval if reached else None, 10**9, 0.0, dict(enumerate(counts)))


def row(name, seconds, width, counts=None):
    interval = Interval(seconds, seconds / width, seconds * width, EACH_OF_TWO)
    made = None if counts is None else progress(counts)
    return Row(name, 3, 10, "a network", Prediction(interval, interval, {}, 3), made)


def test_a_product_holds_where_both_do_and_a_range_makes_it_a_range():
    one, other = Interval(2.0, 1.0, 3.0, 0.975), Interval(5.0, 4.0, 6.0, 0.98)
    assert one.times(other) == Interval(10.0, 4.0, 18.0, pytest.approx(0.955))
    assert one.times(Interval(5.0, 4.0, 6.0)).coverage is None
    assert Interval(5.0, 4.0, 6.0).times(one).coverage is None


@pytest.mark.parametrize("seeds", [2, 3, 6, 7, 12])
@pytest.mark.parametrize("scatter", [0.02, 0.5])
def test_the_time_to_a_target_covers_what_it_states(seeds, scatter):
    """Seeds are lognormal about a known median, and times of an iteration about another."""
    generator = np.random.default_rng(seeds)
    held, stated = 0, set()
    for _ in range(STUDIES):
        counts = 1000 * np.exp(scatter * generator.normal(size=seeds))
        seconds = np.exp(0.2 * generator.normal())
        spent = row("a", seconds, np.exp(0.2 * WIDTH), counts).cost_s
        stated.add(spent.coverage)
        held += spent.holds(1000.0)
    (coverage,) = stated
    if seeds < least_count(EACH_OF_TWO):
        assert coverage is None
        return
    assert coverage >= CONFIDENCE
    assert STUDIES - held <= binom.ppf(1 - 1e-9, STUDIES, 1 - coverage)


def test_methods_are_compared_seed_by_seed():
    """Seeds differ by a factor of ten, but one method is always twice as fast."""
    counts = [100, 200, 400, 700, 1000, 300, 500]
    fast = row("fast", 1.0, 1.05, counts)
    slow = row("slow", 2.0, 1.05, counts)
    alike = row("alike", 1.04, 1.05, counts)
    never = row("never", 0.1, 1.05, [*counts[:3], *[math.inf] * 4])
    scenario = Scenario(3, "a network", (fast, alike, slow, never))
    assert fast.cost_s.high > slow.cost_s.low
    assert [scenario.rank_of(one) for one in scenario.rows] == [1, 1, 3, None]
    assert scenario.best == (fast, alike)
    assert scenario.not_reached == (never,)
    # If other seeds are hard for each of them, the scatter of the seeds counts.
    assert not fast.is_surely_cheaper(row("others", 2.0, 1.05, counts[::-1]))


def test_a_seed_that_does_not_get_there_is_infinite():
    """With one of seven, the median is known and the interval has no end."""
    counts = [100, 200, 400, 700, 1000, 300, math.inf]
    cost = row("some", 1.0, 1.05, counts).cost_s
    assert (cost.value, cost.high) == (400, math.inf)
    some, all_of_them = row("some", 0.1, 1.05, counts), row("all", 1.0, 1.05, [500] * 7)
    assert not some.is_surely_cheaper(all_of_them)
    assert not row("worse", 0.1, 1.05, counts).is_surely_cheaper(some)


def test_without_a_target_iterations_are_ranked():
    rows = (row("a", 1.0, 1.1), row("b", 1.1, 1.1), row("c", 2.0, 1.1))
    scenario = Scenario(3, "a network", rows)
    assert [scenario.rank_of(one) for one in rows] == [1, 1, 3]
    assert rows[0].cost_s == rows[0].iteration.seconds


def test_seeds_count_once_and_all_of_them_have_to_reach_it(write_run, tmp_path):
    for seed in (1, 2):
        write_run(f"{seed}.h5", seed=seed)
    write_run("again.h5", seed=2)
    (method,) = load_collection([tmp_path]).methods
    assert isinstance(method, Method)
    found = progress_to(find_target("45", method.runs), method)
    assert (found.reached, found.steps) == (2, {1: 2, 2: 8})
    assert (found.iterations.low, found.iterations.value, found.iterations.high) == (2, 5, 8)
    assert found.iterations.coverage is None
    found = progress_to(find_target("7", method.runs), method)
    assert (found.iterations, found.reached, found.within) == (None, 1, 12)
