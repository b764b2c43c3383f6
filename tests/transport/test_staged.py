"""What is on a GPU crosses by way of the host, and arrives as it was."""

import numpy as np
import pytest

from lad_mpi.arrays import open_backend, to_host
from lad_mpi.transport import Layout, Loopback, StagedExchange

pytestmark = pytest.mark.usefixtures("standin_gpu")


@pytest.fixture
def staged():
    backend = open_backend("cupy", "float32")
    link, layout = Loopback(), Layout(3, 1)
    inner = link.plan(layout, 41, 24, lambda shape: backend.host_buffer(shape, np.uint8))
    return StagedExchange(inner, backend), inner


def test_all_buffers_are_on_the_gpu(staged):
    exchange, inner = staged
    for name in ("downlink", "uplink", "inbox"):
        ours, theirs = getattr(exchange, name), getattr(inner, name)
        assert not isinstance(ours, np.ndarray)
        assert isinstance(theirs, np.ndarray)
        assert ours.shape == theirs.shape


@pytest.mark.parametrize("sliced", [False, True])
def test_messages_and_model_go_through_the_host(staged, sliced):
    exchange, inner = staged
    xp = open_backend("cupy", "float32").xp
    messages = np.random.default_rng(0).integers(0, 256, (3, 41), dtype=np.uint8)
    exchange.uplink[...] = xp.asarray(messages)
    exchange.downlink[...] = xp.arange(24, dtype=np.uint8)
    exchange.broadcast()
    np.testing.assert_array_equal(inner.downlink, np.arange(24))
    if sliced:
        gather = exchange.start_gather([0, 20, 41])
        assert not gather.poll()
        gather.finish()
    else:
        exchange.gather()
    np.testing.assert_array_equal(inner.inbox, messages)
    np.testing.assert_array_equal(to_host(exchange.inbox), messages)


def test_a_rank_of_devices_receives_the_model(staged):
    _, inner = staged
    inner.inbox = None
    exchange = StagedExchange(inner, open_backend("cupy", "float32"))
    inner.downlink[...] = 7
    exchange.broadcast()
    exchange.gather()
    np.testing.assert_array_equal(to_host(exchange.downlink), 7)
    assert exchange.inbox is None
