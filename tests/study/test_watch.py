"""A watch sees every change of a study, reads only what has changed, and survives bad logs."""

import math
import os

import pytest

import lad_mpi.logs
from lad_mpi.errors import LogFormatError, UsageError
from lad_mpi.logs import LogWriter
from lad_mpi.study import StudyWatch, load_study, run_study
from lad_mpi.study.status import failure_path, note_failure
from lad_mpi.training import NoProgress
from lad_mpi.training.interrupt import InterruptRequest
from lad_mpi.transport import Loopback

STUDY = """
[base]
iterations = 6
devices = { count = 4, byzantine = 1 }
data = { kind = "synthetic_classification", dimension = 3, classes = 3 }
model = { kind = "softmax_regression" }
logging = { flush_every = 1, evaluate_every = 2 }
[axes]
seed = [1, 2, 3]
"""


class Looking(NoProgress):
    """Looks from within the run, while its log is open for writing."""

    def __init__(self, watch):
        self.watch = watch
        self.looks = []

    def update(self, iteration, iterations, loss):
        self.looks.append(self.watch.look())

    def note(self, text):
        pass

    def start(self, run, position, total):
        pass

    def end(self, run, outcome):
        pass


@pytest.fixture
def place(tmp_path):
    (tmp_path / "study.toml").write_text(STUDY)
    return load_study(tmp_path / "study.toml"), tmp_path / "logs"


@pytest.fixture
def finished(place):
    study, folder = place
    go(study, folder)
    return place


def go(study, folder, progress=None):
    folder.mkdir(exist_ok=True)
    with InterruptRequest() as interrupt:
        run_study(
            study, Loopback(), folder, progress or Looking(StudyWatch(study, folder)), interrupt
        )


def statuses(look):
    return [run.state.status for run in look.runs]


@pytest.fixture
def reads(monkeypatch):
    """Count the logs that are read."""
    read, paths = lad_mpi.logs.read_brief, []

    def count(path, wanted):
        paths.append(path.name)
        return read(path, wanted)

    monkeypatch.setattr(lad_mpi.logs, "read_brief", count)
    return paths


def test_a_study_is_seen_from_before_its_folder_exists_to_its_end(place):
    study, folder = place
    watch = StudyWatch(study, folder)
    before = watch.look()
    assert statuses(before) == ["pending"] * 3
    assert (before.is_over, before.fraction) == (False, 0.0)
    assert math.isnan(before.seconds_left)
    progress = Looking(watch)
    go(study, folder, progress)
    first, *_, last = [look for look in progress.looks if "running" in statuses(look)]
    assert statuses(first) == ["running", "pending", "pending"]
    assert statuses(last) == ["complete", "complete", "running"]
    assert [look.runs[0].state.iterations for look in progress.looks[:6]] == [1, 2, 3, 4, 5, 6]
    assert sorted(last.runs[2].curves) == ["loss", "test_accuracy", "train_accuracy"]
    assert len(last.runs[2].curves["loss"]) == 6
    assert not last.runs[0].curves
    assert last.rate > 0
    after = watch.look()
    assert (statuses(after), after.is_over, after.has_failed) == (["complete"] * 3, True, False)
    assert after.fraction == 1
    assert all(math.isfinite(run.latest["test_accuracy"]) for run in after.runs)


def test_the_log_of_a_run_that_has_ended_is_read_once(finished, reads):
    study, folder = finished
    watch = StudyWatch(study, folder)
    assert len(watch.look().runs) == len(reads) == 3
    watch.look()
    assert len(reads) == 3
    path = study.runs[1].locate(folder)
    os.utime(path)
    watch.look()
    assert reads[3:] == [path.name]


def test_damage_and_its_repair_are_noticed(finished, reads):
    study, folder = finished
    watch = StudyWatch(study, folder)
    watch.look()
    path = study.runs[0].locate(folder)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    look = watch.look()
    assert statuses(look) == ["damaged", "complete", "complete"]
    assert (look.is_over, look.has_failed) == (True, True)
    path.write_bytes(whole)
    assert statuses(watch.look()) == ["complete"] * 3
    path.unlink()
    path.symlink_to(study.runs[1].locate(folder))
    assert "a link" in watch.look().runs[0].state.failure
    path.unlink()
    assert statuses(watch.look())[0] == "pending"
    note_failure(path, "no data")
    look = watch.look()
    assert (look.runs[0].state.status, look.runs[0].state.failure) == ("failed", "no data")
    failure_path(path).unlink()
    assert statuses(watch.look())[0] == "pending"


def test_a_run_that_was_renamed_keeps_its_log(finished):
    study, folder = finished
    path = study.runs[0].locate(folder)
    path.rename(path.with_name("other" + study.runs[0].ending))
    assert statuses(StudyWatch(study, folder).look()) == ["complete"] * 3


def test_a_run_whose_writer_is_gone_is_interrupted(place, monkeypatch):
    study, folder = place
    watch = StudyWatch(study, folder)
    # As after a kill: the log is not finished, and the locks are free.
    monkeypatch.setattr(LogWriter, "finish", lambda self, status, **_: self._release())
    go(study, folder)
    look = watch.look()
    assert statuses(look) == ["interrupted"] * 3
    assert "killed" in look.runs[0].state.failure
    assert look.has_failed


def test_a_log_that_cannot_be_read_while_it_is_written_is_of_a_running_run(place, monkeypatch):
    study, folder = place
    watch = StudyWatch(study, folder)
    read, looks = lad_mpi.logs.read_brief, []

    class Locked(Looking):
        def update(self, iteration, iterations, loss):
            def refuse(path, wanted):
                raise LogFormatError(f"{path} is damaged")

            is_odd = iteration % 2
            monkeypatch.setattr(lad_mpi.logs, "read_brief", refuse if is_odd else read)
            looks.append(watch.look().runs[0])

    go(study, folder, Locked(watch))
    assert {run.state.status for run in looks[:6]} == {"running"}
    assert looks[0].state.failure == "its log cannot be read while it is written"
    # What was read before stays.
    assert [run.state.iterations for run in looks[:5]] == [0, 2, 2, 4, 4]


def test_a_folder_that_cannot_be_searched_is_an_error(place, tmp_path):
    study, _ = place
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="file cannot be searched: Not a directory"):
        StudyWatch(study, tmp_path / "file").look()
