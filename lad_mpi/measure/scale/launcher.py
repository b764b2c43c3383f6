"""Commands that start ranks: ``mpiexec``, or ``srun`` inside a SLURM job."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from lad_mpi.errors import ExitCode, LadError, UsageError
from lad_mpi.launchers import in_slurm_job, module_words, without_step

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

#: In a SLURM job: each rank has its own cores, and if one fails, all are ended.
SRUN = ("srun", "--cpu-bind=cores", "--kill-on-bad-exit=1")
_GRACE_S = 10.0
_LOOK_S = 0.1
#: Characters of the output of a failed launch that a message shows.
_TAIL = 400
_TAIL_BYTES = 8192


class StoppedError(LadError):
    """A signal asked the study to stop."""

    exit_code = ExitCode.CHECKPOINTED


@dataclass(frozen=True, slots=True)
class LaunchCommand:
    """A command that takes ``-n P`` and a program.

    Parameters
    ----------
    words : tuple of str
        The command without the number of ranks. It is the same at every P, so that the binding
        is the same, too.
    python : str
        Interpreter that runs the ranks.
    """

    words: tuple[str, ...]
    python: str = sys.executable

    def command(self, ranks: int, arguments: Sequence[str]) -> list[str]:
        """Return the command line of ``lad-mpi ARGUMENTS`` on a number of ranks."""
        return [*self.words, "-n", str(ranks), *module_words("lad_mpi", self.python), *arguments]

    def run(
        self,
        ranks: int,
        arguments: Sequence[str],
        folder: Path,
        *,
        timeout_s: float,
        stopping: Callable[[], bool] = lambda: False,
    ) -> str:
        """Run ``lad-mpi ARGUMENTS`` to its end.

        Parameters
        ----------
        ranks : int
            P.
        arguments : sequence of str
            Arguments of ``lad-mpi``.
        folder : Path
            Working directory.
        timeout_s : float
            Time limit in seconds.
        stopping : callable
            Called several times a second; if it returns True, the launch is ended.

        Returns
        -------
        str
            What went wrong; empty if nothing did.

        Raises
        ------
        UsageError
            The launcher cannot be started.
        StoppedError
            ``stopping`` returned True.
        """
        # Not a pipe: it would stay open, and be read, as long as any process that the
        # launcher started is alive.
        with tempfile.TemporaryFile() as output:
            try:
                process = subprocess.Popen(  # noqa: S603
                    self.command(ranks, arguments),
                    cwd=folder,
                    env=without_step(os.environ),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise UsageError(
                    f"cannot start {self.words[0]}: {error.strerror or error}",
                    hint="name another launcher, as in --launcher 'mpirun --bind-to core'",
                ) from error
            try:
                if not _ends_in_time(process, timeout_s, stopping):
                    return f"it took longer than {timeout_s:g} s and was ended"
            finally:
                _end(process)
            if process.returncode == 0:
                return ""
            return f"exit code {process.returncode}: {_last_words(output)}"


def _ends_in_time(
    process: subprocess.Popen[bytes], timeout_s: float, stopping: Callable[[], bool]
) -> bool:
    # The time of the launch is recorded, so its end must be noticed at once.
    # Popen.wait(timeout) looks only every 50 ms.
    waiting = threading.Thread(target=process.wait, daemon=True)
    waiting.start()
    deadline = time.monotonic() + timeout_s
    while waiting.is_alive():
        if stopping():
            raise StoppedError("stopped by a signal")
        if time.monotonic() > deadline:
            return False
        waiting.join(_LOOK_S)
    return True


def _last_words(output: IO[bytes]) -> str:
    output.seek(max(0, output.seek(0, os.SEEK_END) - _TAIL_BYTES))
    return " ".join(output.read(_TAIL_BYTES).decode(errors="replace").split())[-_TAIL:]


def default_launcher(environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return the command that starts ranks here.

    This is the ``mpiexec`` beside this Python, which belongs to the MPI library in use. If
    there is none, it is ``srun`` in a SLURM job, with each rank bound to its cores, and
    otherwise the ``mpiexec`` on the path. ``mpiexec`` binds ranks as it does by default.

    Raises
    ------
    UsageError
        No launcher was found.
    """
    environ = os.environ if environ is None else environ
    beside = shutil.which("mpiexec", path=str(Path(sys.executable).parent))
    if beside is None and in_slurm_job(environ):
        return SRUN
    found = beside or shutil.which("mpiexec", path=environ.get("PATH"))
    if found is None:
        raise UsageError(
            "there is no mpiexec to start ranks with",
            hint="load the MPI module, pip install 'lad_mpi[mpich]', or use --launcher",
        )
    return (found,)


def parse_launcher(text: str) -> tuple[str, ...]:
    """Split the words of a launcher as a shell does.

    Raises
    ------
    UsageError
        The text is empty, a quote is not closed, or it sets the number of ranks.
    """
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise UsageError(f"--launcher {text!r}: {error}", hint="close the quotes") from error
    if not words or {"-n", "-np", "--ntasks"} & set(words):
        raise UsageError(
            f"--launcher {text!r}: expected a command without the number of ranks",
            hint="--launcher 'mpiexec -bind-to core'; -n P is added",
        )
    return words


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a launcher and all its ranks, which are in a session of their own."""
    if process.poll() is None:
        _signal(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)
    _signal(process, signal.SIGKILL)
    process.wait()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
