"""Ranks that die without a word under a real launcher, and ends of which nothing is to be said."""

import os
import signal
import time

import pytest

LONG = ("run", "spec.toml", "-o", "out.h5", "--set", "iterations=10000000")
SECONDS_TO_END = 10
SECONDS_TO_GO = 2


@pytest.fixture
def nobody_stays(find_guardians):
    """Check that all who spoke for ranks are gone soon."""

    def check():
        deadline = time.monotonic() + SECONDS_TO_GO
        while find_guardians() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert find_guardians() == []

    return check


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
@pytest.mark.parametrize("place", [(0, 3), (1, 2), (3, 5)], ids=["0 of 3", "1 of 2", "3 of 5"])
def test_the_rank_that_died_is_named_and_no_other(start, find_rank, nobody_stays, place, number):
    rank, ranks = place
    process = start(*LONG, until="out.h5", ranks=ranks)
    killed = find_rank(process, rank)
    os.kill(killed, number)
    output, errors = process.communicate(timeout=SECONDS_TO_END)
    assert process.returncode == number
    whose = f"its process ({killed} on host {os.uname().nodename})"
    how = "was killed by SIGKILL" if number == signal.SIGKILL else "crashed with SIGSEGV"
    assert [line for line in errors.splitlines() if "lad-mpi" in line] == [
        f"lad-mpi: error on rank {rank}: {whose} {how}"
    ]
    assert "lad-mpi" not in output
    nobody_stays()


@pytest.mark.parametrize("rank", [0, 2])
def test_a_script_around_the_ranks_keeps_no_job_alive(start, find_rank, nobody_stays, rank):
    # The shell waits for its rank and exits, which the launcher takes for an end in order.
    process = start(*LONG, until="out.h5", wrapper=("sh", "-c", '"$@"; exit $?', "sh"))
    os.kill(find_rank(process, rank), signal.SIGKILL)
    _, errors = process.communicate(timeout=SECONDS_TO_END)
    assert process.returncode != 0
    # Whether the shell or we come first to see the death is open.
    named = f"error on rank {rank}: " in errors
    assert errors.count("lad-mpi: error") == named
    nobody_stays()


def test_before_mpi_is_up_the_rank_is_named_as_well(start, find_rank, find_guardians, nobody_stays):
    process = start(*LONG, until="spec.toml")
    while len(find_guardians()) < 3:
        time.sleep(0.002)
    killed = find_rank(process, 1)
    os.kill(killed, signal.SIGKILL)
    _, errors = process.communicate(timeout=SECONDS_TO_END)
    assert process.returncode != 0
    assert f"lad-mpi: error on rank 1: its process ({killed} on host " in errors
    assert errors.count("lad-mpi: error") == 1
    nobody_stays()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_an_end_of_the_launcher_is_no_death_of_a_rank(start, nobody_stays, number):
    process = start(*LONG, until="out.h5")
    process.send_signal(number)
    _, errors = process.communicate(timeout=SECONDS_TO_END)
    assert "lad-mpi: error" not in errors
    nobody_stays()


def test_a_rank_that_hangs_is_told_of_by_one_that_waits(start, find_rank, nobody_stays):
    process = start(*LONG, "--set", "safety.timeout_s=1.0", until="out.h5")
    os.kill(find_rank(process, 1), signal.SIGSTOP)
    _, errors = process.communicate(timeout=SECONDS_TO_END)
    assert process.returncode != 0
    assert errors.count("lad-mpi: error") == 1, errors
    assert "lad-mpi: error on rank 0: waited " in errors
    nobody_stays()


@pytest.mark.parametrize(
    ("setting", "code"),
    [("iterations=5", 0), ("optimizer.step_size=1e300", 1), ("coding.load=99", 2)],
)
def test_an_exit_is_no_death(lad, nobody_stays, setting, code):
    done = lad("run", "spec.toml", "-o", "out.h5", "--set", setting)
    assert done.returncode == code, done.stderr
    assert "error on rank" not in done.stderr
    nobody_stays()


def test_one_process_needs_nobody(lad, find_guardians):
    assert lad("run", "spec.toml", "-o", "out.h5", ranks=1).returncode == 0
    assert find_guardians() == []


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-"])
def test_a_job_ends_too_if_nobody_can_be_told_of_the_death(
    start, find_rank, nobody_stays, redirection
):
    # The shell exits as if in order, so that only the guardian's word ends the others.
    script = f'"$@" {redirection}; exit 0'
    process = start(*LONG, until="out.h5", wrapper=("sh", "-c", script, "sh"))
    os.kill(find_rank(process, 2), signal.SIGKILL)
    process.communicate(timeout=SECONDS_TO_END)
    assert process.returncode != 0
    nobody_stays()
