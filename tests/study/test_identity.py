"""A study repeats the runs whose identity has changed, and no others."""

from __future__ import annotations

import numpy as np
import pytest

from lad_mpi.logs import find_logs, read_log
from lad_mpi.study import load_study, run_study, study_status
from lad_mpi.training import NoProgress
from lad_mpi.training.interrupt import InterruptRequest
from lad_mpi.transport import Loopback

STUDY = """
[base]
iterations = 3
devices = {{ count = 5, byzantine = 1 }}
data = {{ kind = "file", path = "data.npz" }}
{more}
[[cases]]
name = "{name}"
[[cases]]
name = "median"
aggregation.kind = "median"
"""


class Notes(NoProgress):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)

    def start(self, run, position, total):
        pass

    def end(self, run, outcome):
        assert outcome.failure == ""


def write_data(factor):
    values = factor * np.arange(20.0).reshape(10, 2)
    np.savez("data.npz", X=values, y=values[:, 0])


@pytest.fixture
def launch(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_data(1.0)

    def go(name="mean", more=""):
        (tmp_path / "study.toml").write_text(STUDY.format(name=name, more=more))
        study, progress = load_study(tmp_path / "study.toml"), Notes()
        with InterruptRequest() as interrupt:
            result = run_study(study, Loopback(), tmp_path / "logs", progress, interrupt)
        return study, result, progress.notes

    return go


def test_new_names_and_guards_repeat_nothing_and_are_shown(launch, tmp_path):
    launch()
    study, result, notes = launch("trimmed mean", "safety.timeout_s = 1.0\nlogging.flush_every = 2")
    assert (result.completed, result.skipped, notes) == (0, 2, [])
    logs = find_logs([tmp_path / "logs"])
    assert sorted(read_log(path).names for path in logs) == [("median",), ("trimmed mean",)]
    assert [state.status for state in study_status(study, tmp_path / "logs")] == ["complete"] * 2


def test_runs_on_data_that_were_replaced_are_made_again_and_it_is_said_why(launch, tmp_path):
    before, _, _ = launch()
    old = before.runs[0].identity.data_digest
    write_data(2.0)
    study, result, notes = launch()
    new = study.runs[0].identity.data_digest
    assert (result.completed, result.skipped) == (2, 0)
    for note in notes:
        assert f"data.path: the digest of the data was {old} and is {new}" in note
    assert len(notes) == 2
    assert len(find_logs([tmp_path / "logs"])) == 4


def test_data_that_are_replaced_as_the_study_goes_on_make_other_runs(tmp_path, launch):
    launch()
    write_data(2.0)
    study = load_study(tmp_path / "study.toml")

    class Replace(Notes):
        def end(self, run, outcome):
            write_data(3.0)

    with InterruptRequest() as interrupt:
        result = run_study(study, Loopback(), tmp_path / "logs", Replace(), interrupt)
    assert result.completed == 2
    again = load_study(tmp_path / "study.toml")
    states = study_status(again, tmp_path / "logs")
    assert [state.status for state in states] == ["pending", "complete"]
    assert "data.path: the digest of the data was" in states[0].failure


def test_a_log_that_was_given_the_name_of_another_run_does_not_count(launch, tmp_path):
    study, _, _ = launch()
    one, two = (run.locate(tmp_path / "logs") for run in study.runs)
    two.replace(one)
    states = study_status(study, tmp_path / "logs")
    assert [state.status for state in states] == ["damaged", "pending"]
    assert 'its log is of another run: aggregation.kind was "median"' in states[0].failure


def test_cases_that_are_one_run_are_computed_once_under_both_names(launch, tmp_path):
    study, result, _ = launch(more='aggregation.kind = "median"')
    assert (len(study.runs), result.completed) == (1, 1)
    [path] = find_logs([tmp_path / "logs"])
    assert read_log(path).names == ("mean", "median")
