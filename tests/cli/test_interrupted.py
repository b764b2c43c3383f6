"""Signals, kills and hangs under a real launcher: the job ends, and can be resumed."""

import os
import signal
import time

import numpy as np
import pytest

from lad_mpi.logs import is_being_written, read_log, validate_log

LONG = ("run", "spec.toml", "-o", "out.h5", "--set", "iterations=10000000")
SECONDS_TO_END = 10


def finish(process):
    """Wait for the end, which must come soon; return the output."""
    return process.communicate(timeout=SECONDS_TO_END)


def read_when_unwritten(path):
    """Read a log after its writer is gone: a launcher may end before its ranks."""
    deadline = time.monotonic() + SECONDS_TO_END
    while is_being_written(path) and time.monotonic() < deadline:
        time.sleep(0.02)
    return read_log(path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_to_the_launcher_ends_all_ranks_with_a_checkpoint(start, tmp_path, number):
    process = start(*LONG, until="out.h5")
    time.sleep(0.5)
    process.send_signal(number)
    _, errors = finish(process)
    assert process.returncode == 75, errors
    message = f"lad-mpi: interrupted by {number.name} after"
    assert errors.count(message) == 1
    assert "the same command with --resume goes on" in errors
    assert "Traceback" not in errors
    log = read_log(tmp_path / "out.h5")
    assert log.status == "interrupted"
    assert len(log.iteration) > 0
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"out.checkpoint-{len(log.iteration):09d}.npz", "out.h5", "spec.toml"]


def test_a_warning_of_a_scheduler_to_every_rank_and_the_resumed_run(
    start, lad, find_rank, tmp_path
):
    arguments = ("run", "spec.toml", "--set", "iterations=4000", "--set", "logging.flush_every=100")
    process = start(*arguments, "-o", "out.h5", until="out.h5")
    # A scheduler signals every rank, one after another.
    for rank in (1, 0, 2):
        os.kill(find_rank(process, rank), signal.SIGUSR2)
    _, errors = finish(process)
    assert process.returncode == 75, errors
    reached = len(read_log(tmp_path / "out.h5").iteration)
    assert reached < 4000
    again = lad(*arguments, "-o", "out.h5", "--resume", ranks=2)
    assert again.returncode == 0, again.stderr
    assert f"continuing after {reached} of 4000 iterations" in again.stderr
    whole = lad(*arguments, "-o", "whole.h5", ranks=1)
    assert whole.returncode == 0
    one, two = read_log(tmp_path / "out.h5"), read_log(tmp_path / "whole.h5")
    for name, values in one.metrics.items():
        assert values.tobytes() == two.metrics[name].tobytes(), name
    assert one.final.model.tobytes() == two.final.model.tobytes()
    assert one.restarts == (reached,)
    assert two.restarts == ()


def test_a_signal_between_the_runs_of_a_study_ends_it_and_the_same_command_goes_on(
    start, lad, find_rank, tmp_path
):
    (tmp_path / "study.toml").write_text(
        "[base]\niterations = 1500\ndata = { dimension = 6 }\n[axes]\nseed = [1, 2, 3, 4]\n"
    )
    process = start("study", "run", "study.toml", "-o", "out", until="out/*.h5")
    os.kill(find_rank(process, 0), signal.SIGTERM)
    output, errors = finish(process)
    assert process.returncode == 75, errors
    assert "interrupted; repeat the command to run what is missing" in errors
    assert "Traceback" not in errors
    assert " completed, 0 complete before" in output
    found = {read_log(path).status for path in tmp_path.glob("out/*.h5")}
    assert found <= {"complete", "interrupted"}
    again = lad("study", "run", "study.toml", "-o", "out")
    assert again.returncode == 0, again.stderr
    logs = [read_log(path) for path in tmp_path.glob("out/*.h5")]
    assert [log.status for log in logs] == ["complete"] * 4
    assert sum(len(log.restarts) for log in logs) == 1


@pytest.mark.parametrize(
    "death", [(0, signal.SIGKILL), (2, signal.SIGKILL), (1, signal.SIGSEGV)], ids=str
)
def test_a_rank_that_dies_ends_the_job_and_leaves_a_readable_log(
    start, lad, find_rank, tmp_path, death
):
    rank, number = death
    process = start(*LONG, until="out.h5")
    time.sleep(0.5)
    killed = find_rank(process, rank)
    os.kill(killed, number)
    finish(process)
    assert process.returncode != 0
    log = read_when_unwritten(tmp_path / "out.h5")
    # The launcher's message names a process, and the log tells its rank.
    assert log.provenance["processes"][rank] == str(killed)
    assert (log.status, validate_log(log.path)) == ("interrupted", [])
    np.testing.assert_array_equal(log.iteration, np.arange(len(log.iteration)))
    assert lad("validate", "out.h5", ranks=1).stdout.startswith(
        f"out.h5: valid, interrupted after {len(log.iteration)} of 10000000 iterations"
    )


