"""The probe of HDF5 and locks, with real files and a real second process."""

import errno
import fcntl
import os

import h5py
import pytest

from lad_mpi.hdf5 import reason
from lad_mpi.logs import probe
from lad_mpi.logs.probe import Hdf5Facts, probe_hdf5


def errors(facts):
    names = ("write_error", "lock_error", "hdf5_error", "unlocked_error", "swmr_error")
    return {name: getattr(facts, name) for name in names if getattr(facts, name)}


def test_a_local_disk_does_all_of_it_and_is_left_as_it_was(tmp_path):
    facts = probe_hdf5(tmp_path)
    assert errors(facts) == {}
    assert facts.version == h5py.version.hdf5_version
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_takes_no_files_says_so():
    # Not even root can write here.
    facts = probe_hdf5(type(probe.Path())("/proc"))
    assert set(errors(facts)) == {"write_error"}


def test_a_file_in_the_way_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    facts = probe_hdf5(tmp_path / "file")
    assert facts == Hdf5Facts(str(tmp_path / "file"), write_error="Not a directory")


def test_a_file_system_without_locks_is_seen(tmp_path, monkeypatch):
    def refuse(file, operation):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert errors(probe_hdf5(tmp_path)) == {"lock_error": os.strerror(errno.ENOSYS)}


def test_locks_that_do_not_reach_another_process_are_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", lambda file, operation: None)
    assert set(errors(probe_hdf5(tmp_path))) == {"lock_error"}


def test_hdf5_that_cannot_lock_works_without(tmp_path, monkeypatch):
    create = h5py.File

    def without_locks(path, mode, **options):
        if options.get("locking") is not False:
            raise OSError(f"unable to lock file, errno = {errno.ENOLCK}, error message = …")
        return create(path, mode, **options)

    monkeypatch.setattr(h5py, "File", without_locks)
    found = errors(probe_hdf5(tmp_path))
    assert found == dict.fromkeys(("hdf5_error", "swmr_error"), os.strerror(errno.ENOLCK))
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_never_answers_is_given_up(tmp_path):
    assert "did not answer" in probe_hdf5(tmp_path, timeout_s=0.0).swmr_error
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_dies_says_why(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"))
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "h5py.py").write_text("raise ImportError('libhdf5.so: not found')")
    facts = probe_hdf5(tmp_path / "path")
    assert "libhdf5.so: not found" in facts.swmr_error


def test_a_reader_that_sees_nothing_new_says_how_much_it_saw(tmp_path, monkeypatch):
    monkeypatch.setattr(probe, "_TIMEOUT_S", 0.1)
    with h5py.File(tmp_path / "probe.h5", "w", libver="latest") as file:
        rows = file.create_dataset("rows", (0,), maxshape=(None,), chunks=(64,), dtype="int64")
        probe._append(rows)
    assert probe._read(tmp_path / "probe.h5") == "the reader saw 1000 of 2000 rows"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "…"), os.strerror(errno.ENOSPC)),
        (OSError(f"[Errno 5] deep inside, errno = {errno.EDQUOT}, …"), os.strerror(errno.EDQUOT)),
        (RuntimeError("two\n  lines"), "two lines"),
        (ValueError(), "ValueError"),
    ],
)
def test_reasons_are_the_systems_words_on_one_line(error, words):
    assert reason(error) == words
