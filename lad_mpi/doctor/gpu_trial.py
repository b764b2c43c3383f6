"""What is tried of a GPU and MPI, in two processes that may crash: ``gpu_probe`` starts them."""

from __future__ import annotations

import contextlib
import importlib
import json
import signal
import socket
import sys
import time
import traceback
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from lad_mpi.arrays import copy_array, open_backend
from lad_mpi.doctor.gpu_probe import GpuTransfers
from lad_mpi.errors import BackendError, ExitCode
from lad_mpi.transport.base import SERVER, Layout
from lad_mpi.transport.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lad_mpi.arrays import Backend
    from lad_mpi.transport.base import Exchange

#: Of messages that libraries send at once, announce first, and cut into pieces.
_SIZES_BYTES = (1, 4001, 2**22 + 3)
_TIMED_BYTES = 2**24
_NUM_DEVICES = 2
_REPEATS = 5
_GRACE_S = 5
_ALONE = (
    "it could not be tried with two processes, for which an mpiexec of this MPI library is "
    'needed; backend.gpu_transfers = "direct" decides'
)
_ELSEWHERE = 'mpiexec left this host to try it; backend.gpu_transfers = "direct" decides'


def main(host: str, timeout_s: float) -> None:
    """Try, and tell what was found as lines of JSON: that MPI is up, the GPU, the verdict.

    Parameters
    ----------
    host : str
        Where this should run.
    timeout_s : float
        How long it may take.
    """
    # Whoever started this may be killed before it can end it, also while MPI hangs.
    signal.alarm(int(timeout_s) + _GRACE_S)
    # In the order of a run: some libraries look for GPUs when they are initialised.
    comm = importlib.import_module("lad_mpi.transport.mpi").world()
    _tell({"mpi": comm.size})
    backend = None
    try:
        backend = open_backend("cupy", "float32")
    except BackendError as error:
        _tell(asdict(GpuTransfers("none", error.message)))
    if _largest(comm, backend is None) or backend is None:
        return
    _tell({"gpu": backend.device_name})
    if comm.size == 1:
        found = GpuTransfers("staged", _ALONE)
    elif _largest(comm, socket.gethostname() != host):
        found = GpuTransfers("staged", _ELSEWHERE)
    else:
        found = _measure_or_abort(comm, backend)
    if comm.rank == 0:
        _tell(asdict(found))


def _measure_or_abort(comm: Any, backend: Backend) -> GpuTransfers:
    try:
        return measure(comm, backend)
    except Exception:
        traceback.print_exc()
        # The other process would wait for this one.
        comm.Abort(int(ExitCode.FAILED))
        raise


def measure(comm: Any, backend: Backend) -> GpuTransfers:
    """Hold the collectives of an iteration with arrays of a backend, as a run does.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
        Two ranks.
    backend : Backend
        Whose arrays are sent; NumPy's in tests.
    """
    for size in _SIZES_BYTES:
        with _planned(comm, size, backend.xp.zeros) as exchange:
            wrong = not _delivers(comm, exchange, backend)
        if _largest(comm, wrong):
            return GpuTransfers("staged", f"MPI delivered other contents ({size} bytes)")
    with (
        _planned(comm, _TIMED_BYTES, backend.xp.zeros) as handed,
        _planned(comm, _TIMED_BYTES, backend.host_buffer) as hosts,
    ):
        direct_s = _best(comm, backend, partial(_send, handed))
        staged_s = _best(comm, backend, _staged(hosts, backend))
    moved = _TIMED_BYTES * (1 + _NUM_DEVICES)
    direct, by_hand = moved / direct_s, moved / staged_s
    rates = f"{direct / 1e9:.1f} GB/s, {by_hand / 1e9:.1f} GB/s through the host by hand"
    if direct < by_hand:
        return GpuTransfers(
            "staged", f"MPI is slower (two processes of this host: {rates})", direct, by_hand
        )
    return GpuTransfers("direct", f"two processes of this host: {rates}", direct, by_hand)


@contextlib.contextmanager
def _planned(comm: Any, size_bytes: int, allocate: Callable[..., Any]) -> Iterator[Exchange]:
    """Plan a broadcast, and a gather of a message from each of two devices."""
    mpi = importlib.import_module("lad_mpi.transport.mpi")

    def empty(shape: tuple[int, ...]) -> Any:
        return allocate(shape, np.uint8)

    # Whoever started the processes ends them when they take too long.
    watchdog = Watchdog(comm.rank, lambda: None, timeout_s=0)
    exchange = mpi.MpiExchange(
        comm,
        Layout(_NUM_DEVICES, comm.size),
        size_bytes,
        empty((size_bytes,)),
        allocate=empty,
        watchdog=watchdog,
    )
    with contextlib.closing(exchange):
        yield exchange


def _delivers(comm: Any, exchange: Exchange, backend: Backend) -> bool:
    """Tell whether everything arrives where it should and as it was."""
    xp, size = backend.xp, exchange.downlink.size
    # A period that divides no size of a piece shows pieces that change places.
    pattern = (xp.arange(size) % 251).astype(np.uint8)
    if comm.rank == SERVER:
        exchange.downlink[...] = pattern
    for row in range(len(exchange.uplink)):
        exchange.uplink[row] = pattern + np.uint8(row)
    backend.synchronize()
    exchange.broadcast()
    exchange.gather()
    right = bool((exchange.downlink == pattern).all())
    if exchange.inbox is not None:
        for row in range(_NUM_DEVICES):
            right &= bool((exchange.inbox[row] == pattern + np.uint8(row)).all())
    return right


def _send(exchange: Exchange) -> None:
    exchange.broadcast()
    exchange.gather()


def _staged(exchange: Exchange, backend: Backend) -> Callable[[], None]:
    """Return the call that sends arrays of a GPU through host buffers, as a run does."""
    down, up = (backend.asarray(host, dtype="u1") for host in (exchange.downlink, exchange.uplink))
    inbox = None if exchange.inbox is None else backend.asarray(exchange.inbox, dtype="u1")

    def send() -> None:
        if exchange.inbox is not None:
            copy_array(down, exchange.downlink)
        exchange.broadcast()
        if exchange.inbox is None:
            copy_array(exchange.downlink, down)
        copy_array(up, exchange.uplink)
        exchange.gather()
        if inbox is not None:
            copy_array(exchange.inbox, inbox)

    return send


def _best(comm: Any, backend: Backend, send: Callable[[], None]) -> float:
    """Return the seconds of the fastest of some exchanges, of which one more warms up."""
    times_s = []
    for _ in range(1 + _REPEATS):
        backend.synchronize()
        comm.Barrier()
        start = time.perf_counter()
        send()
        backend.synchronize()
        times_s.append(time.perf_counter() - start)
    # Ranks must agree on what was faster.
    return _largest(comm, min(times_s[1:]))


def _largest(comm: Any, value: float) -> float:
    everyone = np.empty(comm.size)
    comm.Allgather(np.array([value], dtype=np.float64), everyone)
    return float(everyone.max())


def _tell(record: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(record) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
