"""Emulate a network that is slower than the real one.

The wrapped exchange moves the messages. All ranks start a collective together, carry it
out, and then wait until the emulated network would have finished. If the real network is
slower, they do not wait.
"""

from __future__ import annotations

import time
from time import perf_counter
from typing import TYPE_CHECKING

from lad_mpi.types import COMMAND_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from lad_mpi.network import Network
    from lad_mpi.transport.base import Exchange

#: The system may wake a process this late, so it spins for the rest of a wait.
_LATENESS_S = 200e-6


class Timer:
    """Waits until a point in time: asleep until shortly before it, then awake.

    Signal handlers run at once.

    Parameters
    ----------
    clock : callable
        Returns the time in seconds, by the clock that phases are timed with.
    sleep : callable
        Sleeps for a number of seconds.
    """

    def __init__(
        self,
        clock: Callable[[], float] = perf_counter,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.clock = clock
        self.sleep = sleep

    def until(self, moment_s: float) -> None:
        """Wait until ``moment_s`` by the clock; return at once if it is past."""
        while (left_s := moment_s - self.clock()) > 0:
            if left_s > _LATENESS_S:
                self.sleep(left_s - _LATENESS_S)


class EmulatedExchange:
    """An exchange on an emulated network, on which every device is a machine of its own.

    Parameters
    ----------
    exchange : Exchange
        Moves the bytes.
    network : Network
        The emulated network.
    num_devices : int
        N.
    message_bytes : int
        Size of the largest message to a server. Every server has a link of its own.
    num_servers : int
        S. The model takes as long to broadcast from several servers as from one, because
        every device receives all of it.
    meet : callable
        Waits for all ranks, :meth:`~lad_mpi.transport.base.Link.meet`.
    timer : Timer, optional
        Tells the time and waits.

    Notes
    -----
    Ranks wait after the real collective, so the watchdog does not count the wait. All ranks
    wait equally long, so none waits in the next collective for one that is late.
    """

    def __init__(
        self,
        exchange: Exchange,
        network: Network,
        num_devices: int,
        *,
        message_bytes: int,
        num_servers: int,
        meet: Callable[[str], None],
        timer: Timer | None = None,
    ) -> None:
        self._exchange = exchange
        self._meet = meet
        self._timer = Timer() if timer is None else timer
        self.downlink = exchange.downlink
        self.uplink = exchange.uplink
        self.inbox = exchange.inbox
        downlink_bytes = self.downlink.nbytes
        self._announce_s = network.broadcast_s(
            COMMAND_BYTES if num_servers > 1 else downlink_bytes, num_devices
        )
        self._spread_s = network.broadcast_s(downlink_bytes - COMMAND_BYTES, num_devices)
        self._gather_s = network.gather_s(num_devices * message_bytes)

    def announce(self) -> None:
        """Send the command to all ranks, with the model of a single server."""
        self._meet("the broadcast of an iteration")
        end_s = self._timer.clock() + self._announce_s
        self._exchange.announce()
        self._timer.until(end_s)

    def spread(self) -> None:
        """Send each server's part of the model to all ranks."""
        end_s = self._timer.clock() + self._spread_s
        self._exchange.spread()
        self._timer.until(end_s)

    def gather(self) -> None:
        """Collect all ``uplink`` in the servers' ``inbox``."""
        # The servers arrive long before the devices, which send their messages now.
        self._meet("the gather of an iteration")
        end_s = self._timer.clock() + self._gather_s
        self._exchange.gather()
        self._timer.until(end_s)

    def close(self) -> None:
        """Free what the wrapped exchange holds."""
        self._exchange.close()
