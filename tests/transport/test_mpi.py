"""The queue of slices, with requests that complete when the test says so."""

import pytest

from lad_mpi.transport.mpi import PostedSlices
from lad_mpi.transport.watchdog import Watchdog


class Network:
    """Completes requests in the order of their start, when a test says so."""

    def __init__(self):
        self.begun = []
        self.complete = 0

    def post(self, number):
        def begin():
            self.begun.append(number)
            return Pending(self, number)

        return begin


class Pending:
    def __init__(self, network, number):
        self.network = network
        self.number = number

    def Test(self):  # noqa: N802
        return self.number < self.network.complete

    def Wait(self):  # noqa: N802
        self.network.complete = max(self.network.complete, self.number + 1)


@pytest.fixture
def network():
    return Network()


@pytest.fixture
def start(network):
    watchdog = Watchdog(0, lambda: None, 0.0)
    yield lambda ahead, count=5: PostedSlices(
        [network.post(number) for number in range(count)], ahead=ahead, watchdog=watchdog
    )
    watchdog.close()


@pytest.mark.parametrize("ahead", [1, 2, 5, 9])
def test_a_limited_number_is_in_progress_and_each_arrival_starts_the_next(network, start, ahead):
    gather = start(ahead)
    for number in range(5):
        assert network.begun == list(range(min(5, number + ahead)))
        gather.wait(number)
        assert network.complete == number + 1
    assert not gather.poll()
    gather.finish()
    assert network.begun == list(range(5))


def test_polling_starts_the_next_without_waiting(network, start):
    gather = start(2)
    assert gather.poll()
    assert network.begun == [0, 1]
    network.complete = 1
    assert gather.poll()
    assert network.begun == [0, 1, 2]
    network.complete = 5
    # A poll completes at most one slice.
    for last in (3, 4, 4):
        assert gather.poll()
        assert network.begun[-1] == last
    assert not gather.poll()


def test_a_slice_that_has_arrived_needs_no_wait(network, start):
    gather = start(5)
    gather.wait(3)
    network.complete = 0
    gather.wait(1)
    assert network.complete == 0


def test_finish_waits_for_all_slices(network, start):
    start(2).finish()
    assert network.complete == 5
