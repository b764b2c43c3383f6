"""``lad-mpi analysis`` is ``python -m analysis``, and no other package of that name."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lad_mpi.cli.main import main

#: Python looks for modules in the current folder first; the script that pip installs does not.
MODULE = [sys.executable, "-m", "lad_mpi"]
SCRIPT = [str(Path(sys.executable).with_name("lad-mpi"))]
ANALYSIS = [sys.executable, "-m", "analysis"]


def call(command, folder, **environment):
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "COLUMNS": "80", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def log(tmp_path):
    (tmp_path / "spec.toml").write_text("iterations = 3\ndata = { dimension = 4 }\n")
    assert main(["run", str(tmp_path / "spec.toml"), "-o", str(tmp_path / "run.h5"), "-q"]) == 0
    return tmp_path / "run.h5"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["table", "run.h5"], 0),
        (["table", "run.h5", "--csv", "--target", "1e9"], 0),
        (["--help"], 0),
        (["table", "-h"], 0),
        (["table", "absent"], 2),
        (["table", "run.h5", "--json", "--csv"], 2),
        (["tabel", "run.h5"], 2),
        ([], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_both_commands_print_and_end_alike(log, arguments, code):
    ours = call([*SCRIPT, "analysis", *arguments], log.parent)
    plain = call([*ANALYSIS, *arguments], log.parent)
    assert (ours.stdout, ours.stderr) == (plain.stdout, plain.stderr)
    assert ours.returncode == plain.returncode == code
    for line in ours.stderr.splitlines():
        assert line.startswith(("usage: lad-mpi analysis", "lad-mpi analysis", "  "))


def test_the_command_is_listed_with_the_others(capsys):
    assert main(["--help"]) == 0
    assert "analysis  make tables and figures from logs" in capsys.readouterr().out


@pytest.mark.parametrize("shadow", ["analysis.py", "analysis/__init__.py", "analysis/data.csv"])
@pytest.mark.parametrize("place", ["folder", "path"])
def test_another_analysis_is_neither_run_nor_taken_for_this_one(log, tmp_path, place, shadow):
    folder = log.parent if place == "folder" else tmp_path / "other"
    path = folder / shadow
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"open({str(tmp_path / 'was_run')!r}, 'w')\n")
    paths = os.environ.get("PYTHONPATH", "")
    if place == "path":
        paths = os.pathsep.join([str(folder), paths])
    for program in (SCRIPT, MODULE):
        done = call([*program, "analysis", "table", "run.h5"], log.parent, PYTHONPATH=paths)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("Errors")
        done = call([*program, "forecast", "run.h5"], log.parent, PYTHONPATH=paths)
        assert "every method was launched once" in done.stderr
    assert not (tmp_path / "was_run").exists()
