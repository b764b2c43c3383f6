"""Studies as jobs on a real scheduler: sent, followed, cancelled, lost, and sent again."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lad_mpi.cli.main import main
from lad_mpi.logs import read_log
from lad_mpi.slurm import read_submissions

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[3]
MPIRUN = Path(sys.prefix) / "bin" / "mpirun"
STUDY = """
name = "tiny"
[base]
data = {{ dimension = 6 }}
devices = {{ count = 8, byzantine = 2 }}
logging = {{ flush_every = 100 }}
iterations = {iterations}
[axes]
seed = {seeds}
"""
LONG = 10**7
SRUN = ("--set", "launcher=srun")
# Ranks on several nodes find each other through mpiexec alone, docs/cluster-guide.md says why.
ONE_NODE = (*SRUN, "--set", "nodes=1", "--set", "ranks_per_node=2")
DEADLINE_S = 90


class Submitter:
    """A folder with a study, seen from a login node."""

    def __init__(self, cluster, folder):
        self.cluster = cluster
        self.folder = folder

    def write(self, *, iterations=300, seeds=(1, 2, 3), more=""):
        text = STUDY.format(iterations=iterations, seeds=list(seeds))
        (self.folder / "tiny.toml").write_text(text + more)

    def call(self, *arguments):
        """Call a command in this process, which saves its start, and return its JSON."""
        printed, said = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(said):
            code = main(["study", *arguments, "--json"])
        assert (code, said.getvalue()) == (0, "")
        return json.loads(printed.getvalue())

    def submit(self, *arguments):
        """Submit what is missing, and return the job's number."""
        file = str(ROOT / "jobs" / "clusters" / "test.toml")
        return self.call("submit", "tiny.toml", "--cluster", file, "-o", "logs", *arguments)["job"]

    def rows(self):
        return self.call("status", "tiny.toml", "-o", "logs")

    def statuses(self):
        return [row["status"] for row in self.rows()]

    def wait(self, statuses, timeout_s=DEADLINE_S):
        """Wait until the runs have these statuses, and return all that is said of them."""
        deadline = time.monotonic() + timeout_s
        while True:
            rows = self.rows()
            if [row["status"] for row in rows] == list(statuses):
                return rows
            assert time.monotonic() < deadline, json.dumps([rows, self.printed()], indent=1)
            time.sleep(0.3)

    def printed(self):
        return {path.name: path.read_text() for path in self.folder.glob("logs/jobs/*.out")}

    def logs(self, folder="logs"):
        return [read_log(self.folder / folder / Path(row["log"]).name) for row in self.rows()]


@pytest.fixture
def login(cluster, tmp_path, monkeypatch):
    for name in ("PATH", "SLURM_CONF", "VENV"):
        monkeypatch.setenv(name, cluster.environment[name])
    monkeypatch.chdir(tmp_path)
    yield Submitter(cluster, tmp_path)
    for submission in read_submissions(tmp_path / "logs"):
        subprocess.run(
            ["scancel", submission.job_id], env=cluster.environment, check=False, timeout=60
        )


