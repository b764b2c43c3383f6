"""A gather in slices, as a queue of non-blocking collectives."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lad_mpi.transport.watchdog import Watchdog


class Request(Protocol):
    """A collective under way, as mpi4py has it."""

    def Wait(self) -> object:  # noqa: N802
        """Return when it is complete."""

    def Test(self) -> bool:  # noqa: N802
        """Let it proceed; tell whether it is complete."""


class PostedSlices:
    """Non-blocking gathers of slices, of which a few are under way at any time.

    Parameters
    ----------
    post : sequence of callable
        Each begins the gather of a slice. They are called in order, on every rank.
    ahead : int
        How many may be under way at once.
    watchdog : Watchdog
        Surrounds the waiting.
    """

    def __init__(
        self, post: Sequence[Callable[[], Request]], *, ahead: int, watchdog: Watchdog
    ) -> None:
        self._waiting = deque(post)
        self._under_way: deque[Request] = deque()
        self._ahead = ahead
        self._watchdog = watchdog
        self._count = len(post)
        self._arrived = 0
        self._begin()

    def wait(self, number: int) -> None:
        """Return when the slice of this number, and those before it, are in the inbox."""
        if self._arrived > number:
            return
        with self._watchdog("the gather of an iteration"):
            while self._arrived <= number:
                self._under_way[0].Wait()
                self._take()

    def poll(self) -> bool:
        """Give MPI a moment to move data; tell whether something is still under way."""
        # One slice at most: libraries that copy in the test would otherwise copy all of them.
        if self._under_way and self._under_way[0].Test():
            self._take()
        return bool(self._under_way)

    def finish(self) -> None:
        """Return when all slices are in the inbox, or on other ranks have been sent."""
        self.wait(self._count - 1)

    def _take(self) -> None:
        self._under_way.popleft()
        self._arrived += 1
        self._begin()

    def _begin(self) -> None:
        while self._waiting and len(self._under_way) < self._ahead:
            self._under_way.append(self._waiting.popleft()())
