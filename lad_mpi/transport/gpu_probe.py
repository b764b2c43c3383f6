"""Whether MPI can be handed arrays of a GPU, tried in processes that may crash.

Libraries claim it and then crash, deliver other contents, or copy through the
host behind the scenes, slower than it is done by hand. ``python -m
lad_mpi.transport.gpu_probe`` is the process that tries.
"""

from __future__ import annotations

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

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lad_mpi.arrays import Backend

#: Variables by which a launcher's ranks are known; the probe is none of them.
_LAUNCHERS = ("PMI", "OMPI_", "PRTE_", "HYD", "MPI_LOCAL", "MV2_COMM", "PALS_", "SLURM_")
_SIZES = (1, 1001, 2**20 + 1)
_TIMED_BYTES = 2**25
_REPEATS = 5
_TIMEOUT_S = 60.0


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
        Of a message of 32 MiB, the best of five; None where it was not measured.
    """

    kind: Literal["direct", "staged", "none"]
    reason: str
    direct_bytes_per_s: float | None = None
    staged_bytes_per_s: float | None = None


def probe_gpu_transfers(
    *, command: Sequence[str] | None = None, timeout_s: float = _TIMEOUT_S
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
    return GpuTransfers("none", f"no GPU could be opened ({end})")


def _main() -> None:
    # The device before MPI: some libraries look for it when they are initialised.
    try:
        backend = open_backend("cupy", "float32")
    except BackendError as error:
        _tell(asdict(GpuTransfers("none", error.message)))
        return
    comm = importlib.import_module("lad_mpi.transport.mpi").world()
    if comm.rank == 0:
        _tell({"gpu": backend.device_name})
    found = measure(comm, backend)
    if comm.rank == 0:
        _tell(asdict(found))


def measure(comm: Any, backend: Backend) -> GpuTransfers:
    """Exchange arrays of a backend with the other rank, or with this one where it is alone.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
        One rank or two.
    backend : Backend
        Whose arrays are sent; NumPy's in tests.
    """
    for size in _SIZES:
        sent = backend.xp.arange(size, dtype=backend.dtype) + 1 + comm.rank
        received = backend.xp.zeros_like(sent)
        backend.synchronize()
        _swap(comm, sent, received)
        other = backend.xp.arange(size, dtype=backend.dtype) + 1 + _peer(comm)
        wrong = not bool((received == other).all())
        if _largest(comm, wrong):
            return GpuTransfers("staged", f"MPI delivered other contents ({size} numbers)")
    sent = backend.xp.ones(_TIMED_BYTES // backend.dtype.itemsize, dtype=backend.dtype)
    received = backend.xp.zeros_like(sent)
    here, there = (backend.host_buffer(sent.shape, backend.dtype) for _ in range(2))

    def staged() -> None:
        backend.to_host(sent, out=here)
        _swap(comm, here, there)
        received[...] = backend.asarray(there)

    direct_s = _best(comm, backend, lambda: _swap(comm, sent, received))
    staged_s = _best(comm, backend, staged)
    direct, by_hand = _TIMED_BYTES / direct_s, _TIMED_BYTES / staged_s
    rates = f"{direct / 1e9:.1f} GB/s, {by_hand / 1e9:.1f} GB/s through the host by hand"
    ends = "two processes of this host" if comm.size > 1 else "one process to itself"
    if direct < by_hand:
        return GpuTransfers("staged", f"MPI is slower ({ends}: {rates})", direct, by_hand)
    return GpuTransfers("direct", f"{ends}: {rates}", direct, by_hand)


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


def _swap(comm: Any, sent: Any, received: Any) -> None:
    comm.Sendrecv(sent, dest=_peer(comm), recvbuf=received, source=_peer(comm))


def _peer(comm: Any) -> int:
    return int(comm.size - 1 - comm.rank)


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
