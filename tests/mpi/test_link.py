"""The MPI link does what the loopback promises, on real ranks."""

import numpy as np
import pytest
from mpi4py import MPI

from lad_mpi.errors import AgreedError, UsageError
from lad_mpi.transport import Layout, open_link, together

pytestmark = [pytest.mark.mpi(min_size=2), pytest.mark.timeout(60)]


@pytest.fixture
def link(world):
    return open_link()


def zeros(shape):
    return np.zeros(shape, dtype=np.uint8)


def test_the_link_is_this_rank_of_the_world(link, world):
    assert (link.rank, link.size) == (world.rank, world.size)
    assert link.is_server == (world.rank == 0)
    assert link.hosts_devices == (world.rank > 0)
    assert "MPI" in link.library.upper()


@pytest.mark.parametrize("slot_bytes", [1, 33, 4096])
@pytest.mark.parametrize("num_devices", [4, 7, 20])
def test_gather_puts_every_devices_slot_in_its_place(link, slot_bytes, num_devices):
    layout = Layout(num_devices, link.size)
    exchange = link.plan(layout, slot_bytes, 8, zeros)
    first, count = layout.block(link.rank)
    for repeat in range(3):
        exchange.uplink[:] = (np.arange(first, first + count) + repeat)[:, None]
        exchange.gather()
        if link.is_server:
            expected = np.repeat((np.arange(num_devices) + repeat)[:, None], slot_bytes, axis=1)
            np.testing.assert_array_equal(exchange.inbox, expected)
    exchange.close()


def test_broadcast_reaches_all(link):
    exchange = link.plan(Layout(10, link.size), 1, 5, zeros)
    if link.is_server:
        exchange.downlink[:] = [1, 2, 3, 4, 5]
    exchange.broadcast()
    assert exchange.downlink.tolist() == [1, 2, 3, 4, 5]
    exchange.close()


@pytest.mark.parametrize("text", ["", "plain", "ünïcödé\nand lines"])
def test_texts_arrive_unchanged(link, text):
    assert link.share(text if link.is_server else "ignored") == text
    texts = link.gather_texts(f"{text}{link.rank}")
    assert texts == [f"{text}{rank}" for rank in range(link.size)]


@pytest.mark.parametrize("which", ["last", "all"])
def test_all_ranks_fail_together_and_stay_in_step(link, which):
    def act():
        if which == "all" or link.rank == link.size - 1:
            raise UsageError(f"of {which}")
        return link.rank

    where = f"rank {link.size - 1}: " if which == "last" else ""
    with pytest.raises(AgreedError, match=rf"^{where}of {which}$"):
        together(link, act)
    assert together(link, lambda: link.rank) == link.rank


def test_tables_are_stacked_by_rank(link):
    gathered = link.collect(np.full((2, 3), float(link.rank)))
    if link.is_server:
        assert gathered.shape == (link.size, 2, 3)
        assert gathered[:, 0, 0].tolist() == list(range(link.size))
    else:
        assert gathered is None


def test_the_suites_collectives_cannot_meet_those_of_others(link, world):
    # A pending broadcast on the world must not be mistaken for ours.
    request = world.Ibcast(np.array([world.rank]), root=0)
    assert link.share("ours") == "ours"
    request.Wait()
    assert MPI.COMM_WORLD.size == link.size


EDGES = {
    "one slice": [0, 4096],
    "two": [0, 1001, 4096],
    "the header alone": [0, 32, 4096],
    "single bytes": [0, 1, 2, 3, 4095, 4096],
    "many": list(range(0, 4097, 64)),
}


@pytest.mark.parametrize("edges", EDGES.values(), ids=EDGES)
@pytest.mark.parametrize("num_devices", [4, 7, 20])
def test_slices_put_every_byte_in_its_place_in_order(link, num_devices, edges):
    layout = Layout(num_devices, link.size)
    exchange = link.plan(layout, 4096, 8, zeros)
    first, count = layout.block(link.rank)
    slots = np.random.default_rng(5).integers(0, 256, (num_devices, 4096), dtype=np.uint8)
    for repeat in range(3):
        exchange.uplink[:] = slots[first : first + count] ^ repeat
        gather = exchange.start_gather(edges)
        if link.is_server:
            for number, stop in enumerate(edges[1:]):
                gather.poll()
                gather.wait(number)
                np.testing.assert_array_equal(exchange.inbox[:, :stop], slots[:, :stop] ^ repeat)
            assert not gather.poll()
        gather.finish()
        # The two kinds of gather do not meet each other's messages.
        exchange.uplink[:] = 255
        exchange.gather()
        if link.is_server:
            assert (exchange.inbox == 255).all()
            exchange.inbox[:] = 0
    exchange.close()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("num_devices", [4, 7, 20])
def test_rows_of_devices_are_collected_and_handed_back(link, num_devices, dtype):
    layout = Layout(num_devices, link.size)
    everything = np.arange(3 * num_devices, dtype=dtype).reshape(num_devices, 3)
    own = link.scatter_rows(layout, everything if link.is_server else None, (3,), dtype)
    first, count = layout.block(link.rank)
    assert own.dtype == dtype
    np.testing.assert_array_equal(own, everything[first : first + count])
    gathered = link.gather_rows(layout, own)
    if link.is_server:
        np.testing.assert_array_equal(gathered, everything)
    else:
        assert gathered is None
