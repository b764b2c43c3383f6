"""Parse and format networks, and compute the times of messages."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lad_mpi.errors import ParameterError
from lad_mpi.network import Network, build_network, parse_network

READ = {
    "latency=2us,bandwidth=25GB/s": Network(2e-6, 25e9),
    " bandwidth = 25 GB/s , latency = 2 us ": Network(2e-6, 25e9),
    "latency=0.05ms": Network(50e-6),
    "latency=1.5e-7s": Network(150e-9),
    "latency=50\u00b5s": Network(50e-6),
    "latency=50\u03bcs": Network(50e-6),
    "latency=0s": Network(),
    "bandwidth=1Gbit/s": Network(0.0, 125e6),
    "bandwidth=100kB/s": Network(0.0, 1e5),
    "bandwidth=3MiB/s": Network(0.0, 3 * 2.0**20),
    "bandwidth=8bit/s": Network(0.0, 1.0),
}


@pytest.mark.parametrize(("text", "expected"), READ.items(), ids=READ)
def test_a_line_says_what_the_network_is(text, expected):
    assert parse_network(text) == expected


REFUSED = {
    "nothing": ("", "expected latency=…,bandwidth=…"),
    "no key": ("50us", "expected latency=…,bandwidth=…"),
    "twice": ("latency=1us,latency=2us", "each once"),
    "unknown key": ("bandwith=1GB/s", "did you mean 'bandwidth'?"),
    "no unit": ("latency=50", "such as '50us'"),
    "unknown unit": ("latency=5usec", "did you mean 5us?"),
    "bits or bytes": ("bandwidth=1Gb/s", "did you mean 1Gbit/s?"),
    "unit of the other": ("latency=1GB/s", "such as '50us'"),
    "negative": ("latency=-1us", "such as '50us'"),
    "not a number": ("bandwidth=nanGB/s", "such as '1GB/s'"),
    "no bandwidth": ("bandwidth=0B/s", "must be above 0"),
    "too large": ("latency=1e400s", "too large"),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_an_invalid_network_is_refused_with_the_expected_format(text, message):
    with pytest.raises(ParameterError) as caught:
        parse_network(text)
    assert message in str(caught.value)


@pytest.mark.parametrize("value", [5, 5e-5, True, None, ["1us"]])
def test_a_number_without_a_unit_is_refused_whatever_its_type(value):
    with pytest.raises(ParameterError, match="a number with its unit"):
        build_network({"latency": value})


@example(latency_s=999999.9999999999, bandwidth_bytes_per_s=1.0)
@given(
    st.floats(0, 1e6, allow_subnormal=False),
    st.floats(1e-300, math.inf, allow_subnormal=False, exclude_min=True),
)
def test_what_is_written_is_read_to_the_last_bit(latency_s, bandwidth_bytes_per_s):
    network = Network(latency_s, bandwidth_bytes_per_s)
    assert build_network(network.to_texts()) == network
    assert parse_network(str(network)) == network


def test_networks_are_written_as_people_write_them():
    assert str(Network(50e-6, 1e9)) == "latency=50us,bandwidth=1GB/s"
    assert str(Network(0.0, 125e6)) == "bandwidth=125MB/s"
    assert str(Network()) == "latency=0s"


def test_messages_share_the_link_of_the_server_and_their_latencies_pass_at_once():
    network = Network(1e-3, 1e6)
    assert network.gather_s(0) == 1e-3
    assert network.gather_s(100 * 5000) == pytest.approx(1e-3 + 0.5)


@pytest.mark.parametrize(
    ("devices", "rounds"), [(1, 1), (2, 2), (3, 2), (4, 3), (7, 3), (8, 4), (100, 7)]
)
def test_a_broadcast_doubles_its_receivers_in_every_round(devices, rounds):
    assert rounds == math.ceil(math.log2(devices + 1))
    assert Network(1e-3, 1e6).broadcast_s(2000, devices) == pytest.approx(rounds * 3e-3)


def test_without_limits_nothing_takes_time():
    assert Network().gather_s(1e12) == 0
    assert Network().broadcast_s(1e12, 100) == 0


@pytest.mark.parametrize(
    ("latency_s", "bandwidth"), [(-1, 1), (math.inf, 1), (math.nan, 1), (0, 0), (0, math.nan)]
)
def test_numbers_that_no_network_has_are_refused(latency_s, bandwidth):
    with pytest.raises(ParameterError):
        Network(latency_s, bandwidth)
