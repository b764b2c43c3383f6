"""Messages for users, and output streams that escape what they cannot write."""

from __future__ import annotations

import argparse
import errno
import os
import sys

import pytest

from lad_mpi.errors import BackendError, LadError, UsageError, as_lad_error, told_errors
from lad_mpi.terminal import (
    OutputError,
    describe,
    open_streams,
    path_argument,
    run_command,
    unescaped,
)


def parser():
    made = argparse.ArgumentParser(prog="tool")
    made.add_argument("-v", "--verbose", action="store_true")
    made.add_argument("path", type=path_argument, nargs="?")
    return made


def raising(error):
    def act(options):
        raise error

    return act


def test_a_bug_is_reported_in_one_line_without_traceback(capsys):
    code = run_command(parser(), [], raising(ZeroDivisionError("by zero")), name="tool")
    assert code == 1
    line, hint = capsys.readouterr().err.splitlines()
    assert line.startswith("tool: error: ZeroDivisionError: by zero (test_terminal.py, line ")
    assert "this is a bug" in hint
    assert "-v shows the traceback" in hint


def test_the_traceback_of_a_bug_is_shown_on_request(capsys):
    code = run_command(parser(), ["-v"], raising(ZeroDivisionError("by zero")), name="tool")
    told = capsys.readouterr().err
    assert code == 1
    assert told.startswith("Traceback (most recent call last):")
    assert "tool: error: ZeroDivisionError: by zero" in told


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (UsageError("no such thing", hint="look"), 2, "no such thing\n  hint: look"),
        (MemoryError(), 1, "not enough memory\n"),
        (MemoryError("4 GiB"), 1, "not enough memory: 4 GiB\n"),
        (ImportError("No module named 'h5py'"), 5, "cannot be imported: No module named 'h5py'"),
        (PermissionError(errno.EACCES, "Permission denied", "a/b"), 1, "a/b: Permission denied"),
        (OSError(errno.EIO, "Input/output error"), 1, "Input/output error"),
        (OSError("unable to flush"), 1, "unable to flush"),
        (UnicodeEncodeError("ascii", "κ.h5", 0, 1, "ordinal"), 2, "'κ.h5' cannot be a file name"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_errors_of_the_machine_are_not_reported_as_bugs(capsys, error, code, words):
    assert run_command(parser(), [], raising(error), name="tool") == code
    told = capsys.readouterr().err
    assert told.startswith(f"tool: error: {words}")
    assert "bug" not in told


def test_errors_of_a_gpu_and_of_mpi_are_reported_as_such():
    class CUDARuntimeError(Exception):
        __module__ = "cupy_backends.cuda.api.runtime"

    class MpiError(Exception):
        __module__ = "mpi4py.MPI"

    assert isinstance(as_lad_error(CUDARuntimeError("out of memory")), BackendError)
    assert "MPI failed: truncated" in str(describe(MpiError("truncated")))
    # After a failed collective the state of the other ranks is unknown.
    assert as_lad_error(MpiError("truncated")) is None


def test_told_errors_does_not_change_unknown_errors():
    with pytest.raises(LadError, match="not enough memory"), told_errors():
        raise MemoryError
    with pytest.raises(ZeroDivisionError), told_errors():
        raise ZeroDivisionError
    original = UsageError("mine")
    with pytest.raises(UsageError) as raised, told_errors():
        raise original
    assert raised.value is original


def test_an_empty_path_is_refused(capsys):
    assert run_command(parser(), [""], lambda options: 0, name="tool") == 2
    assert "argument path: expected a path, found an empty text" in capsys.readouterr().err


@pytest.fixture
def standard_output(monkeypatch, tmp_path):
    """Standard output of this process, opened on another file as the interpreter does."""
    before = os.dup(1)

    def open_on(target, encoding="ascii"):
        os.dup2(target, 1)
        original = open(1, "w", encoding=encoding, errors="strict", closefd=False)  # noqa: SIM115
        monkeypatch.setattr(sys, "stdout", original)
        monkeypatch.setattr(sys, "__stdout__", original)

    yield open_on
    os.dup2(before, 1)
    os.close(before)


def test_characters_that_a_stream_does_not_have_are_written_as_escapes(standard_output, tmp_path):
    path = tmp_path / "output"
    with path.open("wb") as file:
        standard_output(file.fileno())
        open_streams()
        sys.stdout.write("κ … \udcff é\n")
        sys.stdout.flush()
    assert path.read_bytes() == b"\\u03ba \\u2026 \\udcff \\xe9\n"


def test_control_characters_are_written_as_escapes_except_beside_the_stream(
    standard_output, tmp_path
):
    path = tmp_path / "output"
    with path.open("wb") as file:
        standard_output(file.fileno(), encoding="utf-8")
        open_streams()
        assert sys.stdout.write("a\x1b[2J\n") == 6
        unescaped(sys.stdout).write("\x1b[1m")
        sys.stdout.writelines(["\tb\r", "\x9b\u202e\u2028é\n"])
        print("\x7f", end="", file=sys.stdout)
        sys.stdout.flush()
    assert path.read_bytes().decode() == (
        "a\\u001b[2J\n\x1b[1m\tb\\u000d\\u009b\\u202e\\u2028é\n\\u007f"
    )


def test_output_that_cannot_be_written_is_an_error_only_if_it_matters(standard_output):
    with open("/dev/full", "wb", buffering=0) as full:  # noqa: PTH123
        standard_output(full.fileno())
    open_streams()
    sys.stdout.write("text")
    with pytest.raises(OutputError, match="cannot write the output: No space left on device"):
        sys.stdout.flush()
    open_streams(output_matters=False)
    sys.stdout.write("text")
    sys.stdout.flush()


def test_a_large_output_through_a_pipe_that_does_not_wait_is_written_whole(standard_output):
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    child = os.fork()
    if child == 0:
        os.close(writing)
        os._exit(sum(len(data) for data in iter(lambda: os.read(reading, 65536), b"")) != 10**6)
    os.close(reading)
    standard_output(writing)
    os.close(writing)
    open_streams()
    sys.stdout.write("x" * 10**6)
    sys.stdout.flush()
    with open("/dev/null", "wb") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), 1)
    assert os.waitpid(child, 0)[1] == 0
