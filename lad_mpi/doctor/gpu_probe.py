"""Try in separate processes whether MPI takes arrays of a GPU.

MPI libraries may claim that they do, and then crash, deliver wrong data, or copy through
host memory more slowly than the suite does. :mod:`~lad_mpi.doctor.gpu_trial` runs in these
processes.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lad_mpi.launchers import module_words, without_job

if TYPE_CHECKING:
    from collections.abc import Sequence

_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class GpuTransfers:
    """The recommended value of ``backend.gpu_transfers``.

    Parameters
    ----------
    kind : {"direct", "staged"}
        ``direct``: MPI takes arrays of the GPU, delivers them correctly, and is at least as
        fast as ``staged``, which copies messages through pinned host memory.
    reason : str
        Why, as text.
    direct_bytes_per_s, staged_bytes_per_s : float or None
        Rates of a broadcast of 16 MiB and a gather of two messages of 16 MiB, the best of
        five; None if not measured.
    """

    kind: Literal["direct", "staged"]
    reason: str
    direct_bytes_per_s: float | None = None
    staged_bytes_per_s: float | None = None


def probe_gpu_transfers(
    *, command: Sequence[str] | None = None, timeout_s: float = _TIMEOUT_S
) -> GpuTransfers:
    """Try whether MPI takes arrays of the GPU, in two processes on this host.

    They are started with the ``mpiexec`` beside this Python, or else the one on the path.
    Paths between hosts are not tried, because a crash would end the ranks there.

    Parameters
    ----------
    command : sequence of str, optional
        Command to start instead, for tests.
    timeout_s : float
        Time limit in seconds.

    Returns
    -------
    GpuTransfers
        ``staged`` if the trial fails, with the reason.
    """
    if command is None:
        beside = str(Path(sys.executable).parent)
        mpiexec = shutil.which("mpiexec", path=beside) or shutil.which("mpiexec")
        if mpiexec is None:
            return GpuTransfers("staged", "there is no mpiexec to try direct transfers with")
        trial = module_words("lad_mpi.doctor.gpu_trial")
        command = [mpiexec, "-n", "2", *trial, f"{timeout_s:g}"]
    try:
        process = subprocess.Popen(  # noqa: S603
            command,
            env=without_job(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            # The timeout must end the children of the launcher, too.
            start_new_session=True,
        )
    except OSError as error:
        return GpuTransfers("staged", f"the trial could not be started: {error}")
    with process:
        try:
            output, errors = process.communicate(timeout=timeout_s)
            end = f"{_describe_code(process.returncode)}: {_last_line(errors)}".rstrip(": ")
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            end = f"it did not end within {timeout_s:g} s"
    return _read(output) or GpuTransfers("staged", f"the trial of direct transfers failed ({end})")


def _read(output: str) -> GpuTransfers | None:
    """Return the result that the trial printed; libraries may print other lines."""
    for line in output.splitlines():
        with contextlib.suppress(ValueError, TypeError):
            return GpuTransfers(**json.loads(line))
    return None


def _describe_code(code: int) -> str:
    try:
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    except ValueError:
        return f"signal {-code}"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
