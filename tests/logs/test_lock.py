"""An output has one writer, and the lock ends with the writer's process."""

from __future__ import annotations

import errno
import fcntl
import stat
import subprocess
import sys
import threading

import pytest

from lad_mpi.errors import UsageError
from lad_mpi.logs import OutputLock, is_being_written, read_log
from lad_mpi.logs.lock import lock_path
from lad_mpi.logs.reader import RUNNING_OR_KILLED

_HOLD = """
import sys, time
from pathlib import Path
from lad_mpi.logs import OutputLock
with OutputLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of run.h5."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path / "run.h5")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_writer_gets_a_message_about_the_first(tmp_path, holder):
    assert is_being_written(tmp_path / "run.h5") is True
    with pytest.raises(UsageError, match=rf"written by another run \(process {holder.pid} on "):
        OutputLock(tmp_path / "run.h5")
    with OutputLock(tmp_path / "other.h5") as lock:
        assert lock.is_held


def test_a_killed_writer_holds_nothing(tmp_path, holder):
    holder.kill()
    holder.wait()
    assert lock_path(tmp_path / "run.h5").exists()
    assert is_being_written(tmp_path / "run.h5") is False
    with OutputLock(tmp_path / "run.h5") as lock:
        assert lock.is_held
        assert is_being_written(tmp_path / "run.h5") is True
    assert list(tmp_path.iterdir()) == []
    assert is_being_written(tmp_path / "run.h5") is False


def test_a_damaged_note_only_costs_the_name_of_the_holder(tmp_path):
    with OutputLock(tmp_path / "run.h5"):
        lock_path(tmp_path / "run.h5").write_bytes(b"\xff[")
        with pytest.raises(UsageError, match=r"written by another run\n"):
            OutputLock(tmp_path / "run.h5")


def test_readers_do_not_block_a_writer(tmp_path):
    path = lock_path(tmp_path / "run.h5")
    path.touch()
    with path.open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        timer = threading.Timer(0.2, fcntl.flock, [looking, fcntl.LOCK_UN])
        timer.start()
        with OutputLock(tmp_path / "run.h5") as lock:
            assert lock.is_held
        timer.join()


def test_a_lock_file_recreated_by_others_is_not_removed(tmp_path):
    with OutputLock(tmp_path / "run.h5"):
        lock_path(tmp_path / "run.h5").unlink()
        lock_path(tmp_path / "run.h5").write_text("another's")
    assert lock_path(tmp_path / "run.h5").read_text() == "another's"


def test_a_lock_file_that_is_removed_meanwhile_is_not_taken_for_the_lock(tmp_path, monkeypatch):
    path = lock_path(tmp_path / "run.h5")
    flock, removed = fcntl.flock, []

    def remove_first(descriptor, operation):
        flock(descriptor, operation)
        if not removed:
            path.unlink()
            removed.append(True)

    monkeypatch.setattr(fcntl, "flock", remove_first)
    with OutputLock(tmp_path / "run.h5") as lock:
        assert lock.is_held
        assert path.exists()


def test_without_locks_nobody_is_refused_and_nothing_is_known(tmp_path, monkeypatch):
    def refuse(descriptor, operation):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with OutputLock(tmp_path / "run.h5") as lock, OutputLock(tmp_path / "run.h5") as second:
        assert not lock.is_held
        assert not second.is_held
        assert is_being_written(tmp_path / "run.h5") is None


def test_a_log_is_running_as_long_as_it_is_written(tmp_path, open_writer, block):
    path = tmp_path / "run.h5"
    with open_writer(path) as writer:
        writer.append(block(0, 2))
        log = read_log(path)
        assert (log.status, log.failure) == ("running", "")
        with pytest.raises(UsageError, match="written by another run"):
            open_writer(path, overwrite=True)
        writer.finish("interrupted")
    assert list(tmp_path.iterdir()) == [path]


def test_a_log_without_locks_stays_running(tmp_path, open_writer, block, monkeypatch):
    path = tmp_path / "run.h5"
    writer = open_writer(path)
    writer.append(block(0, 2))
    monkeypatch.setattr("lad_mpi.logs.reader.is_being_written", lambda path: None)
    assert read_log(path).status == "running"
    writer.finish("interrupted")


ANNA, BERT = 64991, 64992


def test_a_colleague_takes_over_a_killed_run_in_a_group_folder(
    group_folder, open_writer, block, as_user
):
    path = group_folder / "run.h5"

    def killed():
        open_writer(path).append(block(0, 2))

    def taken_over():
        assert read_log(path).status == "interrupted"
        with open_writer(path, overwrite=True) as writer:
            writer.append(block(0, 3))
            writer.finish("interrupted")

    as_user(ANNA, 0o002, killed)
    modes = [stat.S_IMODE(file.stat().st_mode) for file in (path, lock_path(path))]
    assert modes == [0o664, 0o664]
    as_user(BERT, 0o002, taken_over)
    assert (path.stat().st_uid, read_log(path).recorded) == (BERT, 3)
    assert list(group_folder.iterdir()) == [path]


def test_a_log_whose_lock_cannot_be_read_is_running_or_killed(
    group_folder, open_writer, block, as_user
):
    path = group_folder / "run.h5"

    def killed():
        open_writer(path).append(block(0, 2))
        path.chmod(0o644)

    def looked_at():
        log = read_log(path)
        assert (log.status, log.failure) == ("running", RUNNING_OR_KILLED)

    as_user(ANNA, 0o077, killed)
    as_user(BERT, 0o022, looked_at)
    assert read_log(path).status == "interrupted"
