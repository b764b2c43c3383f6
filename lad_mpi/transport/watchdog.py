"""Nothing waits for ever: a collective that takes too long ends the whole job.

A rank that is stopped, or lost in a computation, cannot be told from one that
is slow, except by the time. Ranks that wait for it sit in the MPI library and
run no Python, so a thread beside them looks at the clock.
"""

from __future__ import annotations

import os
import threading
from time import monotonic
from typing import TYPE_CHECKING

from lad_mpi.errors import ExitCode
from lad_mpi.launchers import say_before_abort

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

#: For collectives before a run has said how long it is ready to wait.
START_TIMEOUT_S = 600.0
_LOOKS = 20
_LONGEST_SLEEP_S = 1.0
_GRACE_S = 3.0


class Watchdog:
    """Ends the job when a rank waits in a collective for longer than agreed.

    ``with watchdog("the gather"): …`` surrounds one collective. Where even that costs
    too much beside a small collective, ``place`` and ``since`` are set by hand.

    Parameters
    ----------
    rank : int
        This rank, for the message.
    abort : callable
        Ends all ranks; may fail or never return.
    timeout_s : float
        How long a collective may take; 0 for ever.

    Attributes
    ----------
    place : str
        The collective, for the message.
    since : float or None
        When it was entered, by ``time.monotonic``; None outside of one.
    """

    def __init__(
        self, rank: int, abort: Callable[[], None], timeout_s: float = START_TIMEOUT_S
    ) -> None:
        self._rank = rank
        self._abort = abort
        self.place = ""
        self.since: float | None = None
        self._timeout_s = timeout_s
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self.set_timeout(timeout_s)

    def set_timeout(self, timeout_s: float) -> None:
        """Allow collectives to take ``timeout_s`` seconds from now on; 0 for ever."""
        self._timeout_s = timeout_s
        if timeout_s > 0 and self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Stop watching."""
        self._stopped.set()

    def __call__(self, place: str) -> Watchdog:
        """Name the collective that follows."""
        self.place = place
        return self

    def __enter__(self) -> None:
        self.since = monotonic()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.since = None

    def _watch(self) -> None:
        # All ranks that wait see it at about the same time, and one message is enough:
        # the first of them ends the others before they speak.
        patience_s = min(float(self._rank), _GRACE_S)
        while not self._stopped.wait(min(_LONGEST_SLEEP_S, max(self._timeout_s, 0.2) / _LOOKS)):
            since, timeout_s = self.since, self._timeout_s
            if since is not None and timeout_s > 0:
                waited_s = monotonic() - since
                if waited_s > timeout_s + patience_s:
                    self._end(waited_s)

    def _end(self, waited_s: float) -> None:
        # The library may be stuck, and so may whoever should read the message; what
        # leaves this process is seen by the launcher.
        killer = threading.Timer(_GRACE_S, os._exit, [int(ExitCode.FAILED)])
        killer.daemon = True
        killer.start()
        say_before_abort(
            f"lad-mpi: error on rank {self._rank}: waited {waited_s:.0f} s in {self.place}: "
            "some other rank hangs, or is slower than safety.timeout_s allows\n"
            "  hint: look for a rank that is stopped or swaps; raise safety.timeout_s where "
            "an iteration may take as long\n"
        )
        self._abort()
        os._exit(int(ExitCode.FAILED))
