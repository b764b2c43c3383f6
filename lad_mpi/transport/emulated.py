"""A network that is slower than the real one: collectives take at least as long as on it.

Where the messages go is left to the exchange that is wrapped. All ranks begin a
collective together, carry it out, and wait until the emulated network would have
done so too. So a wait is at most as long as that network is slow, and adds nothing
where the real one is slower.
"""

from __future__ import annotations

import itertools
import time
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lad_mpi.network import Network
    from lad_mpi.transport.base import Exchange, SlicedGather

#: By how much the system may wake a sleeper late; so long before the end it stays awake.
_LATENESS_S = 200e-6
#: How often the real gather is looked after while the emulated one is waited for.
_LOOK_EVERY_S = 1e-3


class Timer:
    """Waits for a moment, asleep until shortly before it.

    Handlers of signals run at once, also while it sleeps.

    Parameters
    ----------
    clock : callable
        Returns the time in seconds; the clock that phases are timed by.
    sleep : callable
        Sleeps for some seconds.
    """

    def __init__(
        self,
        clock: Callable[[], float] = perf_counter,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.clock = clock
        self.sleep = sleep

    def until(self, moment_s: float) -> None:
        """Return at ``moment_s`` by the clock, or at once if that is past."""
        while (left_s := moment_s - self.clock()) > 0:
            if left_s > _LATENESS_S:
                self.sleep(left_s - _LATENESS_S)


class EmulatedExchange:
    """An exchange on an emulated network, between machines of which every device is one.

    Parameters
    ----------
    exchange : Exchange
        Moves the bytes.
    network : Network
        What is emulated.
    num_devices : int
        N.
    meet : callable
        Waits for all ranks; is told what for, :meth:`~lad_mpi.transport.base.Link.meet`.
    timer : Timer, optional
        Tells the time and waits.

    Notes
    -----
    Ranks wait after the real collective and outside of it: no watchdog takes the
    wait for a rank that hangs. All of them wait alike, so that none is found
    waiting in the next one for those that still wait in this one.
    """

    def __init__(
        self,
        exchange: Exchange,
        network: Network,
        num_devices: int,
        *,
        meet: Callable[[str], None],
        timer: Timer | None = None,
    ) -> None:
        self._exchange = exchange
        self._network = network
        self._num_devices = num_devices
        self._meet = meet
        self._timer = Timer() if timer is None else timer
        self.downlink = exchange.downlink
        self.uplink = exchange.uplink
        self.inbox = exchange.inbox
        self._broadcast_s = network.broadcast_s(self.downlink.nbytes, num_devices)
        self._gather_s = self._arrival_s(self.uplink.shape[1])

    def broadcast(self) -> None:
        """Send ``downlink`` from the server to all ranks."""
        self._meet("the broadcast of an iteration")
        end_s = self._timer.clock() + self._broadcast_s
        self._exchange.broadcast()
        self._timer.until(end_s)

    def gather(self) -> None:
        """Collect all ``uplink`` in the server's ``inbox``."""
        # The server comes long before the devices, whose messages are under way from now on.
        self._meet("the gather of an iteration")
        end_s = self._timer.clock() + self._gather_s
        self._exchange.gather()
        self._timer.until(end_s)

    def start_gather(self, edges: Sequence[int]) -> EmulatedSlices:
        """Begin to collect all ``uplink`` in the server's ``inbox``, slice by slice."""
        self._meet("the gather of an iteration")
        start_s = self._timer.clock()
        arrivals_s = [start_s + self._arrival_s(stop) for _, stop in itertools.pairwise(edges)]
        return EmulatedSlices(self._exchange.start_gather(edges), arrivals_s, self._timer)

    def close(self) -> None:
        """Free what the wrapped exchange holds."""
        self._exchange.close()

    def _arrival_s(self, slot_bytes: int) -> float:
        """Return the time until so many bytes of every slot are at the server."""
        return self._network.gather_s(self._num_devices * slot_bytes)


class EmulatedSlices:
    """A gather under way, of which a slice is there when the emulated network has brought it.

    Parameters
    ----------
    gather : SlicedGather
        Moves the bytes.
    arrivals_s : sequence of float
        When slices are there at the earliest, ascending, by the timer's clock.
    timer : Timer
        Tells the time and waits.
    """

    def __init__(self, gather: SlicedGather, arrivals_s: Sequence[float], timer: Timer) -> None:
        self._gather = gather
        self._arrivals_s = arrivals_s
        self._timer = timer

    def wait(self, number: int) -> None:
        """Return when the slice of this number, and those before it, are in the inbox."""
        self._gather.wait(number)
        # Meanwhile the real gather goes on, as it would with nothing to wait for.
        arrival_s, timer = self._arrivals_s[number], self._timer
        while timer.clock() + _LOOK_EVERY_S < arrival_s and self._gather.poll():
            timer.sleep(_LOOK_EVERY_S)
        timer.until(arrival_s)

    def poll(self) -> bool:
        """Give MPI a moment to move data; tell whether something is still under way."""
        return self._gather.poll() or self._timer.clock() < self._arrivals_s[-1]

    def finish(self) -> None:
        """Return when all slices are in the inbox, or on other ranks have been sent."""
        self._gather.finish()
        self._timer.until(self._arrivals_s[-1])
