"""Jobs that are sent: what is written, what sbatch is given, and what is recorded."""

import json
import os
from pathlib import Path

import pytest

from lad_mpi.cli.main import main
from lad_mpi.errors import UsageError
from lad_mpi.slurm import load_cluster, prepare_job, read_submissions, submit_job, submitting
from lad_mpi.study import load_study

CLUSTER = Path(__file__).parents[2] / "jobs" / "clusters" / "test.toml"
STUDY = """
[base]
iterations = 20
data = { dimension = 6 }
devices = { count = 10, byzantine = 2 }
"""


@pytest.fixture
def prepared(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(STUDY)
    study = load_study(path)
    file = load_cluster(CLUSTER)
    return prepare_job(study, study.runs, file, "packed", path=path, folder=tmp_path / "logs")


def test_a_job_is_what_was_rendered_whatever_lies_in_the_folder(programs, tmp_path, prepared):
    folder = tmp_path / "logs"
    programs.say("sbatch", "42\n")
    with submitting(folder):
        # Names that somebody expected, leading to files of the person who submits.
        (folder / "jobs" / "lad-tiny-1.sbatch").symlink_to(tmp_path / "new")
        (folder / "jobs" / "lad-tiny-2.sbatch").symlink_to(tmp_path / "tiny.toml")
        os.mkfifo(folder / "jobs" / "lad-tiny-3.sbatch")
        submission = submit_job(prepared, folder)
    assert submission.script == "jobs/lad-tiny-4.sbatch"
    assert (folder / submission.script).read_text() == prepared.script
    assert programs.read("sbatch") == prepared.script
    assert not (tmp_path / "new").exists()
    assert (tmp_path / "tiny.toml").read_text() == STUDY
    assert read_submissions(folder) == [submission]


def test_nothing_is_sent_where_nothing_can_be_recorded(programs, tmp_path, prepared):
    programs.say("sbatch", "42\n")
    folder = tmp_path / "logs"
    with submitting(folder):
        (folder / "submissions.json").write_text("{}")
        with pytest.raises(UsageError, match="is not a record of submissions"):
            submit_job(prepared, folder)
    assert programs.asked("sbatch") == []


def test_a_job_that_is_not_recorded_is_named(programs, tmp_path, prepared, monkeypatch):
    programs.say("sbatch", "42\n")
    with submitting(tmp_path / "logs"):
        monkeypatch.setattr(json, "dump", fail)
        with pytest.raises(UsageError, match="job 42 is in the queue, but not recorded") as refused:
            submit_job(prepared, tmp_path / "logs")
    assert "scancel 42" in refused.value.hint


@pytest.mark.parametrize("what", ["fifo", "text", "link"])
def test_a_damaged_record_stops_no_status_and_any_submission(
    programs, tmp_path, monkeypatch, capsys, what
):
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(STUDY)
    Path("logs").mkdir()
    record = Path("logs/submissions.json")
    if what == "fifo":
        os.mkfifo(record)
    elif what == "link":
        record.symlink_to("/dev/zero")
    else:
        record.write_text('{"format": 1}')
    assert main(["study", "status", "tiny.toml", "-o", "logs", "--json"]) == 0
    printed = capsys.readouterr()
    assert [row["status"] for row in json.loads(printed.out)] == ["pending"]
    assert printed.err.startswith("lad-mpi: logs/submissions.json ")
    assert "the following states are those of the logs alone" in printed.err
    programs.say("sbatch", "42\n")
    arguments = ["study", "submit", "tiny.toml", "-o", "logs", "--cluster", str(CLUSTER)]
    assert main(arguments) == 2
    assert "logs/submissions.json" in capsys.readouterr().err
    assert programs.asked("sbatch") == []


def fail(*arguments, **options):
    raise OSError(28, "No space left on device")
