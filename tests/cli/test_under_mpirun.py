"""Commands under a real launcher: one message, one exit code, no rank left behind."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lad_mpi.logs import read_log

SPEC = """
name = "tiny"
iterations = 20
problem = { dimension = 6 }
devices = { count = 10, byzantine = 2 }
coding = { kind = "cyclic", load = 3 }
"""
MPIRUN = shutil.which("mpirun", path=str(Path(sys.executable).parent)) or shutil.which("mpirun")
# Launched from a test that itself may have been started by a launcher.
CLEAN = {key: value for key, value in os.environ.items() if not key.startswith(("PMI_", "PMIX_"))}

pytestmark = pytest.mark.skipif(MPIRUN is None, reason="no mpirun beside this Python")


@pytest.fixture
def command(tmp_path):
    (tmp_path / "spec.toml").write_text(SPEC)

    def build(*arguments, ranks=3):
        return [MPIRUN, "-n", str(ranks), sys.executable, "-m", "lad_mpi", *arguments]

    return build


@pytest.fixture
def lad(command, tmp_path):
    def call(*arguments, ranks=3):
        return subprocess.run(
            command(*arguments, ranks=ranks),
            cwd=tmp_path,
            env=CLEAN,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return call


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_a_run_ends_well_and_speaks_once(lad, tmp_path, ranks):
    done = lad("run", "spec.toml", "-o", "out.h5", ranks=ranks)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "out.h5\n"
    log = read_log(tmp_path / "out.h5")
    assert log.provenance["mpi_ranks"] == ranks
    assert log.seconds.shape[1] == ranks


BAD = {
    "unknown key": (["--set", "coding.laod=3"], "coding.laod"),
    "unknown kind": (["--set", "attack.kind=sing_flip"], "attack.kind"),
    "too many faults": (["--set", "devices.byzantine=5"], "devices.byzantine"),
    "load": (["--set", "coding.load=11"], "coding.load"),
    "codec": (["--set", 'compression={kind="rand_k",k=7}'], "compression.k"),
    "no data": (["--set", "problem={data='absent.csv'}"], "absent.csv"),
    "no such option": (["--fast"], "--fast"),
    "taken output": (["-o", "spec.toml/x.h5"], "spec.toml is not a folder"),
}


@pytest.mark.parametrize(("arguments", "words"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_once_by_name_with_exit_code_2(lad, arguments, words):
    done = lad("run", "spec.toml", *arguments)
    assert done.returncode == 2
    assert done.stderr.count("error: ") == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_more_ranks_than_work_are_refused(lad):
    done = lad(
        "run",
        "spec.toml",
        "--set",
        "devices={count=2,byzantine=0}",
        "--set",
        "coding.load=1",
        ranks=5,
    )
    assert done.returncode == 2
    assert done.stderr.count("2 would have nothing to do") == 1


STUDY = """
[base]
iterations = 20
problem = { dimension = 6 }
devices = { count = 10, byzantine = 2 }
[[cases]]
name = "diverging"
aggregation = { kind = "mean" }
optimizer = { step_size = 1e200 }
[[cases]]
name = "d={coding.load}"
axes = { coding.load = [1, 2] }
"""


def test_a_study_goes_on_past_a_failed_run_and_skips_what_is_done(lad, tmp_path):
    (tmp_path / "study.toml").write_text(STUDY)
    first = lad("study", "run", "study.toml", "-o", "out")
    assert first.returncode == 1
    assert first.stdout == "2 completed, 0 complete before, 1 not completed; logs in out\n"
    assert first.stderr.count("diverging (seed 1): diverged") == 1
    again = lad("study", "run", "study.toml", "-o", "out", ranks=2)
    assert again.stdout == "0 completed, 2 complete before, 1 not completed; logs in out\n"


BROKEN = """
from dataclasses import dataclass
from typing import ClassVar

from lad_mpi.errors import BackendError

ERROR = NAME


