"""The cost model: intervals hold what they should, and bounds are those that are stated."""

import math

import numpy as np
import pytest
from scipy.stats import binom

from analysis.forecast.model import LEAST_SPREAD, PARTS, fit_model
from analysis.statistics import CONFIDENCE, EACH_OF_TWO
from lad_mpi.errors import UsageError
from lad_mpi.network import Network

OTHERS = [Network(1e-2, 5e6), Network(1e-3, 2e7), Network(5e-3, 1.25e6)]
STUDIES = 100


def network_s(network):
    return 5 * (network.latency_s + 8008 / network.bandwidth_bytes_per_s) + (
        network.latency_s + 160640 / network.bandwidth_bytes_per_s
    )


def test_intervals_hold_new_launches_as_often_as_they_say(make_case, slow):
    """Fitted to one emulated network, 95 % of the launches on three others should be inside."""
    generator = np.random.default_rng(11)
    held, surely = [], []
    for _ in range(STUDIES):
        model = fit_model(
            make_case(name, network=slow, noise=0.1, generator=generator) for name in "abcd"
        )
        for network in OTHERS:
            later = make_case(
                network=network, noise=0.1, generator=generator, launches=1
            ).totals_s[0]  # fmt: skip
            found = model.predict("a", 2, network)
            held.append(found.seconds.holds(later))
            surely.append(found.surer.holds(later))
    # Fewer would have a probability of 1e-4. The networks of a study share the fit, so the
    # number of studies counts.
    for inside, coverage in ((held, CONFIDENCE), (surely, EACH_OF_TWO)):
        assert np.mean(inside) >= binom.ppf(1e-4, STUDIES, coverage) / STUDIES
    assert sum(surely) >= sum(held)
    # An interval that holds everything says nothing.
    work = sum(make_case().launches[0].values())
    assert found.seconds.high - found.seconds.low < work


@pytest.mark.parametrize("network", OTHERS)
@pytest.mark.parametrize("ranks", [1, 2, 3, 5, 6, 21])
def test_other_ranks_and_networks_are_inside(make_case, slow, network, ranks):
    """The law has constants and slopes, and no noise."""
    model = fit_model([make_case(network=slow)])
    found = model.predict("rule", ranks, network)
    later = make_case(ranks=ranks, network=network)
    assert later.totals_s[0] == pytest.approx(
        network_s(network) + sum(later.launches[0].values())
    )  # fmt: skip
    assert found.seconds.holds(later.totals_s[0])
    assert list(found.parts) == list(PARTS)
    assert sum(found.parts.values()) == pytest.approx(found.seconds.value)
    assert found.parts["network"] == pytest.approx(network_s(network))
    assert found.measured_ranks == 2


def test_a_network_that_the_law_does_not_describe_is_outside(make_case, slow):
    model = fit_model([make_case(network=slow)])
    found = model.predict("rule", 2, OTHERS[0])
    later = make_case(network=OTHERS[0], overhead=1e-2)
    assert not found.seconds.holds(later.totals_s[0])


def test_the_same_ranks_and_network_give_the_measured_time(make_case, slow):
    case = make_case(network=slow)
    found = fit_model([case]).predict("rule", 2, slow)
    assert found.seconds.value == pytest.approx(case.totals_s[0])
    # With equal launches, the least spread remains.
    work = sum(case.launches[0].values())
    assert found.seconds.high < network_s(slow) + work * math.exp(5 * LEAST_SPREAD)


def test_a_real_network_is_predicted_only_where_it_was_measured(make_case, slow):
    model = fit_model([make_case()])
    assert model.predict("rule", 3, None) is None
    exact = model.predict("rule", 2, None).seconds
    assert exact.value == pytest.approx(make_case().totals_s[0])
    # On a slower network, what MPI took here is an upper bound.
    found = model.predict("rule", 2, slow)
    assert found.seconds.value < make_case(network=slow).totals_s[0] < found.seconds.high


def test_a_constant_is_at_most_the_least_time_of_its_kind(make_case, slow):
    """A cheap method with the same components narrows the interval of an expensive one."""
    costly, cheap = make_case("costly", network=slow, scale=50.0), make_case("cheap", network=slow)
    unlike = make_case("cheap", network=slow, kinds=dict.fromkeys(cheap.kinds, "another"))
    alone, together = (
        fit_model([costly, other]).predict("costly", 21, slow).seconds for other in (unlike, cheap)
    )
    assert together.high < alone.high
    assert together.low == alone.low


def test_shared_gradients_widen_the_bounds(make_case, slow):
    def width(ranks, **changes):
        model = fit_model(
            [make_case(network=slow, **changes), make_case("fast", network=slow, scale=0.1)]
        )
        found = model.predict("rule", ranks, OTHERS[0]).seconds
        return found.high - found.low

    assert width(21, shared_compute=True) > width(21)


def test_the_closest_ranks_are_the_start(make_case, slow):
    model = fit_model([make_case(ranks=ranks, network=slow) for ranks in (1, 2, 3, 5)])
    starts = {ranks: model.predict("rule", ranks, slow).measured_ranks for ranks in (1, 3, 4, 21)}
    assert starts == {1: 1, 3: 3, 4: 5, 21: 5}


def test_one_launch_of_each_method_says_nothing_about_noise(make_case):
    with pytest.raises(UsageError, match="every method was launched once"):
        fit_model([make_case(launches=1), make_case("other", launches=1)])


def test_servers_share_the_gather_and_leave_fewer_ranks_for_devices(make_case, slow):
    one, two = (
        make_case(network=slow, ranks=5),
        make_case(network=slow, ranks=5, servers=2, share=0.5),
    )
    assert (one.hosted, two.hosted) == (5, 7)
    gather_s = one.network_s(slow) - two.network_s(slow)
    assert gather_s == pytest.approx(
        slow.gather_s(one.uplink_bytes) - slow.gather_s(one.uplink_bytes / 2)
    )
