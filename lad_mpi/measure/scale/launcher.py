"""What starts ranks: ``mpiexec``, or ``srun`` inside a SLURM job."""

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

#: In a SLURM job: each rank on cores of its own, and none left behind by the others.
SRUN = ("srun", "--cpu-bind=cores", "--kill-on-bad-exit=1")
_GRACE_S = 10.0
_LOOK_S = 0.1
#: The last words of a launch that failed.
_TAIL = 400
_TAIL_BYTES = 8192


class StoppedError(LadError):
    """A signal asked for the end between two launches, or in one."""

    exit_code = ExitCode.CHECKPOINTED


@dataclass(frozen=True, slots=True)
class Launcher:
    """A command that takes ``-n P`` and a program.

    Parameters
    ----------
    words : tuple of str
        The command without the number of ranks; the same at every P, so that the
        binding is.
    python : str
        Interpreter of the ranks.
    """

    words: tuple[str, ...]
    python: str = sys.executable

    def command(self, ranks: int, arguments: Sequence[str]) -> list[str]:
        """Return the command line of ``lad-mpi ARGUMENTS`` on so many ranks."""
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
            Of ``lad-mpi``.
        folder : Path
            Working directory.
        timeout_s : float
            How long it may take.
        stopping : callable
            Asked several times a second whether to end it.

        Returns
        -------
        str
            What went wrong; empty where nothing did.

        Raises
        ------
        UsageError
            The launcher cannot be started.
        StoppedError
            It was ended because ``stopping`` said so.
        """
        # A file without a name, and no pipe: that would be open, and read, for as long as
        # any process is left that the launcher has started.
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
                    hint="say what starts ranks here: --launcher 'mpirun --bind-to core'",
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
    # A thread learns of the end at once. Popen.wait(timeout) looks every 50 ms, and the time
    # of the launch is recorded.
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
    """Return what starts ranks here.

    The ``mpiexec`` beside this Python, which came with the MPI that is used; else ``srun`` in
    a SLURM job, each rank bound to its cores; else the ``mpiexec`` on the path. The binding
    of ``mpiexec`` is its default.

    Raises
    ------
    UsageError
        There is none.
    """
    environ = os.environ if environ is None else environ
    beside = shutil.which("mpiexec", path=str(Path(sys.executable).parent))
    if beside is None and in_slurm_job(environ):
        return SRUN
    found = beside or shutil.which("mpiexec", path=environ.get("PATH"))
    if found is None:
        raise UsageError(
            "there is no mpiexec to start ranks with",
            hint="load the MPI module, pip install 'lad_mpi[mpich]', or say --launcher WORDS",
        )
    return (found,)


def parse_launcher(text: str) -> tuple[str, ...]:
    """Split the words of a launcher as a shell does.

    Raises
    ------
    UsageError
        There is no word, a quote is not closed, or the number of ranks is among the words.
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
    """End a launcher and its ranks, which are a session of their own, and leave none behind."""
    if process.poll() is None:
        _signal(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)
    _signal(process, signal.SIGKILL)
    process.wait()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