def assert_as_under_mpirun(login, ranks=2):
    """Hold the logs against those of the same study under mpirun, bit for bit."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PMI_", "PMIX_", "SLURM"))}
    command = [MPIRUN, "-n", str(ranks), sys.executable, "-m", "lad_mpi"]
    subprocess.run(
        [*command, "study", "run", "tiny.toml", "-o", "mpirun", "-q"],
        cwd=login.folder,
        env=clean,
        check=True,
        timeout=120,
    )
    for one, two in zip(login.logs(), login.logs("mpirun"), strict=True):
        assert one.status == "complete"
        assert one.metrics.keys() == two.metrics.keys()
        for name, values in one.metrics.items():
            assert values.tobytes() == two.metrics[name].tobytes(), name
        assert one.final.model.tobytes() == two.final.model.tobytes()


@pytest.mark.parametrize("how", [(), ONE_NODE], ids=["mpiexec", "srun"])
def test_a_packed_study_is_done_by_one_job_and_sent_once(login, how):
    login.write()
    job = login.submit("--packed", *how)
    assert {row["job"] for row in login.rows()} == {job}
    assert set(login.statuses()) <= {"queued", "running", "complete"}
    # What is in the queue is not sent again.
    assert login.submit() is None
    login.wait(["complete"] * 3)
    assert login.submit() is None
    assert login.logs()[0].provenance["scheduler"].count(f"SLURM_JOB_ID={job}") == 1
    assert_as_under_mpirun(login)


def test_names_that_look_like_commands_are_names_to_slurm_and_bash(login):
    """They stood bare in the script, and a backslash was lost on the way to sbatch."""
    nasty = "$(touch PWNED) `touch PWNED` ';touch PWNED;' \" } #&|<>(*?~! é"
    study, folder = f"-{nasty}.toml", f"-o {nasty} 100%j"
    (login.folder / study).write_text(STUDY.format(iterations=20, seeds=[1]))
    file = str(ROOT / "jobs" / "clusters" / "test.toml")
    comment = json.dumps([f"--comment=a\\b {nasty}", "--oversubscribe"])
    job = login.call(
        "submit", f"./{study}", "--cluster", file, f"--output={folder}",
        "--set", f"options={comment}", "--set", "nodes=1",
    )["job"]  # fmt: skip
    login.cluster.wait(job, ("COMPLETED", "FAILED"))
    printed = list((login.folder / folder / "jobs").glob(f"*_{job}.out"))
    (log,) = (login.folder / folder).glob("*.h5")
    assert read_log(log).status == "complete", [path.read_text() for path in printed]
    shown = login.cluster.call("scontrol", "show", "job", job)
    assert f"Comment=a\\b {nasty}" in shown
    assert len(printed) == 1
    assert {path.name for path in login.folder.iterdir()} == {study, folder}


def test_an_array_does_what_is_missing_one_run_a_task(login):
    login.write(seeds=[1])
    first = login.submit()
    login.wait(["complete"])
    login.write(seeds=[1, 2, 3])
    job = login.submit("--array")
    rows = login.wait(["complete"] * 3)
    # A run that was complete keeps its job; the others are tasks of the second one.
    assert [row["job"] for row in rows] == [first, f"{job}_0", f"{job}_1"]
    assert len(login.printed()) == 3
    assert_as_under_mpirun(login)


def test_a_job_that_waits_says_why_and_one_that_runs_how_far_it_is(login):
    login.write(iterations=LONG, seeds=[1, 2])
    job = login.submit("--set", "options=['--begin=now+1hour']")
    rows = login.wait(["queued", "queued"])
    assert rows[0]["failure"] == f"job {job}: pending (BeginTime)"
    login.cluster.call("scontrol", "update", f"JobId={job}", "StartTime=now")
    rows = login.wait(["running", "queued"])
    assert rows[1]["failure"] == f"job {job}: running"
    deadline = time.monotonic() + DEADLINE_S
    while login.rows()[0]["iterations"] == f"0/{LONG}":
        assert time.monotonic() < deadline


def test_a_cancelled_job_is_shown_as_such_and_sent_again(login):
    login.write(iterations=3000, seeds=[1, 2])
    first = login.submit()
    login.wait(["running", "queued"])
    login.cluster.call("scancel", first)
    rows = login.wait(["cancelled", "cancelled"])
    assert rows[1]["failure"] == f"job {first} was cancelled"
    second = login.submit("--array", "--set", "nodes=1")
    assert second != first
    rows = login.wait(["complete"] * 2)
    assert [row["job"] for row in rows] == [f"{second}_0", f"{second}_1"]
    assert login.cluster.job(first)["JobState"] == "CANCELLED"
    assert_as_under_mpirun(login, ranks=1)


def test_a_run_that_cannot_begin_says_why_and_the_others_are_done(login):
    login.write(
        seeds=[1],
        more='[[cases]]\nname = "fine"\n[[cases]]\nname = "no data"\n'
        'data = { kind = "file", path = "missing.svm" }\n',
    )
    login.submit("--set", "nodes=1")
    rows = login.wait(["complete", "failed"])
    assert "missing.svm" in rows[1]["failure"]


def test_a_job_that_dies_before_it_begins_is_failed_with_its_last_words(login, monkeypatch):
    login.write(seeds=[1])
    with monkeypatch.context() as broken:
        broken.setenv("VENV", str(login.folder))
        broken.setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        job = login.submit()
    rows = login.wait(["failed"])
    said = rows[0]["failure"]
    assert said.startswith(f"job {job}: failed (NonZeroExitCode); logs/jobs/lad-tiny_{job}.out: ")
    assert "lad-mpi: command not found" in said
    login.submit()
    login.wait(["complete"])


def test_a_job_that_is_killed_has_failed_and_one_that_nobody_remembers_is_lost(login):
    login.write(iterations=3000, seeds=[1])
    job = login.submit("--set", "nodes=1")
    login.wait(["running"])
    (log,) = login.logs()
    os.kill(int(log.provenance["processes"][0]), signal.SIGKILL)
    rows = login.wait(["failed"])
    assert rows[0]["failure"].startswith(f"job {job}: failed (NonZeroExitCode); logs/jobs/")
    # As when the scheduler has forgotten it, and the site keeps no accounts.
    record = login.folder / "logs" / "submissions.json"
    record.write_text(record.read_text().replace(f'"{job}"', '"999999"'))
    rows = login.wait(["lost"])
    assert rows[0]["failure"].startswith("job 999999 has left the queue")
    login.submit("--set", "nodes=1")
    login.wait(["complete"])
    assert_as_under_mpirun(login, ranks=1)


def test_with_gpus_the_server_is_beside_the_first_ranks_and_every_other_has_one(login, monkeypatch):
    # Where ranks are placed is srun's matter and this script's: a program without MPI shows it.
    program = login.folder / "venv" / "bin" / "lad-mpi"
    program.parent.mkdir(parents=True)
    program.write_text(
        '#!/bin/bash\n[ -z "${SLURM_STEP_ID:-}" ] || '
        "echo $SLURM_NODEID $SLURM_LOCALID >place-$SLURM_PROCID\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("VENV", str(login.folder / "venv"))
    login.write(seeds=[1])
    job = login.submit(*SRUN, "--set", "gpus_per_node=2", "--set", "options=[]")
    login.cluster.wait(job, ("COMPLETED", "FAILED"))
    places = {path.name: path.read_text().strip() for path in login.folder.glob("place-*")}
    # Of rank r on a node of two GPUs the suite takes GPU r mod 2: each of the four is used by
    # one rank but the server.
    expected = ["0 0", "0 1", "0 2", "1 0", "1 1"]
    assert places == {f"place-{rank}": place for rank, place in enumerate(expected)}, (
        login.printed()
    )


def test_a_job_whose_ranks_srun_warns_comes_back_by_itself(login):
    login.write(iterations=4000, seeds=[1])
    job = login.submit(*ONE_NODE)
    login.wait(["running"])
    # As --signal does without "B:", which jobs of mpiexec have (test_restart.py).
    login.cluster.call("scancel", "--signal=USR2", job)
    login.wait(["complete"])
    login.cluster.wait(job, ("COMPLETED",))
    assert login.cluster.job(job)["Restarts"] == "1"
    (log,) = login.logs()
    assert len(log.restarts) == 1
    assert_as_under_mpirun(login, ranks=1)


def test_a_job_whose_node_goes_down_begins_again_on_another(login):
    login.write(iterations=4000, seeds=[1])
    # Ranks that are killed leave shared memory, which a job that begins again must not take up.
    job = login.submit("--set", "nodes=1", "--set", "ranks_per_node=2")
    login.wait(["running"])
    node = str(login.cluster.job(job)["NodeList"])
    # A node that answers comes back from being down at once, so it is drained as well.
    for state in ("down", "drain"):
        login.cluster.call("scontrol", "update", f"NodeName={node}", f"State={state}", "Reason=x")
    try:
        rows = login.wait(["complete"])
        found = login.cluster.job(job)
        assert (rows[0]["job"], found["Restarts"]) == (job, "1")
        assert found["NodeList"] != node
    finally:
        login.cluster.call("scontrol", "update", f"NodeName={node}", "State=resume")
    assert_as_under_mpirun(login)


def test_a_job_on_a_draining_node_ends_there_and_the_next_goes_elsewhere(login):
    login.write(iterations=2000, seeds=[1])
    first = login.submit("--set", "nodes=1")
    login.wait(["running"])
    node = str(login.cluster.job(first)["NodeList"])
    login.cluster.call("scontrol", "update", f"NodeName={node}", "State=drain", "Reason=test")
    try:
        login.wait(["complete"])
        assert login.cluster.job(first)["Restarts"] == "0"
        login.write(seeds=[2])
        second = login.submit("--set", "nodes=1")
        login.wait(["complete"])
        assert login.cluster.job(second)["NodeList"] != node
    finally:
        login.cluster.call("scontrol", "update", f"NodeName={node}", "State=resume")


def test_a_job_that_meets_its_time_limit_comes_back_by_itself(login):
    login.write(iterations=LONG, seeds=[1])
    # The controller looks every half a minute, and warns half a minute early.
    job = login.submit("--set", "nodes=1", "--set", "time=1", "--set", "warn_s=29")
    login.wait(["running"])
    login.wait(["queued"])
    assert login.submit() is None
    rows = login.wait(["running"])
    assert rows[0]["job"] == job
    found = login.cluster.job(job)
    # If the job starts again at once, it may be seen waiting only after a later restart.
    restarts = int(found["Restarts"])
    assert found["TimeLimit"] == "00:01:00"
    assert restarts >= 1
    (printed,) = login.printed().values()
    assert printed.count("interrupted by SIGTERM after") == restarts
    (log,) = login.logs()
    assert len(log.restarts) == restarts
    for done in log.restarts:
        assert f"continuing after {done} of {LONG} iterations" in printed


def test_a_scaling_study_measures_in_steps_of_one_job(login):
    (login.folder / "spec.toml").write_text(
        "iterations = 60\ndata = { dimension = 6 }\ndevices = { count = 8, byzantine = 2 }\n"
    )
    job = login.cluster.submit(
        "--nodes=2", "--ntasks-per-node=1", "--oversubscribe",
        str(ROOT / "jobs" / "slurm" / "strong.sbatch"),
        "spec.toml", "--ranks", "1,2", "--launches", "2", "--baseline", "none", "-o", "out",
        folder=login.folder,
    )  # fmt: skip
    state = login.cluster.wait(job, ("COMPLETED", "FAILED", "CANCELLED"))
    printed = (login.folder / f"lad-strong_{job}.out").read_text()
    assert state == "COMPLETED", printed
    logs = [read_log(path) for path in sorted(login.folder.glob("out/**/*.h5"))]
    assert logs, printed
    assert {log.status for log in logs} == {"complete"}
    # However many ranks there are, and whoever started them: the same bits.
    assert len({log.final.model.tobytes() for log in logs}) == 1
