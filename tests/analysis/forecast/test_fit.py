"""The cost model: a law that is known is found, and intervals hold what they should."""

import numpy as np
import pytest
from scipy.stats import binom

from analysis.forecast import Measured, fit_model, leave_out_largest
from analysis.forecast.fit import LEAST_ERROR
from analysis.forecast.workload import TERMS
from analysis.statistics import CONFIDENCE, EACH_OF_TWO
from lad_mpi.network import Network


def measured(cases):
    return Measured(tuple(cases), {}, (), ())


def test_a_law_without_noise_is_found(make_cases, workload, law, law_seconds):
    model = fit_model(make_cases(np.random.default_rng(0)))
    assert model.error == LEAST_ERROR
    for (term, _), fit in model.fits.items():
        expected = np.array(law[term])[list(fit.kept)]
        assert fit.coefficients == pytest.approx(expected, rel=1e-6, abs=1e-12), term
    far = workload(1 + 20, load=20, dimension=10**6)
    predicted = model.predict(far)
    assert predicted.parts == pytest.approx(law_seconds(far), rel=1e-6)
    assert predicted.seconds.holds(sum(law_seconds(far).values()))


def test_the_same_cases_give_the_same_bits(make_cases, workload):
    found = [
        fit_model(make_cases(np.random.default_rng(3), launch_noise=0.2)).predict(workload(9))
        for _ in range(2)
    ]
    assert found[0] == found[1]


def test_what_was_not_varied_is_in_proportion(make_cases, workload):
    cases = make_cases(np.random.default_rng(0), ranks=(2,), dimensions=(1000,), loads=range(1, 7))
    model = fit_model(cases)
    group = cases[0].workload.group("aggregate")
    assert model.fits["aggregate", group].proportional
    small, large = (model.predict(workload(2, 1, q)).parts["aggregate"] for q in (1000, 10_000))
    assert large == pytest.approx(10 * small)
    # It grows as the law has it where it was varied.
    assert not model.fits["compute", cases[0].workload.group("compute")].proportional


def test_intervals_hold_as_often_as_they_say(make_cases, workload, law_seconds):
    """Of cases that were not measured, with noise of cases and of launches, 95 % should be in."""
    generator = np.random.default_rng(11)
    unseen = [workload(4, 7, 5000), workload(9, 10, 20_000)]
    held, surely = [], []
    for _ in range(40):
        cases = make_cases(
            generator, ranks=(2, 3), loads=(1, 5, 10), launches=3, case_noise=0.1,
            launch_noise=0.05,
        )  # fmt: skip
        model = fit_model(cases)
        for case in unseen:
            true = sum(law_seconds(case).values()) * np.exp(0.1 * generator.normal())
            predicted = model.predict(case)
            held.append(predicted.seconds.holds(true))
            surely.append(predicted.surer.holds(true))
    # Fewer would have a probability of 1e-4, at 95 % and at 97.5 %.
    for found, coverage in ((held, CONFIDENCE), (surely, EACH_OF_TWO)):
        assert sum(found) >= binom.ppf(1e-4, len(found), coverage)
    assert sum(surely) >= sum(held)
    # An interval that holds everything says nothing.
    width = model.predict(unseen[0]).seconds
    assert width.high < 2 * width.low


def test_the_largest_case_is_the_one_of_most_ranks_then_load_then_dimension(make_cases):
    cases = make_cases(np.random.default_rng(0))
    largest = measured(cases[::-1]).largest.workload
    assert (largest.ranks, largest.load, largest.dimension) == (5, 10, 10_000)


def test_the_largest_case_is_predicted_where_the_law_holds(make_cases):
    cases = make_cases(np.random.default_rng(5), case_noise=0.05, launch_noise=0.05)
    check = leave_out_largest(measured(cases))
    assert check.case is cases[-1]
    assert check.passed


def test_and_not_where_another_holds(make_cases, law_seconds):
    def lost_cache(sizes):
        slow = 8 if sizes.load == 10 and sizes.dimension == 10_000 and sizes.ranks == 5 else 1
        return {term: slow * spent for term, spent in law_seconds(sizes).items()}

    cases = make_cases(np.random.default_rng(5), seconds=lost_cache, case_noise=0.05)
    assert not leave_out_largest(measured(cases)).passed


def test_a_network_takes_the_place_of_the_measured_communication(make_cases, workload):
    model = fit_model(make_cases(np.random.default_rng(0)))
    sizes, network = workload(17), Network(1e-3, 1e6)
    with_it, without = model.predict(sizes, network), model.predict(sizes)
    # Five steps of the tree over 17, and 20 messages of 32 + 8000 bytes on one link.
    expected = 5 * (1e-3 + 8008e-6) + 1e-3 + 20 * 8032e-6
    assert with_it.parts["communication"] == pytest.approx(expected)
    others = [term for term in TERMS if term != "communication"]
    assert all(with_it.parts[term] == without.parts[term] for term in others)
    assert with_it.seconds.low <= with_it.seconds.value <= with_it.seconds.high
    assert model.predict(workload(1), network).parts["communication"] == 0
