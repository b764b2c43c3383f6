"""The processes of :mod:`~lad_mpi.doctor.gpu_probe`: exchange arrays of a GPU, and time it."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import time
import traceback
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from lad_mpi.arrays import copy_array, open_backend
from lad_mpi.doctor.gpu_probe import GpuTransfers
from lad_mpi.errors import ExitCode, LadError
from lad_mpi.launchers import announced_rank
from lad_mpi.transport import Downlink, Layout, Slots, open_link, together

if TYPE_CHECKING:
    from collections.abc import Callable

    from lad_mpi.arrays import Backend
    from lad_mpi.transport import Exchange, Link

#: Libraries send small messages eagerly, large ones by rendezvous, and larger ones in pieces.
_SIZES_BYTES = (1, 4001, 2**22 + 3)
_TIMED_BYTES = 2**24
_NUM_DEVICES = 2
_REPEATS = 5
_GRACE_S = 5


def main(timeout_s: float) -> None:
    """Try direct transfers between two ranks, and print the result as JSON.

    Parameters
    ----------
    timeout_s : float
        Time limit in seconds.
    """
    # The process that enforces the limit may be killed.
    signal.alarm(int(timeout_s) + _GRACE_S)
    try:
        # MPI first, as in a run: some libraries look for GPUs when they are initialised.
        link = open_link()
        backend = together(link, partial(open_backend, "cupy", "float32"))
        found = _measure_or_abort(link, backend)
    except LadError as error:
        found = GpuTransfers("staged", error.message)
    # A launcher may mix the lines of two ranks.
    if announced_rank() == 0:
        sys.stdout.write(json.dumps(asdict(found)) + "\n")
        sys.stdout.flush()


def _measure_or_abort(link: Link, backend: Backend) -> GpuTransfers:
    try:
        return measure(link, backend)
    except Exception:
        traceback.print_exc()
        # Otherwise the other process would wait.
        link.abort(int(ExitCode.FAILED))
        raise


def measure(link: Link, backend: Backend) -> GpuTransfers:
    """Run the collectives of an iteration with arrays of a backend.

    Parameters
    ----------
    link : Link
        Of one of two ranks.
    backend : Backend
        Backend of the arrays; NumPy in tests.
    """
    if link.size == 1:
        return GpuTransfers("staged", "there is one process only, so nothing was sent")
    for size in _SIZES_BYTES:
        with _planned(link, size, backend.xp.zeros) as exchange:
            wrong = not _delivers(link, exchange, backend)
        if _largest(link, wrong):
            return GpuTransfers("staged", f"MPI delivered wrong data ({size} bytes)")
    with (
        _planned(link, _TIMED_BYTES, backend.xp.zeros) as handed,
        _planned(link, _TIMED_BYTES, backend.host_buffer) as hosts,
    ):
        direct_s = _best(link, backend, partial(_send, handed))
        staged_s = _best(link, backend, _staged(hosts, backend))
    moved = _TIMED_BYTES * (1 + _NUM_DEVICES)
    direct, staged = moved / direct_s, moved / staged_s
    rates = f"{direct / 1e9:.1f} GB/s directly, {staged / 1e9:.1f} GB/s through the host"
    if direct < staged:
        return GpuTransfers("staged", f"direct transfers are slower ({rates})", direct, staged)
    return GpuTransfers("direct", rates, direct, staged)


def _planned(
    link: Link, size_bytes: int, allocate: Callable[..., Any]
) -> contextlib.closing[Exchange]:
    """Plan a broadcast, and a gather of one message from each of two devices."""
    layout = Layout(_NUM_DEVICES, link.size)
    slots = Slots.of_one_message(size_bytes)
    plan = link.plan(
        layout,
        slots,
        slots if link.is_server else None,
        Downlink(size_bytes),
        lambda shape: allocate(shape, np.uint8),
    )
    return contextlib.closing(plan)


def _delivers(link: Link, exchange: Exchange, backend: Backend) -> bool:
    """Return whether all messages arrive in the right place with the right bytes."""
    xp, size = backend.xp, exchange.downlink.size
    # A prime period, so that pieces in the wrong order are noticed.
    pattern = (xp.arange(size) % 251).astype(np.uint8)
    if link.is_server:
        exchange.downlink[...] = pattern
    for row in range(len(exchange.uplink)):
        exchange.uplink[row] = pattern + np.uint8(row)
    backend.synchronize()
    exchange.announce()
    exchange.gather()
    right = bool((exchange.downlink == pattern).all())
    if exchange.inbox is not None:
        for row in range(_NUM_DEVICES):
            right &= bool((exchange.inbox[row] == pattern + np.uint8(row)).all())
    return right


def _send(exchange: Exchange) -> None:
    exchange.announce()
    exchange.gather()


def _staged(exchange: Exchange, backend: Backend) -> Callable[[], None]:
    """Return the call that sends arrays of a GPU through host buffers, as a run does."""
    down, up = (backend.asarray(host, dtype="u1") for host in (exchange.downlink, exchange.uplink))
    inbox = None if exchange.inbox is None else backend.asarray(exchange.inbox, dtype="u1")

    def send() -> None:
        if exchange.inbox is not None:
            copy_array(down, exchange.downlink)
        exchange.announce()
        if exchange.inbox is None:
            copy_array(exchange.downlink, down)
        copy_array(up, exchange.uplink)
        exchange.gather()
        if inbox is not None:
            copy_array(exchange.inbox, inbox)

    return send


def _best(link: Link, backend: Backend, send: Callable[[], None]) -> float:
    """Return the time of the fastest exchange in seconds, after one to warm up."""
    times_s = []
    for _ in range(1 + _REPEATS):
        backend.synchronize()
        link.meet("a timed exchange")
        start = time.perf_counter()
        send()
        backend.synchronize()
        times_s.append(time.perf_counter() - start)
    # Ranks must agree on which is faster.
    return _largest(link, min(times_s[1:]))


def _largest(link: Link, value: float) -> float:
    return max(float(text) for text in link.gather_texts(repr(float(value))))


if __name__ == "__main__":
    main(float(sys.argv[1]))
