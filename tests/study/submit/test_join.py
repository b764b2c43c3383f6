"""What logs and queue say together: every pair of the two."""

import os

import pytest

from lad_mpi.errors import UsageError
from lad_mpi.logs import KILLED, OutputLock
from lad_mpi.spec import Spec, identify
from lad_mpi.study import Run, RunStatus
from lad_mpi.study.failures import clear_failure, note_failure, read_failure
from lad_mpi.study.submit import (
    JobKey,
    JobState,
    Submission,
    is_missing,
    join_queue,
    known_jobs,
    read_submissions,
    submitting,
    write_submissions,
)

SUBMITTED_S = 1000.0


def state_of(folder, status, failure=""):
    path = folder / "run.h5"
    if status != "pending":
        path.touch()
        os.utime(path, (SUBMITTED_S + 5, SUBMITTED_S + 5))
    return RunStatus(Run(Spec(), ("run",), identify(Spec())), path, status, failure=failure)


def submission_of(state, job_id="7", task=-1):
    return Submission(job_id, "test", "lad-x", "jobs/x", SUBMITTED_S, {state.run.run_id: task})


def joined(folder, status, job, failure=""):
    state = state_of(folder, status, failure)
    queue = {} if job is None else {JobKey("7"): JobState(*job.split(" "))}
    (found,) = join_queue([state], [submission_of(state)], queue, folder)
    assert found.job == JobKey("7")
    return found


@pytest.mark.parametrize(
    ("log", "job", "status", "missing"),
    [
        ("complete", None, "complete", False),
        ("complete", "RUNNING", "complete", False),
        ("pending", "PENDING Resources", "queued", False),
        ("pending", "RUNNING", "queued", False),
        ("running", "RUNNING", "running", False),
        ("interrupted", "PENDING BeginTime", "queued", False),
        ("failed", "RUNNING", "failed", True),
        ("failed", "COMPLETED", "failed", True),
        ("pending", "CANCELLED", "cancelled", True),
        ("interrupted", "CANCELLED", "cancelled", True),
        ("pending", "TIMEOUT TimeLimit", "failed", True),
        ("running", "NODE_FAIL", "failed", True),
        ("interrupted", "FAILED", "interrupted", True),
        ("running", None, "lost", True),
        ("pending", None, "lost", True),
        ("pending", "COMPLETED", "lost", True),
        ("damaged", None, "damaged", True),
    ],
)
def test_log_and_queue_together(tmp_path, log, job, status, missing):
    found = joined(tmp_path, log, job, "why")
    assert (found.status, is_missing(found)) == (status, missing)


def test_a_run_that_was_killed_has_no_end_in_its_log(tmp_path):
    assert joined(tmp_path, "interrupted", None, KILLED).status == "lost"


def test_a_run_that_holds_its_lock_lives_whatever_the_queue_says(tmp_path):
    with OutputLock(tmp_path / "run.h5"):
        assert joined(tmp_path, "running", None).status == "running"


def test_an_older_failure_is_what_the_job_is_to_make_good(tmp_path):
    state = state_of(tmp_path, "failed", "why")
    os.utime(state.path, (SUBMITTED_S - 5, SUBMITTED_S - 5))
    queue = {JobKey("7"): JobState("RUNNING")}
    (found,) = join_queue([state], [submission_of(state)], queue, tmp_path)
    assert found.status == "queued"


def test_what_was_never_submitted_is_as_its_log_says(tmp_path):
    state = state_of(tmp_path, "failed", "why")
    (found,) = join_queue([state], [], {}, tmp_path)
    assert (found.status, found.job, found.detail) == ("failed", None, "why")


def test_of_several_submissions_the_last_counts(tmp_path):
    state = state_of(tmp_path, "pending")
    both = [submission_of(state, "7"), submission_of(state, "8", task=3)]
    assert known_jobs([state], both) == ["8"]
    queue = {JobKey("7"): JobState("RUNNING"), JobKey("8", 3): JobState("CANCELLED")}
    (found,) = join_queue([state], both, queue, tmp_path)
    assert (found.status, str(found.job)) == ("cancelled", "8_3")
    assert known_jobs([state_of(tmp_path, "complete")], both) == []


def test_the_last_error_that_a_job_printed_is_its_last_word(tmp_path):
    (tmp_path / "jobs").mkdir()
    output = tmp_path / "jobs" / "lad-x_7.out"
    assert joined(tmp_path, "pending", None).detail.endswith(f"has printed nothing to {output}")
    output.write_text("begins\nlad-mpi: error: no such file\nbye\n\n")
    found = joined(tmp_path, "pending", "FAILED NonZeroExitCode")
    assert found.detail == (
        f"job 7: failed (NonZeroExitCode); {output}: lad-mpi: error: no such file"
    )


def test_the_record_is_read_as_it_was_written(tmp_path):
    assert read_submissions(tmp_path) == []
    one = Submission("7", "test", "lad-x", "jobs/x", 1.5, {"a": -1})
    two = Submission("8", "test", "lad-x", "jobs/y", 2.5, {"b": 0, "c": 1})
    write_submissions(tmp_path, [one, two])
    assert read_submissions(tmp_path) == [one, two]
    assert [path.name for path in tmp_path.iterdir()] == ["submissions.json"]


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"format": "other", "version": 1}'])
def test_a_record_that_is_none_is_refused(tmp_path, text):
    (tmp_path / "submissions.json").write_text(text)
    with pytest.raises(UsageError, match=r"submissions\.json") as refused:
        read_submissions(tmp_path)
    assert "move it away" in refused.value.hint


def test_two_do_not_submit_at_the_same_time(tmp_path):
    refused = pytest.raises(UsageError, match="another `study submit` is at work")
    with submitting(tmp_path / "logs"), refused, submitting(tmp_path / "logs"):
        pass
    with submitting(tmp_path / "logs"):
        pass


def test_why_a_run_has_no_log_is_noted_and_forgotten(tmp_path):
    log = tmp_path / "run.h5"
    assert read_failure(log) == ""
    note_failure(log, "no data\n  hint: get some")
    assert read_failure(log) == "no data\n  hint: get some"
    clear_failure(log)
    clear_failure(log)
    assert list(tmp_path.iterdir()) == []
    note_failure(tmp_path / "nowhere" / "run.h5", "no folder")
