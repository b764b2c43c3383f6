"""No text of a file commands the terminal of whoever looks at the file."""

from __future__ import annotations

import csv
import json
import os
import pty
import re
import subprocess
import sys

import h5py
import pytest

from lad_mpi.cli.main import main
from lad_mpi.logs import read_log

#: Clears the screen, sets the title, begins a line of its own, and turns the direction about.
NASTY = "=a\x1b[2J\x1b]0;b\x07\r\nrun 2 complete\x9b31m\u202e\u2028"
SHOWN = r"=a\u001b[2J\u001b]0;b\u0007\u000d\u000arun 2 complete\u009b31m\u202e\u2028"
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
STUDY = r"""
description = "all\u001b[2J"
[base]
iterations = 5
data = { dimension = 6 }
devices = { count = 10, byzantine = 2 }
[axes]
seed = [1, 2]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A study with a complete log, a failed one, and an own file of HDF5, all of odd texts."""
    place = tmp_path_factory.mktemp("hostile")
    (place / "study.toml").write_text(STUDY)
    assert main(["study", "run", str(place / "study.toml"), "-o", str(place / "out"), "-q"]) == 0
    for number, path in enumerate(sorted((place / "out").glob("*.h5"))):
        with h5py.File(path, "r+") as file:
            file.attrs["names"] = [NASTY]
            if number:
                file.attrs["status"], file.attrs["failure"] = "failed", NASTY
            provenance = file["provenance"].attrs
            for name in ("command", "cpu_model", "mpi_library", "git_revision"):
                provenance[name] = NASTY
            for name in ("hosts", "remarks", "devices"):
                provenance[name] = [NASTY]
            phases = file["timing/phase"]
            phases[phases[:] == b"compute"] = NASTY.encode()
            attributes = file["timing/seconds"].attrs
            attributes["training_phases"] = [
                NASTY if name == "compute" else name for name in attributes["training_phases"]
            ]
    (place / "out" / "\x1b[2J.h5").write_bytes(b"none")
    with h5py.File(place / "out" / "other.h5", "w") as file:
        file.attrs["format"] = NASTY
    return place


@pytest.fixture
def look(folder):
    """Run lad-mpi in the folder; return its code and what it printed."""

    def call(*arguments):
        done = subprocess.run(
            [sys.executable, "-m", "lad_mpi", *arguments],
            cwd=folder,
            env={**os.environ, "COLUMNS": "300"},
            capture_output=True,
            timeout=60,
            check=False,
        )
        # Universal newlines would hide a carriage return.
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    return call


LOGS = ("out/run-s1*.h5", "out/run-s2*.h5")


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", LOGS[0]),
        ("show", LOGS[1], "--json"),
        ("validate", "out/*.h5", "study.toml"),
        ("study", "plan", "study.toml", "-o", "out"),
        ("study", "status", "study.toml", "-o", "out"),
        ("study", "status", "study.toml", "-o", "out", "--json"),
        ("analysis", "table", "out"),
        ("analysis", "table", "out", "--json"),
        ("analysis", "table", "out", "--csv"),
        ("analysis", "figures", "out", "-o", "figures"),
        ("analysis", "table", "out/none\x1b[2J"),
        ("run", "none\x1b[2J.toml"),
        ("run", "study.toml", "--odd\x1b[2J"),
    ],
    ids=" ".join,
)
def test_no_command_prints_a_control_character(look, folder, arguments):
    words = [
        str(path.relative_to(folder)) if "*" in word else word
        for word in arguments
        for path in (sorted(folder.glob(word)) if "*" in word else [folder])
    ]
    code, output, errors = look(*words)
    assert code in (0, 1, 2)
    assert "Traceback" not in errors
    assert not OBEYED.search(output + errors)
    assert r"\u001b" in output + errors or "--json" in arguments or "plan" in arguments


def test_values_stay_in_one_line(look, folder):
    (log,) = folder.glob(LOGS[1])
    _, output, _ = look("show", str(log))
    assert f"failure                       {SHOWN}\n" in output
    assert not re.search("^run 2 complete", output, re.MULTILINE)
    _, output, _ = look("study", "status", "study.toml", "-o", "out")
    assert SHOWN in output
    _, output, errors = look("analysis", "figures", "out", "-o", "figures")
    assert any(line.count(SHOWN) == 2 for line in errors.splitlines())


def test_json_stays_whole_and_means_the_same(look, folder):
    (log,) = folder.glob(LOGS[1])
    assert json.loads(look("show", str(log), "--json")[1])["failure"] == NASTY
    records = json.loads(look("analysis", "table", "out", "--json")[1])["records"]
    assert NASTY in {record["method"] for record in records}


def test_cells_that_a_spreadsheet_would_compute_are_guarded(look):
    heads, *rows = csv.reader(look("analysis", "table", "out", "--csv")[1].splitlines())
    assert all(cell[:1] not in "=+-@\t\r" for cell in heads if cell)
    assert {f"'{SHOWN}_s", f"'{SHOWN}_s_mean"} < {*heads}
    assert all(row[heads.index("method")].startswith("'=a") for row in rows if row[0])


def terminal(*arguments, cwd):
    """Run lad-mpi on a terminal; return what reaches it."""
    leading, following = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "lad_mpi", *arguments],
        cwd=cwd,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "200"},
        stdin=following,
        stdout=following,
        stderr=following,
    )
    os.close(following)
    output = b""
    try:
        while part := os.read(leading, 65536):
            output += part
    except OSError:
        # Nobody has the other end any more.
        pass
    assert process.wait(timeout=60) == 0
    os.close(leading)
    return output.decode()


def test_tables_on_a_terminal_have_styles_and_obey_no_cell(folder):
    output = terminal("analysis", "table", "out", cwd=folder)
    assert "\x1b[1mErrors\x1b[0m" in output
    assert r"=a\u001b[2J" in output
    assert "\x1b[2J" not in output
    assert not OBEYED.search(re.sub(r"\x1b\[[0-9;]*m|\r\n", "", output))


def test_a_bar_is_drawn_on_a_terminal(tmp_path):
    spec = "iterations = 300\ndata = { dimension = 6 }\ndevices = { count = 10, byzantine = 2 }\n"
    (tmp_path / "spec.toml").write_text(f'name = "tiny"\n{spec}')
    output = terminal("run", "spec.toml", "-o", "run.h5", cwd=tmp_path)
    assert "━" in output
    assert "tiny (seed 1)" in output
    assert "\x1b[2K" in output
    assert r"\u001b" not in output
    assert output.endswith("run.h5\r\n")
    assert read_log(tmp_path / "run.h5").status == "complete"
