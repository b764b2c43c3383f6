"""What commands share at the terminal: streams that end no run, and errors for a person.

A person redirects standard output and error to a disk that fills up, closes them, or
ends the pager that reads them. None of that may decide what becomes of a run. So
a command begins with :func:`run_command`, which puts streams in place that do not
fail, except if the output is all that the command is for. Whatever a command writes,
these streams escape the control characters in it, which may come from anybody's file.
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

from lad_mpi.errors import AgreedError, ExitCode, LadError, UsageError, as_lad_error
from lad_mpi.launchers import announced_rank
from lad_mpi.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: Number of standard error, the last of the standard streams.
_LAST = 2
#: For how long a reader that does not read may hold up a run, once.
_PATIENCE_MS = 2000


class OutputError(LadError):
    """Output that is the purpose of a command and cannot be written."""


class _ReaderGoneError(LadError):
    """Nobody reads the output any more, as with ``| head``; nothing is wrong."""

    exit_code = ExitCode.OK


def run_command(
    parser: argparse.ArgumentParser,
    arguments: Sequence[str] | None,
    act: Callable[[argparse.Namespace], int],
    *,
    name: str,
) -> int:
    """Parse the arguments of a command, carry it out, and return its exit code.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Of the arguments; it must give ``verbose``.
    arguments : sequence of str, optional
        By default those of the process.
    act : callable
        Carries the command out and returns its exit code.
    name : str
        With which messages begin.

    Notes
    -----
    An exception that is no :class:`~lad_mpi.errors.LadError` is a mistake in the code.
    It is told as one, in a line, and with its traceback if ``verbose`` is set.
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
        # Before there was anything to end in order.
        return 128 + signal.SIGINT
    except Exception as error:  # noqa: BLE001  (a person must not meet a traceback)
        return _report(error, name, verbose=verbose)


def _report(error: Exception, name: str, *, verbose: bool = False) -> int:
    """Tell what went wrong, once for all ranks, and return the exit code."""
    if isinstance(error, (OutputError, _ReaderGoneError)):
        # So that Python can flush what is left of the output at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    told = describe(error)
    if announced_rank() == 0 and not isinstance(error, (AgreedError, _ReaderGoneError)):
        if verbose:
            traceback.print_exception(error)
        sys.stderr.write(f"{name}: error: {told}\n")
    return int(told.exit_code)


def path_argument(text: str) -> Path:
    """Return the path that an argument names; an empty one is a mistake, such as ``-o "$OUT"``."""
    if not text:
        raise argparse.ArgumentTypeError("expected a path, found an empty text")
    return Path(text)


def describe(error: BaseException) -> LadError:
    """Return what to tell a person about any error; of a mistake in the code, its place."""
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
        return LadError(
            f"MPI failed: {error}", hint="lad-mpi doctor on the same ranks tells what it can see"
        )
    *_, frame = traceback.extract_tb(error.__traceback__) or [None]
    where = "" if frame is None else f" ({Path(frame.filename).name}, line {frame.lineno})"
    return LadError(
        f"{type(error).__name__}: {error}".removesuffix(": ") + where,
        hint="this is a bug in lad_mpi or in a component; -v shows the traceback to report",
    )


def open_streams(*, output_matters: bool = True) -> None:
    """Put standard streams in place that write what they can, in any encoding.

    Streams that were closed lead nowhere: otherwise a log or a connection of MPI could get
    their number, and what libraries print would go there. Control characters, and
    characters that the encoding of a stream does not have, are written as escapes.

    Parameters
    ----------
    output_matters : bool
        Whether standard output that cannot be written raises :class:`OutputError`. What
        goes to standard error never does.
    """
    while (number := os.open(os.devnull, os.O_RDONLY)) <= _LAST:
        # It is the lowest that was free. Not open for writing, so that writing fails.
        os.set_inheritable(number, True)
    os.close(number)
    # Python colours usage and tracebacks itself, since 3.13, and colours would be escaped.
    os.environ["PYTHON_COLORS"] = "0"
    sys.stdout = _open_stream(sys.stdout, sys.__stdout__, 1, matters=output_matters)
    sys.stderr = _open_stream(sys.stderr, sys.__stderr__, 2, matters=False)


def _open_stream(stream: Any, original: Any, number: int, *, matters: bool) -> Any:
    # Whoever has put another stream in place, such as pytest, wants that one.
    if not (stream is None or stream is original or isinstance(stream, _Text)):
        return stream
    return _Text(
        io.BufferedWriter(_Device(number, matters=matters)),
        encoding="utf-8" if stream is None else stream.encoding,
        errors="backslashreplace",
        # Python without buffers (PYTHONUNBUFFERED) writes through.
        line_buffering=stream is None or stream.line_buffering or stream.write_through,
        # Both texts over these bytes keep their order.
        write_through=True,
    )


def unescaped(stream: Any) -> Any:
    """Return the stream under a standard one that takes control characters.

    Only for what draws on a terminal and escapes the texts in it itself, see
    :mod:`lad_mpi.console`.
    """
    return stream.unescaped if isinstance(stream, _Text) else stream


class _Text(io.TextIOWrapper):
    """A standard stream of this module, which commands no terminal."""

    def __init__(self, buffer: io.BufferedWriter, **options: Any) -> None:
        super().__init__(buffer, **options)
        self.unescaped = io.TextIOWrapper(buffer, **options)

    def write(self, text: str) -> int:
        """Write text with its control characters as escapes."""
        super().write(printable(text))
        return len(text)


class _Device(io.FileIO):
    """A standard stream that writes what it can."""

    def __init__(self, number: int, *, matters: bool) -> None:
        super().__init__(number, "w", closefd=False)
        self._matters = matters
        self._patience_ms = _PATIENCE_MS

    def write(self, data: Any) -> int:
        """Write some of the bytes; where they do not matter, drop what cannot be written."""
        if self._matters:
            return self._write(data)
        with contextlib.suppress(OSError):
            if self._is_ready(self._patience_ms):
                self._patience_ms = _PATIENCE_MS
                # A pipe that is ready takes so much without waiting for its reader.
                return self._write(memoryview(data)[: select.PIPE_BUF])
            self._patience_ms = 0
        return len(data)

    def _write(self, data: Any) -> int:
        try:
            while (written := super().write(data)) is None:
                # Somebody else has made the terminal or pipe one that does not wait.
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
