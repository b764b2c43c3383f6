"""Streams and errors of all commands: no failure of a stream ends a run.

Standard output and error may go to a full disk, may be closed, or their reader may end. None
of this may end a run. Every command therefore starts with :func:`run_command`, which replaces
the streams by ones that do not fail, unless output is the only purpose of the command. The
streams escape control characters, because texts may come from untrusted files.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import select
import signal
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lad_mpi.errors import ExitCode, LadError, UsageError, as_lad_error
from lad_mpi.launchers import announced_rank
from lad_mpi.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: Number of standard error, the last of the standard streams.
_LAST = 2
#: Longest time that a reader which does not read may delay a run, once.
_PATIENCE_MS = 2000


class OutputError(LadError):
    """Output cannot be written, and is the purpose of the command."""


class _ReaderGoneError(LadError):
    """The reader of the output has ended, as with ``| head``. This is not a failure."""

    exit_code = ExitCode.OK


def run_command(
    parser: argparse.ArgumentParser,
    arguments: Sequence[str] | None,
    act: Callable[[argparse.Namespace], int],
    *,
    name: str,
) -> int:
    """Parse the arguments of a command, run it, and return its exit code.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Parser of the arguments, which must include ``verbose``.
    arguments : sequence of str, optional
        The arguments; by default those of the process.
    act : callable
        Runs the command and returns its exit code.
    name : str
        The beginning of messages.

    Notes
    -----
    An exception that is not a :class:`~lad_mpi.errors.LadError` is a bug. It is reported as
    one in a line, and with its traceback if ``verbose`` is set.
    """
    open_streams()
    code = _carry_out(parser, arguments, act, name)
    try:
        sys.stdout.flush()
    except (OutputError, _ReaderGoneError) as error:
        code = code or _report(error, name)
    return code


def _carry_out(
    parser: argparse.ArgumentParser,
    arguments: Sequence[str] | None,
    act: Callable[[argparse.Namespace], int],
    name: str,
) -> int:
    verbose = False
    try:
        options = parser.parse_args(arguments)
        verbose = options.verbose
        return int(act(options))
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else int(ExitCode.FAILED)
    except KeyboardInterrupt:
        # Before there was anything to close.
        return 128 + signal.SIGINT
    except Exception as error:  # noqa: BLE001  (users must not see a traceback)
        return _report(error, name, verbose=verbose)


def _report(error: Exception, name: str, *, verbose: bool = False) -> int:
    """Report an error, once for all ranks, and return the exit code."""
    if isinstance(error, (OutputError, _ReaderGoneError)):
        # So that Python can flush the rest of the output when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    told = describe(error)
    # An error without a message is one that the server reports.
    if announced_rank() == 0 and told.message and not isinstance(error, _ReaderGoneError):
        if verbose:
            traceback.print_exception(error)
        sys.stderr.write(f"{name}: error: {told}\n")
    return int(told.exit_code)


def path_argument(text: str) -> Path:
    """Return the path that an argument names. Refuse an empty one, such as of ``-o "$OUT"``."""
    if not text:
        raise argparse.ArgumentTypeError("expected a path, found an empty text")
    return Path(text)


def describe(error: BaseException) -> LadError:
    """Return the message about any error, with the place in the code if it is a bug."""
    told = as_lad_error(error)
    if told is not None:
        return told
    if isinstance(error, KeyboardInterrupt):
        return LadError("ended by Ctrl-C")
    if isinstance(error, UnicodeEncodeError):
        return UsageError(
            f"{error.object!r} cannot be a file name here: the system's encoding is "
            f"{error.encoding}",
            hint="export LC_ALL=C.UTF-8",
        )
    if type(error).__module__.partition(".")[0] == "mpi4py":
        return LadError(f"MPI failed: {error}", hint="run lad-mpi doctor on the same ranks")
    *_, frame = traceback.extract_tb(error.__traceback__) or [None]
    where = "" if frame is None else f" ({Path(frame.filename).name}, line {frame.lineno})"
    return LadError(
        f"{type(error).__name__}: {error}".removesuffix(": ") + where,
        hint="this is a bug in lad_mpi or in a component; -v shows the traceback to report",
    )


def open_streams(*, output_matters: bool = True) -> None:
    """Replace the standard streams by ones that write what they can, in any encoding.

    A stream that was closed discards its output. Otherwise a log or an MPI connection could
    get its number, and receive what libraries print. Control characters, and characters
    that the encoding of a stream lacks, are written as escapes.

    Parameters
    ----------
    output_matters : bool
        Whether a failure to write standard output raises :class:`OutputError`. A failure to
        write standard error never does.
    """
    while (number := os.open(os.devnull, os.O_RDONLY)) <= _LAST:
        # It gets the lowest free number. It is not open for writing, so writing fails.
        os.set_inheritable(number, True)
    os.close(number)
    # Since 3.13 Python colours usage and tracebacks. Colours would be escaped.
    os.environ["PYTHON_COLORS"] = "0"
    sys.stdout = _open_stream(sys.stdout, sys.__stdout__, 1, matters=output_matters)
    sys.stderr = _open_stream(sys.stderr, sys.__stderr__, 2, matters=False)


def _open_stream(stream: Any, original: Any, number: int, *, matters: bool) -> Any:
    # Keep a stream that somebody has replaced, such as pytest.
    if not (stream is None or stream is original or isinstance(stream, _Text)):
        return stream
    return _Text(
        io.BufferedWriter(_Device(number, matters=matters)),
        encoding="utf-8" if stream is None else stream.encoding,
        errors="backslashreplace",
        # Python without buffers (PYTHONUNBUFFERED) writes through.
        line_buffering=stream is None or stream.line_buffering or stream.write_through,
        # Both text layers over these bytes keep their order.
        write_through=True,
    )


def unescaped(stream: Any) -> Any:
    """Return the stream under a standard one, which does not escape control characters.

    Use it only to draw on a terminal, and escape the texts: see :mod:`lad_mpi.console`.
    """
    return stream.unescaped if isinstance(stream, _Text) else stream


class _Text(io.TextIOWrapper):
    """A standard stream that escapes control characters."""

    def __init__(self, buffer: io.BufferedWriter, **options: Any) -> None:
        super().__init__(buffer, **options)
        self.unescaped = io.TextIOWrapper(buffer, **options)

    def write(self, text: str) -> int:
        """Write text, with control characters as escapes."""
        super().write(printable(text))
        return len(text)


class _Device(io.FileIO):
    """A standard stream that writes what it can."""

    def __init__(self, number: int, *, matters: bool) -> None:
        super().__init__(number, "w", closefd=False)
        self._matters = matters
        self._patience_ms = _PATIENCE_MS

    def write(self, data: Any) -> int:
        """Write some of the bytes; drop what cannot be written if output does not matter."""
        if self._matters:
            return self._write(data)
        with contextlib.suppress(OSError):
            if self._is_ready(self._patience_ms):
                self._patience_ms = _PATIENCE_MS
                # A pipe that is ready accepts this many bytes without waiting for its reader.
                return self._write(memoryview(data)[: select.PIPE_BUF])
            self._patience_ms = 0
        return len(data)

    def _write(self, data: Any) -> int:
        try:
            while (written := super().write(data)) is None:
                # Another process has made the terminal or pipe non-blocking.
                self._is_ready(None)
        except OSError as error:
            if not self._matters:
                raise
            if isinstance(error, BrokenPipeError):
                raise _ReaderGoneError("nobody reads the output") from error
            raise OutputError(f"cannot write the output: {error.strerror}") from error
        return written

    def _is_ready(self, patience_ms: int | None) -> bool:
        poll = select.poll()
        poll.register(self.fileno(), select.POLLOUT)
        return bool(poll.poll(patience_ms))
