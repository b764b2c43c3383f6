"""The MPI link on real ranks behaves like the loopback."""

import numpy as np
import pytest
from mpi4py import MPI

from lad_mpi.errors import AgreedError, UsageError
from lad_mpi.transport import Downlink, Layout, Slots, open_link, together

pytestmark = [pytest.mark.mpi(min_size=2), pytest.mark.timeout(60)]


@pytest.fixture
def link(world):
    return open_link()


def zeros(shape):
    return np.zeros(shape, dtype=np.uint8)


def plan(link, layout, slot_bytes, downlink_bytes):
    slots = Slots.of_one_message(slot_bytes)
    received = slots if link.is_server else None
    return link.plan(layout, slots, received, Downlink(downlink_bytes), zeros)


def test_the_link_is_this_rank_of_the_world(link, world):
    assert (link.rank, link.size) == (world.rank, world.size)
    assert link.is_server == (world.rank == 0)
    assert "MPI" in link.library.upper()


@pytest.mark.parametrize("slot_bytes", [1, 33, 4096])
@pytest.mark.parametrize("num_devices", [4, 7, 20])
def test_gather_puts_every_devices_slot_in_its_place(link, slot_bytes, num_devices):
    layout = Layout(num_devices, link.size)
    exchange = plan(link, layout, slot_bytes, 8)
    first, count = layout.block(link.rank)
    for repeat in range(3):
        exchange.uplink[:] = (np.arange(first, first + count) + repeat)[:, None]
        exchange.gather()
        if link.is_server:
            expected = np.repeat((np.arange(num_devices) + repeat)[:, None], slot_bytes, axis=1)
            np.testing.assert_array_equal(exchange.inbox, expected)
    exchange.close()


def test_broadcast_reaches_all(link):
    exchange = plan(link, Layout(10, link.size), 1, 5)
    if link.is_server:
        exchange.downlink[:] = [1, 2, 3, 4, 5]
    exchange.announce()
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


def test_collectives_of_the_link_do_not_match_those_on_the_world(link, world):
    # A pending broadcast on the world must not match one of the link.
    request = world.Ibcast(np.array([world.rank]), root=0)
    assert link.share("ours") == "ours"
    request.Wait()
    assert MPI.COMM_WORLD.size == link.size


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
