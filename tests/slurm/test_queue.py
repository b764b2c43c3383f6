"""What is asked of the scheduler's commands, and how their answers are read."""

from pathlib import Path

import pytest

from lad_mpi.errors import SchedulerError
from lad_mpi.slurm import JobKey, JobState, ask_queue, submit_script
from lad_mpi.slurm.queue import expand_tasks, parse_sacct, parse_squeue

SQUEUE = """7|N/A|RUNNING|None
8|0|COMPLETED|None
8|1|PENDING|BeginTime
8|12|CANCELLED|None
9|N/A|TIMEOUT|TimeLimit
"""


def test_squeue_is_read_by_job_and_task():
    assert parse_squeue(SQUEUE) == {
        JobKey("7"): JobState("RUNNING"),
        JobKey("8", 0): JobState("COMPLETED"),
        JobKey("8", 1): JobState("PENDING", "BeginTime"),
        JobKey("8", 12): JobState("CANCELLED"),
        JobKey("9"): JobState("TIMEOUT", "TimeLimit"),
    }


@pytest.mark.parametrize("line", ["7 RUNNING", "x|N/A|RUNNING|None", "7|[1-3]|PENDING|None"])
def test_what_squeue_never_prints_is_refused_and_shown(line):
    with pytest.raises(SchedulerError) as refused:
        parse_squeue(line)
    assert repr(line) in str(refused.value)


def test_sacct_is_read_by_job_and_task():
    text = "7|CANCELLED by 1000|0:15\n8_3|FAILED|2:0\n8_[4-6%2]|PENDING|0:0\n9|TIMEOUT|0:0\n"
    assert parse_sacct(text) == {
        JobKey("7"): JobState("CANCELLED"),
        JobKey("8", 3): JobState("FAILED", "exit code 2"),
        **{JobKey("8", task): JobState("PENDING") for task in (4, 5, 6)},
        JobKey("9"): JobState("TIMEOUT"),
    }


@pytest.mark.parametrize(
    ("text", "indices"),
    [("", [-1]), ("3", [3]), ("[0-2,5]", [0, 1, 2, 5]), ("[1-2%1]", [1, 2])],
)
def test_ranges_of_tasks_are_written_out(text, indices):
    assert expand_tasks(text) == indices


@pytest.mark.parametrize("state", ["PENDING", "RUNNING", "COMPLETING", "REQUEUED", "SUSPENDED"])
def test_what_may_still_run_is_active(state):
    assert JobState(state).is_active


@pytest.mark.parametrize("state", ["CANCELLED", "FAILED", "NODE_FAIL", "TIMEOUT", "COMPLETED"])
def test_what_has_ended_is_not(state):
    assert not JobState(state).is_active


def test_nothing_is_asked_about_no_jobs(programs):
    assert ask_queue([]) == {}


def test_accounts_are_asked_for_what_squeue_has_forgotten(programs):
    programs.say("squeue", "8|N/A|RUNNING|None\n")
    programs.say("sacct", "7|TIMEOUT|0:0\n")
    assert ask_queue(["7", "8"]) == {
        JobKey("8"): JobState("RUNNING"),
        JobKey("7"): JobState("TIMEOUT"),
    }
    assert "--jobs=7,8" in programs.asked("squeue")
    assert "--jobs=7" in programs.asked("sacct")


def test_a_site_without_accounts_knows_less_and_that_is_no_error(programs):
    programs.say("squeue", error="slurm_load_jobs error: Invalid job id specified\n", code=1)
    assert ask_queue(["7"]) == {}
    programs.say("sacct", error="Slurm accounting storage is disabled\n", code=1)
    assert ask_queue(["7"]) == {}


def test_a_queue_that_does_not_answer_is_no_empty_queue(programs):
    with pytest.raises(SchedulerError, match="squeue was not found") as refused:
        ask_queue(["7"])
    assert "log in to a node where jobs are submitted" in refused.value.hint
    programs.say("squeue", error="squeue: error: Unable to contact slurm controller\n", code=1)
    with pytest.raises(SchedulerError, match=r"does not answer: Unable to contact slurm cont"):
        ask_queue(["7"])


@pytest.mark.parametrize("answer", ["42\n", "42;cluster\n"])
def test_sbatch_gives_the_number(programs, answer):
    programs.say("sbatch", answer)
    assert submit_script(Path("x.sbatch"), b"#!/bin/bash\n") == "42"
    assert programs.asked("sbatch") == ["--parsable"]
    assert programs.read("sbatch") == "#!/bin/bash\n"


def test_what_sbatch_says_reaches_the_person(programs):
    programs.say(
        "sbatch",
        error="sbatch: error: invalid partition specified: gpuu\n"
        "sbatch: error: Batch job submission failed: Invalid partition name specified\n",
        code=1,
    )
    with pytest.raises(SchedulerError) as refused:
        submit_script(Path("x.sbatch"), b"#!/bin/bash\n")
    assert refused.value.message == (
        "sbatch rejected x.sbatch: invalid partition specified: gpuu; "
        "Batch job submission failed: Invalid partition name specified"
    )
    programs.say("sbatch", code=3)
    with pytest.raises(SchedulerError, match="it ended with exit code 3"):
        submit_script(Path("x.sbatch"), b"#!/bin/bash\n")
    programs.say("sbatch", "submitted\n")
    with pytest.raises(SchedulerError, match="sbatch printed 'submitted'"):
        submit_script(Path("x.sbatch"), b"#!/bin/bash\n")
