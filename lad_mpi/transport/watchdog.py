"""End the job if a collective takes too long.

Only the time distinguishes a rank that hangs from a slow one. Ranks that wait for it are
inside the MPI library and run no Python code, so a thread watches the clock.
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

#: Limit for collectives before a run sets ``safety.timeout_s``.
START_TIMEOUT_S = 600.0
_LOOKS = 20
_LONGEST_SLEEP_S = 1.0
_GRACE_S = 3.0


class Watchdog:
    """Ends the job if a rank waits in a collective for too long.

    Use ``with watchdog("the gather"): …`` around one collective. If that costs too much
    for a small collective, set ``place`` and ``since`` directly.

    Parameters
    ----------
    rank : int
        This rank, for the message.
    abort : callable
        Ends all ranks. It may fail or never return.
    timeout_s : float
        Longest time that a collective may take, in seconds; 0 for no limit.

    Attributes
    ----------
    place : str
        Name of the collective, for the message.
    since : float or None
        Time of entry by ``time.monotonic``; None outside of collectives.
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
        """Set the longest time that a collective may take, in seconds; 0 for no limit."""
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
        # All waiting ranks time out together, and one message is enough: higher ranks wait a
        # little longer, and are ended before they print.
        patience_s = min(float(self._rank), _GRACE_S)
        while not self._stopped.wait(min(_LONGEST_SLEEP_S, max(self._timeout_s, 0.2) / _LOOKS)):
            since, timeout_s = self.since, self._timeout_s
            if since is not None and timeout_s > 0:
                waited_s = monotonic() - since
                if waited_s > timeout_s + patience_s:
                    self._end(waited_s)

    def _end(self, waited_s: float) -> None:
        # MPI may be stuck, and so may the reader of the message. The launcher notices when
        # this process exits.
        killer = threading.Timer(_GRACE_S, os._exit, [int(ExitCode.FAILED)])
        killer.daemon = True
        killer.start()
        say_before_abort(
            f"lad-mpi: error on rank {self._rank}: waited {waited_s:.0f} s in {self.place}: "
            "another rank hangs, or is slower than safety.timeout_s allows\n"
            "  hint: look for a rank that is stopped or swaps; increase safety.timeout_s if "
            "an iteration may take this long\n"
        )
        self._abort()
        os._exit(int(ExitCode.FAILED))
