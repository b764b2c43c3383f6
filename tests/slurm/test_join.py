"""What logs and queue say together: every pair of the two."""

import json
import os
import tracemalloc

import pytest

from lad_mpi.errors import UsageError
from lad_mpi.logs import KILLED, OutputLock
from lad_mpi.slurm import (
    JobKey,
    JobState,
    Submission,
    join_queue,
    known_jobs,
    needs_submission,
    read_submissions,
    submitting,
    write_submissions,
)
from lad_mpi.spec import Spec, identify
from lad_mpi.study import Run, RunStatus
from lad_mpi.study.status import clear_failure, note_failure, read_failure

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
    assert (found.status, needs_submission(found)) == (status, missing)


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


def one_with(**changes):
    one = {"job_id": "7", "cluster": "c", "name": "lad-x", "script": "jobs/x", "submitted_s": 1.5}
    return {**one, "tasks": {"a": -1}, **changes}


def record_of(*submissions):
    return {"format": "lad_mpi-submissions", "version": 1, "submissions": submissions}


WRONG = {
    "job_id": [7, "", "7;x", "-7", "\u0667", "7\n", "9" * 21, None],
    "cluster": [7, "", "a\nb", "a/b", "a" * 256],
    "name": [7, "", "../x", "/x", "a\x00", "a\x1b[2J"],
    "script": ["jobs/../x", "/x", "../jobs/x", "jobs/..", "jobs/a/b", "jobs/a\n", "x"],
    "submitted_s": ["1", None, -1.0, True, float("nan"), float("inf")],
    "tasks": [[], None, {"a": "0"}, {"a": -2}, {"a": 1.0}, {"a": True}, {"a": 10**30}],
}


@pytest.mark.parametrize(
    "found",
    [[], {}, 1, None, {"format": "other", "version": 1}, {**record_of(), "version": 2}]
    + [record_of([]), record_of(None), {**record_of(), "submissions": {}}]
    + [record_of(one_with(**{key: value})) for key, values in WRONG.items() for value in values]
    + [record_of({}, *[{}] * 9), record_of({"job_id": "7"})],
    ids=lambda found: json.dumps(found)[-60:],
)
def test_a_record_that_is_none_is_refused(tmp_path, found):
    write_submissions(tmp_path, [])
    (tmp_path / "submissions.json").write_text(json.dumps(found))
    with pytest.raises(UsageError, match=r"submissions\.json is not a record") as refused:
        read_submissions(tmp_path)
    assert "move the file away" in refused.value.hint
    assert len(str(refused.value)) < 1000


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 10**6, b"\xff", b"9" * 10**5, b'"\\ud800"'])
def test_a_record_that_is_no_json_is_refused(tmp_path, content):
    (tmp_path / "submissions.json").write_bytes(content)
    with pytest.raises(UsageError, match=r"submissions\.json is not a record"):
        read_submissions(tmp_path)


def test_a_record_of_many_mistakes_is_refused_at_the_first(tmp_path):
    # pydantic collects all of them by itself: eight gigabytes for a file of 16 MB.
    text = json.dumps(record_of(*[0] * 10**6))
    (tmp_path / "submissions.json").write_text(text)
    tracemalloc.start()
    with pytest.raises(UsageError, match=r"submissions\.0"):
        read_submissions(tmp_path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 20 * len(text)


@pytest.mark.parametrize("what", ["fifo", "link", "large", "folder"])
def test_only_a_file_of_reasonable_size_is_a_record(tmp_path, what):
    path = tmp_path / "submissions.json"
    if what == "fifo":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    elif what == "large":
        with path.open("wb") as file:
            file.truncate(2**40)
    else:
        write_submissions(tmp_path, [])
        path.rename(tmp_path / "elsewhere")
        path.symlink_to("elsewhere")
    with pytest.raises(UsageError, match=r"submissions\.json cannot be read"):
        read_submissions(tmp_path)


def test_a_record_replaces_a_link_and_leaves_its_target(tmp_path):
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "submissions.json").symlink_to("precious")
    write_submissions(tmp_path, [])
    assert (tmp_path / "precious").read_text() == "precious"
    assert read_submissions(tmp_path) == []


@pytest.mark.parametrize("what", ["fifo", "link"])
def test_the_last_words_of_a_job_come_from_a_file_alone(tmp_path, what):
    (tmp_path / "jobs").mkdir()
    output = tmp_path / "jobs" / "lad-x_7.out"
    (tmp_path / "secret").write_text("secret error")
    if what == "fifo":
        os.mkfifo(output)
    else:
        output.symlink_to(tmp_path / "secret")
    detail = joined(tmp_path, "pending", None).detail
    assert detail.endswith(f"it has printed nothing to {output}")


def test_a_folder_of_jobs_that_is_a_link_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "jobs").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="is a link"), submitting(tmp_path / "logs"):
        pass


def test_two_do_not_submit_at_the_same_time(tmp_path):
    refused = pytest.raises(UsageError, match="another `study submit` is working on")
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


@pytest.mark.parametrize("what", ["fifo", "link", "large", "bytes"])
def test_a_note_is_read_from_a_file_alone_and_not_without_end(tmp_path, what):
    log = tmp_path / "run.h5"
    note = tmp_path / "run.failure.txt"
    (tmp_path / "secret").write_text("secret")
    if what == "fifo":
        os.mkfifo(note)
    elif what == "link":
        note.symlink_to("secret")
    else:
        note.write_bytes(b"x" * 2**20 if what == "large" else b"a\xffb")
    expected = {"large": "x" * 2**16, "bytes": "a\ufffdb"}
    assert read_failure(log) == expected.get(what, "")
    if what == "link":
        note_failure(log, "why")
        assert (tmp_path / "secret").read_text() == "secret"