@dataclass(frozen=True)
class Broken:
    kind: ClassVar[str] = "broken"

    def corrupt(self, coded, context):
        if context.iteration == 7 and context.devices[-1] >= 5:
            raise ERROR("broken on purpose")
        return coded
"""


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        ("ZeroDivisionError", "ZeroDivisionError: broken on purpose"),
        ("BackendError", "broken on purpose"),
    ],
)
def test_an_error_on_a_rank_of_devices_ends_the_whole_job_by_name(command, tmp_path, error, shown):
    (tmp_path / "broken.py").write_text(BROKEN.replace("NAME", error))
    metadata = tmp_path / "broken-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[lad_mpi.attacks]\nbroken = broken:Broken\n")
    done = subprocess.run(
        command(
            "run",
            "spec.toml",
            "--set",
            "attack={kind='broken'}",
            "--set",
            "devices.byzantine=4",
            "-o",
            "out.h5",
        ),
        cwd=tmp_path,
        env={**CLEAN, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode != 0
    assert done.stderr.count(f"error on rank 2: {shown}\n") == 1
    assert "error on rank 1" not in done.stderr
    assert read_log(tmp_path / "out.h5").status == "interrupted"


def test_sigterm_to_the_launched_ranks_ends_them_in_order(command, tmp_path):
    started = subprocess.Popen(
        command("run", "spec.toml", "--set", "iterations=10000000", "-o", "out.h5"),
        cwd=tmp_path,
        env=CLEAN,
        stderr=subprocess.PIPE,
        text=True,
    )
    path = tmp_path / "out.h5"
    deadline = time.monotonic() + 30
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    server = _rank(started.pid, 0)
    os.kill(server, signal.SIGTERM)
    _, errors = started.communicate(timeout=30)
    assert started.returncode == 75
    assert "interrupted by SIGTERM" in errors
    log = read_log(path)
    assert log.status == "interrupted"
    assert len(log.iteration) > 0


def test_a_signal_between_the_runs_of_a_study_ends_it_in_order(command, tmp_path):
    seeds = list(range(1, 400))
    (tmp_path / "study.toml").write_text(
        STUDY.partition("[[cases]]")[0] + f"[axes]\nseed = {seeds}\n"
    )
    started = subprocess.Popen(
        command("study", "run", "study.toml", "-o", "out"),
        cwd=tmp_path,
        env=CLEAN,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 30
    while not list(tmp_path.glob("out/*.h5")) and time.monotonic() < deadline:
        time.sleep(0.05)
    # As a scheduler does: every rank gets the signal, one after another.
    for rank in (1, 0, 2):
        os.kill(_rank(started.pid, rank), signal.SIGUSR2)
    output, errors = started.communicate(timeout=30)
    assert started.returncode == 75
    assert "interrupted; the same command goes on with what is missing" in errors
    assert "Traceback" not in errors
    assert " completed, 0 complete before" in output
    assert {read_log(path).status for path in tmp_path.glob("out/*.h5")} <= {
        "complete",
        "interrupted",
    }


def test_a_launcher_that_is_killed_leaves_a_readable_log(command, tmp_path):
    started = subprocess.Popen(
        command("run", "spec.toml", "--set", "iterations=10000000", "-o", "out.h5", "-q"),
        cwd=tmp_path,
        env=CLEAN,
        stderr=subprocess.DEVNULL,
    )
    path = tmp_path / "out.h5"
    deadline = time.monotonic() + 30
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.7)
    server = _rank(started.pid, 0)
    os.kill(server, signal.SIGKILL)
    started.wait(timeout=30)
    log = read_log(path)
    assert log.status == "interrupted"
    assert len(log.iteration) > 0


def _rank(launcher, rank):
    """The process of a rank among the descendants of a launcher."""
    children = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    waiting = [launcher]
    while waiting:
        pid = waiting.pop()
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        if f"PMI_RANK={rank}".encode() in environment and pid != launcher:
            return pid
        waiting.extend(children.get(pid, []))
    raise AssertionError(f"no rank {rank} found")
