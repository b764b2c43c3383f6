"""A time to a target covers what it states, or states nothing."""

import numpy as np
import pytest
from scipy.stats import binom

from analysis.forecast.answer import progress_to
from analysis.statistics import CONFIDENCE, EACH_OF_TWO, Interval, least_count
from analysis.target import find_target
from lad_mpi.logs import read_log

STUDIES = 3000
#: Normal quantile of EACH_OF_TWO, on both sides.
WIDTH = 2.2414


def test_a_product_holds_where_both_do_and_a_range_makes_it_a_range():
    one, other = Interval(2.0, 1.0, 3.0, 0.975), Interval(5.0, 4.0, 6.0, 0.98)
    assert one.times(other) == Interval(10.0, 4.0, 18.0, pytest.approx(0.955))
    assert one.times(Interval(5.0, 4.0, 6.0)).coverage is None
    assert Interval(5.0, 4.0, 6.0).times(one).coverage is None


@pytest.fixture
def seeds_of(write_run, monkeypatch):
    """Have runs that reach a target after given numbers of iterations."""
    run = read_log(write_run("run.h5"))

    class Seed:
        def __init__(self, seed, count):
            self.spec, self.count, self.recorded = {"seed": seed}, count, 10**9

    monkeypatch.setattr("analysis.forecast.answer.first_step", lambda run, *_: run.count)
    monkeypatch.setattr("analysis.forecast.answer.best_value", lambda *_: 0.0)
    target = find_target("1", [run])
    return lambda counts: (target, [Seed(number, count) for number, count in enumerate(counts)])


@pytest.mark.parametrize("seeds", [2, 3, 5, 6, 7, 8, 12, 20])
@pytest.mark.parametrize("scatter", [0.02, 0.5])
def test_the_time_to_a_target_covers_what_it_states(seeds_of, seeds, scatter):
    """Seeds are lognormal about a known median, and times of an iteration about another."""
    generator = np.random.default_rng(seeds)
    held, stated = 0, set()
    for _ in range(STUDIES):
        counts = 1000 * np.exp(scatter * generator.normal(size=seeds))
        found = progress_to(*seeds_of(counts))
        seconds = np.exp(0.2 * generator.normal())
        width = np.exp(0.2 * WIDTH)
        surer = Interval(seconds, seconds / width, seconds * width, EACH_OF_TWO)
        spent = found.iterations.times(surer)
        stated.add(spent.coverage)
        held += spent.holds(1000.0)
    (coverage,) = stated
    if seeds < least_count(EACH_OF_TWO):
        assert coverage is None
        return
    assert coverage >= CONFIDENCE
    assert STUDIES - held <= binom.ppf(1 - 1e-9, STUDIES, 1 - coverage)
