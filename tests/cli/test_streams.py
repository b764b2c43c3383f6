"""Printing decides no run, and a text of any encoding can be printed."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys

import pytest

from lad_mpi.logs import read_log

STUDY = """
[base]
iterations = 20
data = { dimension = 6 }
devices = { count = 10, byzantine = 2 }
[axes]
seed = [1, 2]
"""


@pytest.fixture
def shell(command, tmp_path):
    """Run a line of a shell beside spec.toml and study.toml, in which LAD is lad-mpi."""
    (tmp_path / "study.toml").write_text(STUDY)
    mpirun, *_ = command()

    def call(line, *, ranks=1, **environment):
        line = line.replace("LAD", f"exec {sys.executable} -m lad_mpi")
        launcher = [] if ranks == 1 else [mpirun, "-n", str(ranks)]
        return subprocess.run(
            [*launcher, "bash", "-o", "pipefail", "-c", line],
            cwd=tmp_path,
            env={**os.environ, **environment},
            capture_output=True,
            timeout=60,
            check=False,
        )

    return call


RUN = "run spec.toml -o out/run.h5"
STUDY_RUN = "study run study.toml -o out"
FULL, CLOSED, GONE = ">/dev/full 2>/dev/full", "<&- >&- 2>&-", "2>&1 | true"


@pytest.mark.parametrize(
    ("arguments", "redirection", "ranks"),
    [
        (RUN, FULL, 1),
        (RUN, GONE, 1),
        (STUDY_RUN, FULL, 1),
        (STUDY_RUN, CLOSED, 1),
        (STUDY_RUN, FULL, 3),
        (STUDY_RUN, CLOSED, 3),
    ],
)
def test_runs_complete_wherever_they_print(shell, tmp_path, arguments, redirection, ranks):
    done = shell(f"LAD {arguments} {redirection}", ranks=ranks)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    found = [read_log(path).status for path in tmp_path.glob("out/*.h5")]
    assert found == ["complete"] * (2 if arguments == STUDY_RUN else 1)
    assert not list(tmp_path.glob("out/*.txt"))


def test_a_run_does_not_wait_for_a_reader_that_does_not_read(command, tmp_path):
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writing, b"\n" * 4096)
    program = command("run", "spec.toml", "-o", "out.h5")[3:]
    done = subprocess.run(program, cwd=tmp_path, stderr=writing, timeout=60, check=False)
    os.close(writing)
    os.close(reading)
    assert done.returncode == 0
    assert read_log(tmp_path / "out.h5").status == "complete"


@pytest.mark.parametrize(
    ("arguments", "redirection", "reason"),
    [
        ("study plan study.toml", ">/dev/full", b"No space left on device"),
        ("run spec.toml --dry-run", ">/dev/full", b"No space left on device"),
        ("components --json", ">&-", b"Bad file descriptor"),
        ("--help", ">/dev/full", b"No space left on device"),
    ],
)
def test_output_that_is_the_purpose_of_a_command_must_not_be_lost(
    shell, arguments, redirection, reason
):
    done = shell(f"LAD {arguments} {redirection}")
    assert done.returncode == 1
    assert done.stderr == b"lad-mpi: error: cannot write the output: " + reason + b"\n"


def test_a_reader_that_has_read_enough_is_no_error(shell):
    done = shell("LAD study plan study.toml | head -0; exit ${PIPESTATUS[0]}")
    assert (done.returncode, done.stderr) == (0, b"")


SEVERAL = "import sys; from lad_mpi.cli.main import main; [main(a.split()) for a in sys.argv[1:]]"
COMMANDS = ("components", "study plan study.toml", "doctor", "show out.h5", "validate nö.h5")


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=["ascii", "latin-1", "LC_ALL=C"],
)
def test_tables_are_printed_on_terminals_of_any_encoding(shell, tmp_path, environment):
    (tmp_path / "study.toml").write_text(STUDY.replace("[base]", "[base]\nname = 'κ = Q²'"))
    assert shell("LAD run spec.toml --set name=κ -q -o out.h5").returncode == 0
    commands = " ".join(f"'{command}'" for command in COMMANDS)
    done = shell(f'{sys.executable} -c "{SEVERAL}" {commands}', **environment)
    assert done.returncode == 0, done.stderr
    assert b"Error" not in done.stderr
    assert b"\\u03ba" in done.stdout
    assert b"does not exist" in done.stdout
