"""One bad log is listed, and the rest of a study goes on."""

import os
import shutil

import pytest

from lad_mpi.cli.main import main
from lad_mpi.logs import find_logs
from lad_mpi.study import load_study, run_study, study_status
from lad_mpi.study.status import failure_path, read_failure
from lad_mpi.training import NoProgress
from lad_mpi.training.interrupt import InterruptRequest
from lad_mpi.transport import Loopback

STUDY = """
[base]
iterations = 2
devices = { count = 4, byzantine = 1 }
data = { dimension = 3 }
[axes]
seed = [1, 2, 3]
"""


def fifo(path):
    os.mkfifo(path)


def folder(path):
    path.mkdir()


def text(path):
    path.write_text("hi")


def empty(path):
    path.touch()


def of_another_run(path):
    shutil.copy(next(path.parent.glob("*-s3-*.h5")), path)


def dangling_link(path):
    path.symlink_to(path.parent.parent / "nowhere" / "x.h5")


def link(path):
    outside = path.parent.parent / "outside.h5"
    shutil.copy(next(path.parent.glob("*-s3-*.h5")), outside)
    path.symlink_to(outside)


class Notes(NoProgress):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)

    def start(self, run, position, total):
        pass

    def end(self, run, outcome):
        pass


@pytest.fixture
def launch(tmp_path):
    def go(text=STUDY):
        (tmp_path / "study.toml").write_text(text)
        study, progress = load_study(tmp_path / "study.toml"), Notes()
        with InterruptRequest() as interrupt:
            result = run_study(study, Loopback(), tmp_path / "logs", progress, interrupt)
        return study, result, progress.notes

    return go


@pytest.mark.parametrize("put", [fifo, folder, text, empty, of_another_run, dangling_link, link])
def test_one_bad_log_is_listed_and_the_other_runs_go_on(launch, tmp_path, put, capsys):
    study, _, _ = launch()
    logs = tmp_path / "logs"
    bad, missing, _ = (run.locate(logs) for run in study.runs)
    bad.unlink()
    missing.unlink()
    put(bad)
    assert [state.status for state in study_status(study, logs)] == [
        "damaged",
        "pending",
        "complete",
    ]
    _, result, _ = launch()
    assert (result.completed, result.skipped, len(result.failed)) == (1, 1, 1)
    assert [state.status for state in study_status(study, logs)] == [
        "damaged",
        "complete",
        "complete",
    ]
    assert main(["study", "status", str(tmp_path / "study.toml"), "-o", str(logs)]) == 0
    assert "3 runs: 1 damaged, 2 complete" in capsys.readouterr().out


def test_a_log_that_cannot_be_renamed_keeps_its_name(launch, tmp_path):
    launch()
    for path in find_logs([tmp_path / "logs"]):
        lock = path.with_name(f".{path.name}.lock")
        lock.unlink(missing_ok=True)
        os.mkfifo(lock)
    _, result, notes = launch(STUDY.replace("[base]", '[base]\nname = "other"'))
    assert (result.completed, result.skipped, result.failed) == (0, 3, ())
    assert len(notes) == 3
    assert all("keeps its old name" in note for note in notes)


@pytest.mark.parametrize("put", [fifo, folder, empty])
def test_a_note_that_cannot_be_read_is_none(launch, tmp_path, put):
    study, _, _ = launch()
    log = study.runs[0].locate(tmp_path / "logs")
    log.unlink()
    put(failure_path(log))
    assert read_failure(log) == ""
    assert study_status(study, tmp_path / "logs")[0].status == "pending"


def test_a_link_in_a_study_is_not_written_through(launch, tmp_path):
    study, *_ = launch()
    mine = tmp_path / "mine.h5"
    log = study.runs[0].locate(tmp_path / "logs")
    log.rename(mine)
    log.symlink_to(mine)
    before = mine.read_bytes()
    # The same run under another name: a log of the folder would get the name.
    _, result, _ = launch(STUDY + '[[cases]]\nname = "another"\n')
    assert "is a link, which a study does not follow" in result.failed[0][1].failure
    assert (len(result.failed), result.skipped) == (1, 2)
    assert mine.read_bytes() == before
