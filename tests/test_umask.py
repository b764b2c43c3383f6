"""Files get the mode of the user's umask, and never more permissions."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time

import pytest

from lad_mpi.slurm.record import Submission, write_submissions

SPEC = """
iterations = 100000
data = { dimension = 6 }
devices = { count = 10, byzantine = 2 }
safety = { checkpoint_every = 20 }
logging = { flush_every = 20 }
"""


@pytest.fixture(params=[0o077, 0o002], ids=oct)
def mode(request):
    """Set a umask; return the mode of files created with it."""
    before = os.umask(request.param)
    yield 0o666 & ~request.param
    os.umask(before)


def modes(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in files}


def lad(*arguments, cwd):
    return subprocess.Popen([sys.executable, "-m", "lad_mpi", *arguments], cwd=cwd)


def test_whatever_is_written_has_the_mode_of_the_umask(tmp_path, mode):
    folder = tmp_path / "out"
    (tmp_path / "spec.toml").write_text(SPEC)
    process = lad("run", "spec.toml", "-o", "out/run.h5", "--progress", "none", cwd=tmp_path)
    deadline = time.monotonic() + 30
    while not list(folder.glob("*checkpoint-*.npz")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    # The lock exists only during the run, and drafts only for a moment.
    os.kill(process.pid, signal.SIGSTOP)
    found = modes(folder)
    os.kill(process.pid, signal.SIGCONT)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 75
    write_submissions(folder, [Submission("1", "c", "n", "s", 0.0, {"a": 0})])
    short = ("--set", "iterations=3", "-o", "out/short.h5", "-q")
    assert lad("run", "spec.toml", *short, cwd=tmp_path).wait(timeout=60) == 0
    drawing = ("analysis", "figures", "out/short.h5", "-o", "out/figures")
    assert lad(*drawing, cwd=tmp_path).wait(timeout=100) == 0
    found |= modes(folder)
    kinds = ("run.h5", ".lock", "checkpoint", "submissions.json", "captions.md", "times.png")
    assert all(any(kind in name for name in found) for kind in kinds), sorted(found)
    assert set(found.values()) == {mode}, found
