"""Handle signals that ask a run to stop."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType, TracebackType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
_LATE = (signal.SIGTERM, signal.SIGUSR2)


class InterruptRequest:
    """Record SIGINT, SIGTERM and SIGUSR2 instead of ending the process; a context manager.

    Launchers send signals to all ranks, but only the server decides. It announces the end
    with its next broadcast, so no rank waits for a rank that has ended. Schedulers repeat
    signals and send different ones during a long iteration, so only a second SIGINT
    (Ctrl-C) has its usual effect.

    Attributes
    ----------
    signal_name : str
        Name of the first signal received, or an empty string.
    """

    def __init__(self) -> None:
        self.signal_name = ""
        self._previous: dict[int, object] = {}

    def __enter__(self) -> InterruptRequest:
        for number in _SIGNALS:
            self._previous[number] = signal.signal(number, self._remember)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore(*_SIGNALS)

    def ignore_late(self) -> None:
        """Ignore SIGTERM and SIGUSR2 from now on; for a process that is about to end.

        A signal reaches the ranks one after another, and MPI finalizes after Python has
        removed its handlers. A late signal must not kill a rank that has finished, nor
        change the exit code.
        """
        self._previous.clear()
        for number in _LATE:
            signal.signal(number, signal.SIG_IGN)

    def _remember(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.signal_name = self.signal_name or signal.Signals(number).name
        if number == signal.SIGINT:
            self._restore(number)

    def _restore(self, *numbers: int) -> None:
        for number in numbers:
            if number in self._previous:
                signal.signal(number, self._previous.pop(number))  # type: ignore[arg-type]
