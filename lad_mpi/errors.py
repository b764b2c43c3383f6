"""The tree of errors, each with the exit code of a command that it ends."""

from __future__ import annotations

import contextlib
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING

from lad_mpi.text import HINT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import ValidationError

#: Characters of a value that a message repeats.
_MOST_SHOWN = 200


class ExitCode(IntEnum):
    """Exit codes of every command."""

    OK = 0
    FAILED = 1
    USAGE = 2
    REGRESSION = 3
    UNFIT = 5
    CHECKPOINTED = 75


def first_mistake(error: ValidationError) -> str:
    """Return the first mistake that pydantic found, with its place, in one short line."""
    found = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(map(str, found["loc"]))
    text = found["msg"]
    return ": ".join(part[:_MOST_SHOWN] for part in (place, text) if part)


def shown(value: object) -> str:
    """Return a value from a file as a message shows it, cut if it is long.

    Examples
    --------
    >>> shown("a word")
    "'a word'"
    """
    try:
        text = repr(value)
    except ValueError:  # Python does not print an integer of thousands of digits.
        return "an integer of thousands of digits"
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"


class LadError(Exception):
    """Base of all errors that are messages for users.

    Parameters
    ----------
    message : str
        What is wrong and what was expected.
    hint : str, optional
        What to do about it.

    Attributes
    ----------
    relayed : bool
        Whether all ranks know about the error, so that none waits for this rank.
    """

    exit_code: ExitCode = ExitCode.FAILED
    relayed: bool = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}{HINT}{self.hint}" if self.hint else self.message


class UsageError(LadError):
    """A command line, a file name or an output that cannot be used."""

    exit_code = ExitCode.USAGE


class SpecError(UsageError):
    """A spec or study file that cannot be run.

    Parameters
    ----------
    key : str
        Dotted place in the file, ``aggregation.kind``; empty for the whole file.
    message, hint
        As in :class:`LadError`.
    """

    def __init__(self, key: str, message: str, *, hint: str = "") -> None:
        key = key if len(key) <= _MOST_SHOWN else f"{key[:_MOST_SHOWN]}…"
        super().__init__(f"{key}: {message}" if key else message, hint=hint)
        self.key = key


class ParameterError(ValueError):
    """A parameter of a component that is out of range.

    A component knows its parameter, but not the file. :mod:`lad_mpi.spec` turns this into a
    :class:`SpecError` with the full key.

    Parameters
    ----------
    parameter : str
        Name of the field.
    message : str
        What was expected and what was found.
    hint : str, optional
        What to do about it.
    """

    def __init__(self, parameter: str, message: str, *, hint: str = "") -> None:
        super().__init__(f"{parameter}: {message}")
        self.parameter = parameter
        self.message = message
        self.hint = hint


class DataError(UsageError):
    """A data file that is missing, malformed or holds values that are not finite."""


class BackendError(LadError):
    """The array library or the device of the spec is not available."""

    exit_code = ExitCode.UNFIT


class UnfitError(LadError):
    """An environment in which a run could not be trusted."""

    exit_code = ExitCode.UNFIT


class TransportError(LadError):
    """The ranks do not form the MPI world that the launcher announced."""

    exit_code = ExitCode.UNFIT


class SharedMemoryError(TransportError):
    """A host has too little shared memory for MPI. Only the ranks of that host find this."""


class SchedulerError(LadError):
    """A command of the scheduler is missing, fails, or gives an unexpected answer."""


class LogFormatError(LadError):
    """A file is not a log of this suite, or has another version of the format."""


class RunFailedError(LadError):
    """A run started and could not continue."""


class AgreedError(LadError):
    """An error that every rank raises, because one of them failed.

    Parameters
    ----------
    message : str
        The message of the rank that failed, hint included; empty if that rank prints it.
    exit_code : ExitCode
        The exit code of its error.
    """

    def __init__(self, message: str, exit_code: ExitCode) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.relayed = True


def is_gpu_error(error: BaseException) -> bool:
    """Return whether an error is one of CuPy, whose names need an import of CuPy."""
    return type(error).__module__.partition(".")[0] in ("cupy", "cupy_backends")


def as_lad_error(error: BaseException) -> LadError | None:
    """Return the message about an error; None if the error is a bug.

    A lack of memory, a failing GPU and an unusable file are not bugs, wherever they occur.

    Parameters
    ----------
    error : BaseException
        Any error.

    Returns
    -------
    LadError or None
        The error itself if it is one already.
    """
    if isinstance(error, LadError):
        return error
    if isinstance(error, MemoryError):
        return RunFailedError(
            f"not enough memory: {error}".removesuffix(": "),
            hint='take fewer ranks a node, a smaller problem or backend.dtype = "float32"; see '
            "the limits of the job and of ulimit -v",
        )
    if is_gpu_error(error):
        return BackendError(
            f"the GPU cannot be used: {type(error).__name__}: {error}",
            hint="run lad-mpi doctor to see what is known about it",
        )
    if isinstance(error, OSError):
        return _tell(error)
    if isinstance(error, ImportError):
        return UnfitError(
            f"cannot be imported: {error}",
            hint="check that the package is complete in this environment, and that memory is free",
        )
    return None


def _tell(error: OSError) -> LadError:
    if error.filename is not None:
        return LadError(f"{error.filename}: {error.strerror}")
    try:
        Path.cwd()
    except FileNotFoundError:
        return UsageError("the working directory is gone", hint="go to a folder that exists")
    return LadError(error.strerror or str(error))


@contextlib.contextmanager
def told_errors() -> Iterator[None]:
    """Raise the message of :func:`as_lad_error` for an error that has one."""
    try:
        yield
    except Exception as error:
        told = as_lad_error(error)
        if told is None or told is error:
            raise
        raise told from error
