"""Whether MPI can be handed arrays of a GPU, tried in processes that may crash.

Libraries claim it and then crash, deliver other contents, or copy through the
host behind the scenes, slower than it is done by hand. ``python -m
lad_mpi.transport.gpu_probe`` is the process that tries.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lad_mpi.arrays import open_backend
from lad_mpi.errors import BackendError
from lad_mpi.transport.base import SERVER, Layout
from lad_mpi.transport.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from lad_mpi.arrays import Backend
    from lad_mpi.transport.base import Exchange

#: Variables by which a launcher's ranks are known; the probe is none of them.
_LAUNCHERS = ("PMI", "OMPI_", "PRTE_", "HYD", "MPI_LOCAL", "MV2_COMM", "PALS_", "SLURM_")
#: Of messages that libraries send at once, announce first, and cut into pieces.
_SIZES_BYTES = (1, 4001, 2**22 + 3)
_TIMED_BYTES = 2**24
_NUM_DEVICES = 2
_REPEATS = 5
#: After which the processes are ended.
PROBE_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class GpuTransfers:
    """How messages get from a GPU to MPI.

    Parameters
    ----------
    kind : {"direct", "staged", "none"}
        ``direct``: MPI takes the GPU's arrays, delivers what they hold, and is no
        slower than by hand. ``staged``: it does not; messages go through pinned
        memory of the host. ``none``: no GPU can be used.
    reason : str
        Why, for a person.
    direct_bytes_per_s, staged_bytes_per_s : float or None
        Of a broadcast of 16 MiB and a gather of two messages of 16 MiB, the best of
        five; None where it was not measured.
    """

    kind: Literal["direct", "staged", "none"]
    reason: str
    direct_bytes_per_s: float | None = None
    staged_bytes_per_s: float | None = None


#: Where nobody needs a GPU.
HOST_MEMORY = GpuTransfers("none", "arrays are in host memory")


def probe_gpu_transfers(
    *, command: Sequence[str] | None = None, timeout_s: float = PROBE_TIMEOUT_S
) -> GpuTransfers:
    """Try in other processes whether MPI can be handed arrays of this rank's GPU.

    Two processes, where an ``mpiexec`` lies beside this Python or on the path,
    else one that sends to itself. The paths between hosts are not tried: they
    need ranks on two hosts, which a crash would take along.

    Parameters
    ----------
    command : sequence of str, optional
        What is started, for tests.
    timeout_s : float
        After which the processes are ended.
    """
    commands = _pair_or_one() if command is None else [command]
    told: list[dict[str, Any]] = []
    end = ""
    for attempt in commands:
        told, end = _try(attempt, timeout_s)
        # Nothing at all: this launcher starts nothing here, as some do for root.
        if told:
            break
    return _judge(told, end)


def _try(command: Sequence[str], timeout_s: float) -> tuple[list[dict[str, Any]], str]:
    with subprocess.Popen(  # noqa: S603
        command,
        env=_clean(os.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A launcher has children, which must go with it.
        start_new_session=True,
    ) as process:
        try:
            output, errors = process.communicate(timeout=timeout_s)
            end = f"{_name(process.returncode)}: {_last_line(errors)}".rstrip(": ")
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            end = f"it did not end within {timeout_s:g} s"
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")], end


def _judge(told: Sequence[Mapping[str, Any]], end: str) -> GpuTransfers:
    verdicts = [line for line in told if "kind" in line]
    if verdicts:
        return GpuTransfers(**verdicts[0])
    if any("gpu" in line for line in told):
        return GpuTransfers("staged", f"MPI failed when it was handed an array of the GPU ({end})")
    return GpuTransfers("none", f"neither MPI nor a GPU could be opened ({end})")


def _main() -> None:
    try:
        # In the order of a run: some libraries look for GPUs when they are initialised.
        mpi = importlib.import_module("lad_mpi.transport.mpi")
        backend = open_backend("cupy", "float32")
    except BackendError as error:
        _tell(asdict(GpuTransfers("none", error.message)))
        return
    comm = mpi.world()
    if comm.rank == 0:
        _tell({"gpu": backend.device_name})
    found = measure(comm, backend)
    if comm.rank == 0:
        _tell(asdict(found))


def measure(comm: Any, backend: Backend) -> GpuTransfers:
    """Hold the collectives of an iteration with arrays of a backend.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
        One rank, or two.
    backend : Backend
        Whose arrays are sent; NumPy's in tests.
    """
    for size in _SIZES_BYTES:
        with _planned(comm, size, backend.xp.zeros) as exchange:
            wrong = not _delivers(comm, exchange, backend)
        if _largest(comm, wrong):
            return GpuTransfers("staged", f"MPI delivered other contents ({size} bytes)")
    moved = _TIMED_BYTES * (1 + _NUM_DEVICES)
    with (
        _planned(comm, _TIMED_BYTES, backend.xp.zeros) as ours,
        _planned(comm, _TIMED_BYTES, backend.host_buffer) as hosts,
    ):
        direct_s = _best(comm, backend, lambda: _exchange(ours))
        staged_s = _best(comm, backend, lambda: _exchange_by_hand(ours, hosts, backend))
    direct, by_hand = moved / direct_s, moved / staged_s
    rates = f"{direct / 1e9:.1f} GB/s, {by_hand / 1e9:.1f} GB/s through the host by hand"
    ends = "two processes of this host" if comm.size > 1 else "one process to itself"
    if direct < by_hand:
        return GpuTransfers("staged", f"MPI is slower ({ends}: {rates})", direct, by_hand)
    return GpuTransfers("direct", f"{ends}: {rates}", direct, by_hand)


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
    first, count = Layout(_NUM_DEVICES, comm.size).block(comm.rank)
    for row in range(count):
        exchange.uplink[row] = pattern + np.uint8(first + row)
    if comm.rank == SERVER:
        exchange.downlink[...] = pattern
    backend.synchronize()
    _exchange(exchange)
    right = bool((exchange.downlink == pattern).all())
    if exchange.inbox is not None:
        for row in range(_NUM_DEVICES):
            right &= bool((exchange.inbox[row] == pattern + np.uint8(row)).all())
    return right


def _exchange(exchange: Exchange) -> None:
    exchange.broadcast()
    exchange.gather()


def _exchange_by_hand(gpu: Exchange, host: Exchange, backend: Backend) -> None:
    """Exchange through buffers of the host, as a run does that stages."""
    is_server = gpu.inbox is not None
    if is_server:
        backend.to_host(gpu.downlink, host.downlink)
    host.broadcast()
    if not is_server:
        gpu.downlink[...] = backend.asarray(host.downlink, dtype=np.uint8)
    if len(gpu.uplink):
        backend.to_host(gpu.uplink, host.uplink)
    host.gather()
    if gpu.inbox is not None:
        gpu.inbox[...] = backend.asarray(host.inbox, dtype=np.uint8)


def _best(comm: Any, backend: Backend, call: Callable[[], None]) -> float:
    call()
    times_s = []
    for _ in range(_REPEATS):
        backend.synchronize()
        comm.Barrier()
        start = time.perf_counter()
        call()
        backend.synchronize()
        times_s.append(time.perf_counter() - start)
    # Ranks must agree on what was faster.
    return _largest(comm, min(times_s))


def _largest(comm: Any, value: float) -> float:
    everyone = np.empty(comm.size)
    comm.Allgather(np.array([value], dtype=np.float64), everyone)
    return float(everyone.max())


def _pair_or_one() -> list[list[str]]:
    one = [sys.executable, "-m", "lad_mpi.transport.gpu_probe"]
    beside = str(Path(sys.executable).parent)
    mpiexec = shutil.which("mpiexec", path=beside) or shutil.which("mpiexec")
    return [one] if mpiexec is None else [[mpiexec, "-n", "2", *one], one]


def _clean(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if not name.startswith(_LAUNCHERS)}


def _tell(record: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(record) + "\n")
    sys.stdout.flush()


def _name(code: int) -> str:
    try:
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    except ValueError:
        return f"signal {-code}"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


if __name__ == "__main__":
    _main()
