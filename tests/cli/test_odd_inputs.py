"""Whatever an argument names, a person gets a message and not a traceback."""

from __future__ import annotations

import subprocess
import sys

import h5py
import pytest

from lad_mpi.cli.main import main

PATHS = (
    "",
    ".",
    "..",
    "/",
    "absent",
    "folder",
    "folder.h5",
    "empty",
    "empty.h5",
    "empty.toml",
    "bytes.h5",
    "bytes.toml",
    "foreign.h5",
    "dangling.h5",
    "loop.h5",
    "spec.toml/x",
    "x" * 300,
    "x/" * 3000,
    "a\nb",
    "deep.json",
)
COMMANDS = (
    "show {}",
    "show {} --json",
    "validate {}",
    "run {} --dry-run",
    "study plan {}",
    "study status {}",
    "study submit {} --dry-run --cluster test",
    "study submit study.toml --dry-run --cluster {}",
    "scale strong {} --dry-run",
    "forecast {}",
    "baseline --quick --against {}",
    "components {}",
)


@pytest.fixture
def odd(tmp_path, monkeypatch):
    """A folder of files that are no logs, specs or studies."""
    monkeypatch.chdir(tmp_path)
    for name in ("folder", "folder.h5"):
        (tmp_path / name).mkdir()
    for name in ("empty", "empty.h5", "empty.toml"):
        (tmp_path / name).touch()
    for name in ("bytes.h5", "bytes.toml"):
        (tmp_path / name).write_bytes(bytes(range(256)))
    with h5py.File("foreign.h5", "w") as file:
        file.create_dataset("nothing", data=h5py.Empty("f8"))
        file.attrs["format"] = [1, 2]
    (tmp_path / "dangling.h5").symlink_to("nowhere")
    (tmp_path / "loop.h5").symlink_to("loop.h5")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "spec.toml").write_text("iterations = 3\ndata = { dimension = 6 }\n")
    (tmp_path / "study.toml").write_text("[base]\ndata = { dimension = 6 }\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_odd_paths_are_refused_in_words(odd, capsys, command):
    # These search folders, and all of the file system takes a minute.
    searches = command.startswith(("show", "validate", "forecast"))
    for path in PATHS:
        if searches and path == "/":
            continue
        code = main([path if word == "{}" else word for word in command.split()])
        told = "".join(capsys.readouterr())
        assert code in {0, 1, 2}, (path, told)
        assert told, path
        assert "Traceback" not in told, path
        assert "bug" not in told, (path, told)


def test_an_hdf5_file_without_data_is_refused_in_words(odd, capsys):
    assert main(["show", "foreign.h5"]) == 1
    assert "foreign.h5 is an HDF5 file, but not a log of lad_mpi" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["run", "{}/spec.toml", "-q"], 2),
        (["run", "{}/spec.toml", "-q", "-o", "{}/out.h5"], 0),
        (["study", "plan", "{}/study.toml"], 0),
        (["show", "out.h5"], 2),
    ],
)
def test_commands_without_a_working_directory(odd, tmp_path, arguments, code):
    gone = tmp_path / "gone"
    gone.mkdir()
    enter = 'cd "$1"; rmdir "$1"; shift; exec "$@"'
    lad = [sys.executable, "-m", "lad_mpi", *(text.format(tmp_path) for text in arguments)]
    done = subprocess.run(
        ["sh", "-c", enter, "sh", str(gone), *lad],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    if arguments == ["run", "{}/spec.toml", "-q"]:
        assert "the working directory is gone" in done.stderr
