"""Whether MPI can be handed arrays of a GPU, tried in processes that may crash.

Libraries claim it and then crash, deliver other contents, or copy through the
host behind the scenes, slower than it is done by hand. ``gpu_trial`` is what is
tried in these processes.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lad_mpi.launchers import module_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

#: Variables by which a launcher's ranks, or the hosts of a job, are known; the probe is none
#: of them, and stays on its host.
_LAUNCHERS = (
    *("PMI", "OMPI_", "PRTE_", "HYD", "MPI_LOCAL", "MV2_COMM", "PALS_", "SLURM_"),
    *("PBS_", "LSB_", "LSF_", "SGE_", "PE_HOSTFILE", "COBALT_", "FLUX_"),
)
#: Of these, settings of a library, which decide what it makes of a GPU's arrays,
_SETTINGS = ("OMPI_MCA_", "PRTE_MCA_", "PMIX_MCA_", "OMPI_ALLOW_RUN_AS_ROOT")
#: but for those by which it tells a rank who it is.
_NO_SETTINGS = (
    *("OMPI_MCA_ess", "OMPI_MCA_orte_", "OMPI_MCA_pmix", "OMPI_MCA_plm", "OMPI_MCA_hnp"),
    *("OMPI_MCA_num_procs", "OMPI_MCA_initial_wdir"),
    *("PRTE_MCA_ess", "PRTE_MCA_plm", "PRTE_MCA_prte_", "PRTE_MCA_pmix"),
)
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

    Two processes of this host, where an ``mpiexec`` that belongs to the MPI library lies
    beside this Python or on the path. Without, only the GPU is looked for: one process
    that sends to itself shows nothing of what passes between two. The paths between
    hosts are not tried: they need ranks on two hosts, which a crash would take along.

    Parameters
    ----------
    command : sequence of str, optional
        What is started, for tests.
    timeout_s : float
        After which processes are ended; it may take two tries.
    """
    commands = _pair_and_one(timeout_s) if command is None else [command]
    told: list[dict[str, Any]] = []
    end = ""
    for attempt in commands:
        told, end = _try(attempt, timeout_s)
        # Nothing at all: this launcher starts nothing here, as some do for root.
        if told:
            break
    return _judge(told, end)


def _try(command: Sequence[str], timeout_s: float) -> tuple[list[dict[str, Any]], str]:
    try:
        process = subprocess.Popen(  # noqa: S603
            command,
            env=_clean(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            # A launcher has children, which must go with it.
            start_new_session=True,
        )
    except OSError as error:
        return [], str(error)
    with process:
        try:
            output, errors = process.communicate(timeout=timeout_s)
            end = f"{_name(process.returncode)}: {_last_line(errors)}".rstrip(": ")
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            end = f"it did not end within {timeout_s:g} s"
    return list(_records(output)), end


def _records(output: str) -> Iterator[dict[str, Any]]:
    """Yield what the probe tells, among whatever libraries print."""
    for line in output.splitlines():
        with contextlib.suppress(ValueError):
            record = json.loads(line)
            if isinstance(record, dict):
                yield record


def _judge(told: Sequence[Mapping[str, Any]], end: str) -> GpuTransfers:
    verdicts = [line for line in told if "kind" in line]
    if verdicts:
        return GpuTransfers(**verdicts[0])
    if any("gpu" in line for line in told):
        return GpuTransfers("staged", f"MPI failed when it was handed an array of the GPU ({end})")
    if any("mpi" in line for line in told):
        return GpuTransfers("none", f"no GPU could be opened ({end})")
    return GpuTransfers("none", f"MPI could not be started ({end})")


def _pair_and_one(timeout_s: float) -> list[list[str]]:
    one = module_words("lad_mpi.doctor.gpu_trial")
    one += [socket.gethostname(), f"{timeout_s:g}"]
    beside = str(Path(sys.executable).parent)
    mpiexec = shutil.which("mpiexec", path=beside) or shutil.which("mpiexec")
    return [one] if mpiexec is None else [[mpiexec, "-n", "2", *one], one]


def _clean(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if not _is_of_a_launcher(name)}


def _is_of_a_launcher(name: str) -> bool:
    if name.startswith(_NO_SETTINGS):
        return True
    return name.startswith(_LAUNCHERS) and not name.startswith(_SETTINGS)


def _name(code: int) -> str:
    try:
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    except ValueError:
        return f"signal {-code}"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
