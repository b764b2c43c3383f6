"""Devices, streams and events that are always done."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

from cuda_on_host import CompileError, LaunchError

from cupy import _queue
from cupy.cuda import runtime

compiler = SimpleNamespace(CompileException=CompileError)
driver = SimpleNamespace(CUDADriverError=LaunchError)


def is_available() -> bool:
    return runtime.getDeviceCount() > 0


class Device:
    """One of those that are made up."""

    def __init__(self, device: int | None = None) -> None:
        self.id = runtime.getDevice() if device is None else int(device)

    def use(self) -> None:
        runtime.setDevice(self.id)

    def synchronize(self) -> None:
        _queue.wait()

    def __int__(self) -> int:
        return self.id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and self.id == other.id

    __hash__ = None  # type: ignore[assignment]

    def __enter__(self) -> Device:
        self._before = runtime.getDevice()
        self.use()
        return self

    def __exit__(self, *_: object) -> None:
        runtime.setDevice(self._before)

    compute_capability = "80"
    pci_bus_id = property(lambda self: runtime.deviceGetPCIBusId(self.id))
    mem_info = property(lambda self: runtime.memGetInfo())


class Event:
    """A moment."""

    def __init__(self, block: bool = False, disable_timing: bool = False, **_: Any) -> None:
        self._at: float | None = None

    def record(self, stream: Any = None) -> None:
        self._at = time.perf_counter()

    def synchronize(self) -> None:
        _queue.wait()

    done = property(lambda self: True)


def get_elapsed_time(start_event: Event, end_event: Event) -> float:
    if start_event._at is None or end_event._at is None:
        raise runtime.CUDARuntimeError("cudaErrorInvalidResourceHandle: invalid resource handle")
    return 1e3 * (end_event._at - start_event._at)


class Stream:
    """A queue that is always empty."""

    null: Stream

    def __init__(self, null: bool = False, non_blocking: bool = False, **_: Any) -> None:
        self.ptr = 0 if null else id(self)

    def synchronize(self) -> None:
        _queue.wait()

    def record(self, event: Event | None = None) -> Event:
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        pass

    done = property(lambda self: True)

    def use(self) -> Stream:
        global _current  # noqa: PLW0603
        _current = self
        return self

    def __enter__(self) -> Stream:
        self._before = _current
        return self.use()

    def __exit__(self, *_: object) -> None:
        self._before.use()


Stream.null = _current = Stream(null=True)


def get_current_stream(device_id: int | None = None) -> Stream:
    return _current
