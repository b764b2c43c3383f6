"""Signals that ask for an orderly end."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType, TracebackType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
_LATE = (signal.SIGTERM, signal.SIGUSR2)


class InterruptRequest:
    """While open, remembers signals instead of dying of them.

    Launchers send signals to all ranks, but only the server decides: it
    announces the end with its next broadcast, so that no rank waits for
    another. Schedulers repeat signals and send several kinds while an iteration
    takes long, so only a second SIGINT (Ctrl-C) has its usual effect.

    Attributes
    ----------
    signal_name : str
        The first signal that came; empty while none did.
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
        """Ignore what schedulers send; for a process that is about to end.

        A signal reaches the ranks one after another, and MPI ends after Python's
        handlers are gone. A late copy must not kill a rank that is done, nor change
        the exit code.
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
