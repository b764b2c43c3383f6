"""Two users of one machine: neither has the other's run write, read or wait where it should not.

Anna runs the suite in a folder of her group. Bert may write there too, and plants what he
likes. Everything that is Anna's alone lies in her home.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import pytest

from lad_mpi.cli.main import main
from lad_mpi.logs import read_log, validate_log

ANNA, BERT = 64991, 64992
SPEC = """
name = "anna"
iterations = 40
data = { dimension = 6 }
devices = { count = 10, byzantine = 2 }
logging = { flush_every = 5 }
safety = { checkpoint_every = 10 }
"""
#: Names beside a log that the suite makes or reads.
BESIDE = (".run.h5.lock", ".run.h5.part", ".run.h5.00000000.part", "run.checkpoint-000000010.npz")


@pytest.fixture
def home():
    """Anna's home, with what is hers alone."""
    # Not below pytest's own folder, which only root can enter.
    folder = Path(tempfile.mkdtemp(prefix="lad-mpi-anna-", dir="/tmp"))
    (folder / "secret").write_text("anna's own")
    (folder / "spec.toml").write_text(SPEC)
    for path in (folder, *folder.iterdir()):
        os.chown(path, ANNA, -1)
    folder.chmod(0o700)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module", autouse=True)
def _imported(tmp_path_factory):
    """Import what commands import when they run: Anna may not be allowed to read it."""
    folder = tmp_path_factory.mktemp("root")
    (folder / "spec.toml").write_text(SPEC)
    assert main(["run", str(folder / "spec.toml"), "-o", str(folder / "x.h5"), "--quiet"]) == 0


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def empty(folder):
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)


def run(home, *arguments):
    """Return what lets Anna run her spec, and expects one of the exit codes of the design."""

    def act():
        # A hang is an error here, and an error in a child is one of its parent.
        signal.alarm(20)
        code = main(["run", str(home / "spec.toml"), "--quiet", *map(str, arguments)])
        assert code in {0, 1, 2, 75}, code
        sys.stderr.flush()

    return act


PLANTS = {
    "link": lambda path, home: path.symlink_to(home / "secret"),
    "dangling link": lambda path, home: path.symlink_to(home / ".profile"),
    "fifo": lambda path, home: os.mkfifo(path, 0o666),
    "device": lambda path, home: path.symlink_to("/dev/zero"),
    "folder": lambda path, home: path.mkdir(),
}


@pytest.mark.parametrize("existing", [(), ("--overwrite",), ("--resume",)], ids=str)
@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS)
def test_what_is_planted_is_neither_written_nor_waited_for(
    group_folder, home, as_user, plant, existing
):
    before = contents(home)
    for name in ("run.h5", *BESIDE):
        path = group_folder / name
        as_user(BERT, 0o000, lambda path=path: plant(path, home))
        as_user(ANNA, 0o022, run(home, "-o", group_folder / "run.h5", *existing))
        assert contents(home) == before
        empty(group_folder)


def test_a_link_to_a_log_of_hers_is_not_followed_for_writing(group_folder, home, as_user):
    as_user(ANNA, 0o077, run(home, "-o", home / "thesis.h5"))
    before = contents(home)
    link = group_folder / "run.h5"
    as_user(BERT, 0o022, lambda: link.symlink_to(home / "thesis.h5"))
    as_user(ANNA, 0o022, run(home, "-o", link, "--overwrite"))
    assert contents(home) == before
    assert link.is_symlink()


def test_her_files_are_for_her_alone_if_she_wants(group_folder, home, as_user):
    output = group_folder / "run.h5"
    as_user(ANNA, 0o077, run(home, "-o", output))
    assert output.stat().st_mode & 0o777 == 0o600

    def looks():
        with pytest.raises(PermissionError):
            output.read_bytes()

    as_user(BERT, 0o022, looks)


def test_what_is_swapped_while_she_runs_is_not_followed(group_folder, home, as_user):
    before = contents(home)
    output = group_folder / "run.h5"
    bert = os.fork()
    if bert == 0:
        try:
            os.setgid(group_folder.stat().st_gid)
            os.setuid(BERT)
            _swap_for_ever(group_folder, home / "secret")
        finally:
            os._exit(1)
    try:
        for _ in range(10):
            # Otherwise all but the first end at Bert's link.
            empty(group_folder)
            as_user(ANNA, 0o022, run(home, "-o", output, "--overwrite"))
            assert contents(home) == before
    finally:
        os.kill(bert, signal.SIGKILL)
        os.waitpid(bert, 0)
    empty(group_folder)
    as_user(ANNA, 0o022, run(home, "-o", output))
    assert validate_log(output) == []
    assert read_log(output).status == "complete"


def _swap_for_ever(folder, target):
    """Put links in place of whatever appears, drafts included."""
    for turn in itertools.count():
        for path in folder.iterdir():
            if turn % 3 or ".part" in path.name:
                try:
                    path.unlink()
                    path.symlink_to(target)
                except OSError:
                    continue
        time.sleep(0.002)
