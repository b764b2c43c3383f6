"""Waiting times on an emulated network, by a clock that moves with every sleep and reading."""

import time

import numpy as np
import pytest

from lad_mpi.network import Network
from lad_mpi.transport.emulated import EmulatedExchange, Timer
from lad_mpi.transport.loopback import LoopbackExchange

SLOW = Network(latency_s=0.5, bandwidth_bytes_per_s=1000)
N, SLOT_BYTES, DOWNLINK_BYTES = 7, 400, 80
#: α + N b / β, and three rounds of α + b / β.
GATHER_S = 0.5 + N * SLOT_BYTES / 1000
BROADCAST_S = 3 * (0.5 + DOWNLINK_BYTES / 1000)
TICK_S = 1e-5


class Clock:
    def __init__(self):
        self.now_s = 100.0
        self.slept_s = []

    def __call__(self):
        self.now_s += TICK_S
        return self.now_s

    def sleep(self, seconds):
        assert seconds > 0
        self.slept_s.append(seconds)
        self.now_s += seconds


class Real(LoopbackExchange):
    """An exchange whose collectives and slices take a given time."""

    def __init__(self, clock, takes_s):
        super().__init__(np.zeros(DOWNLINK_BYTES, np.uint8), np.zeros((N, SLOT_BYTES), np.uint8))
        self.clock = clock
        self.takes_s = takes_s
        self.done = []

    def announce(self):
        self.clock.now_s += self.takes_s
        self.done.append("announce")

    def gather(self):
        self.clock.now_s += self.takes_s
        self.done.append("gather")

    def close(self):
        self.done.append("close")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def emulate(clock):
    def make(takes_s=0.0, network=SLOW, late_s=0.0, servers=1):
        real = Real(clock, takes_s)

        def meet(place):
            real.done.append(f"meet for {place}")
            clock.now_s += late_s

        timer = Timer(clock, clock.sleep)
        return real, EmulatedExchange(
            real,
            network,
            N,
            message_bytes=SLOT_BYTES // servers,
            num_servers=servers,
            meet=meet,
            timer=timer,
        )

    return make


PLACES = {"announce": "broadcast", "gather": "gather"}
COLLECTIVES = {"announce": BROADCAST_S, "gather": GATHER_S}


@pytest.mark.parametrize("takes_s", [0.0, 0.3])
@pytest.mark.parametrize(("name", "emulated_s"), COLLECTIVES.items())
def test_a_collective_ends_when_the_emulated_network_has_finished(
    emulate, clock, name, emulated_s, takes_s
):
    real, exchange = emulate(takes_s)
    before_s = clock.now_s
    getattr(exchange, name)()
    # The time of the real collective is part of it.
    assert 0 <= clock.now_s - before_s - emulated_s < 10 * TICK_S
    assert real.done == [f"meet for the {PLACES[name]} of an iteration", name]


@pytest.mark.parametrize("name", COLLECTIVES)
def test_it_begins_when_the_last_rank_arrives(emulate, clock, name):
    _, exchange = emulate(late_s=50.0)
    before_s = clock.now_s
    getattr(exchange, name)()
    assert clock.now_s - before_s >= 50.0 + COLLECTIVES[name]


@pytest.mark.parametrize("name", COLLECTIVES)
def test_nothing_is_added_if_the_real_network_is_slower(emulate, clock, name):
    _, exchange = emulate(takes_s=9.0)
    before_s = clock.now_s
    getattr(exchange, name)()
    assert clock.now_s - before_s < 9.0 + 10 * TICK_S
    assert clock.slept_s == []


def test_a_wait_sleeps_first_and_ends_on_time(emulate, clock):
    _, exchange = emulate()
    exchange.gather()
    assert sum(clock.slept_s) == pytest.approx(GATHER_S, rel=1e-3)
    assert len(clock.slept_s) == 1


def test_several_servers_share_the_gather_and_not_the_broadcast(emulate, clock):
    _, exchange = emulate(servers=4)
    before_s = clock.now_s
    exchange.gather()
    latency_s = SLOW.latency_s
    assert clock.now_s - before_s == pytest.approx(
        latency_s + (GATHER_S - latency_s) / 4, abs=10 * TICK_S
    )
    before_s = clock.now_s
    exchange.announce()
    announced_s = clock.now_s
    exchange.spread()
    assert clock.now_s - announced_s == pytest.approx(
        SLOW.broadcast_s(DOWNLINK_BYTES - 8, N), abs=10 * TICK_S
    )
    assert announced_s - before_s == pytest.approx(SLOW.broadcast_s(8, N), abs=10 * TICK_S)


def test_buffers_are_those_of_the_real_exchange(emulate):
    real, exchange = emulate()
    assert exchange.downlink is real.downlink
    assert exchange.uplink is real.uplink
    assert exchange.inbox is real.inbox
    exchange.close()
    assert real.done == ["close"]


def test_the_timer_of_a_run_is_never_early():
    timer = Timer()
    for wait_s in (0.0, 1e-5, 1e-4, 3e-4, 2e-3):
        end_s = time.perf_counter() + wait_s
        timer.until(end_s)
        assert time.perf_counter() >= end_s