@pytest.mark.parametrize("rank", [0, 2])
def test_a_shell_script_around_the_ranks_keeps_no_job_alive(start, find_rank, rank):
    # About one launcher in a hundred misses that a rank behind a shell died. Then the watchdog
    # of a waiting rank ends the job.
    limit = ("--set", "safety.timeout_s=1.0")
    process = start(*LONG, *limit, until="out.h5", wrapper=("sh", "-c", '"$@"; exit $?', "sh"))
    os.kill(find_rank(process, rank), signal.SIGKILL)
    finish(process)
    assert process.returncode != 0


@pytest.mark.parametrize("rank", [0, 1])
def test_a_stopped_rank_ends_the_job_after_the_timeout(start, find_rank, tmp_path, rank):
    process = start(*LONG, "--set", "safety.timeout_s=1.0", until="out.h5")
    time.sleep(0.5)
    os.kill(find_rank(process, rank), signal.SIGSTOP)
    began = time.monotonic()
    output, errors = finish(process)
    assert time.monotonic() - began > 0.9
    assert process.returncode != 0
    speaker = 1 if rank == 0 else 0
    assert errors.count("lad-mpi: error on rank") == 1, (process.returncode, output, errors)
    assert f"lad-mpi: error on rank {speaker}: waited " in errors
    assert "safety.timeout_s" in errors
    assert read_when_unwritten(tmp_path / "out.h5").status == "interrupted"


def test_a_second_run_on_one_output_is_refused(start, lad, tmp_path):
    start(*LONG, until="out.h5")
    for how in ([], ["--overwrite"], ["--resume"]):
        second = lad(*LONG, *how, ranks=2)
        assert second.returncode == 2
        assert second.stderr.count("lad-mpi: error") == 1
        assert "out.h5 is being written by another run (process " in second.stderr
    assert read_log(tmp_path / "out.h5").status == "running"


SLOW = """
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar


@dataclass(frozen=True)
class Slow:
    kind: ClassVar[str] = "slow"

    def corrupt(self, coded, context):
        # Not while the spec is read, which tries the component.
        if Path("out.h5").exists():
            Path("begun").touch()
            time.sleep(1.0)
        return coded
"""
SLOWLY = (
    "run",
    "spec.toml",
    "-o",
    "out.h5",
    "--set",
    "attack={kind='slow'}",
    "--set",
    "iterations=60",
)


@pytest.fixture
def start_slowly(start, add_attack):
    """Start a run whose iterations take a second; return in the middle of the first."""
    environment = add_attack("slow", SLOW)
    return lambda ranks: start(*SLOWLY, until="begun", ranks=ranks, environment=environment)


TERM, USR2, INT = signal.SIGTERM, signal.SIGUSR2, signal.SIGINT


@pytest.mark.parametrize(
    ("ranks", "numbers"),
    [(1, (TERM, TERM)), (1, (USR2, INT)), (3, (TERM, USR2, TERM)), (3, (INT, TERM))],
    ids=lambda value: value if isinstance(value, int) else "-".join(n.name for n in value),
)
def test_repeated_signals_in_a_long_iteration_still_give_a_checkpoint(
    start_slowly, find_rank, tmp_path, ranks, numbers
):
    process = start_slowly(ranks)
    for number in numbers:
        for rank in range(ranks):
            os.kill(find_rank(process, rank), number)
        time.sleep(0.1)
    _, errors = finish(process)
    assert process.returncode == 75, errors
    # A rank that waits in MPI receives all of them at once, in the order of their numbers.
    assert any(f"lad-mpi: interrupted by {number.name} after" in errors for number in numbers)
    log = read_log(tmp_path / "out.h5")
    assert log.status == "interrupted"
    assert (tmp_path / f"out.checkpoint-{log.recorded:09d}.npz").exists()


def test_a_second_ctrl_c_ends_a_run_at_once(start_slowly, find_rank, tmp_path):
    process = start_slowly(1)
    for _ in range(2):
        os.kill(find_rank(process, 0), INT)
        time.sleep(0.1)
    _, errors = finish(process)
    assert process.returncode == 130, errors
    assert read_log(tmp_path / "out.h5").status == "interrupted"
    assert not list(tmp_path.glob("*.npz"))
