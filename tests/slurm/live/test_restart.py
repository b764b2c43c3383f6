"""Jobs that come back by themselves, on a real scheduler."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from lad_mpi.logs import read_log

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(240)]

SPEC = """
iterations = 4000
data = { dimension = 6 }
devices = { count = 8, byzantine = 2 }
logging = { flush_every = 100 }
"""
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")
SMALL = ("--nodes=2", "--ntasks-per-node=1", "--oversubscribe")


def wait_for(path, timeout_s=60.0):
    deadline = time.monotonic() + timeout_s
    while not path.exists():
        printed = [out.read_text() for out in path.parent.glob("*.out")]
        assert time.monotonic() < deadline, f"no {path.name} within {timeout_s} s: {printed}"
        time.sleep(0.1)


def run_alone(folder):
    subprocess.run(
        [sys.executable, "-m", "lad_mpi", "run", "spec.toml", "-o", "alone.h5", "-q"],
        cwd=folder,
        check=True,
        timeout=120,
    )
    return read_log(folder / "alone.h5")


def assert_same_bits(one, two):
    assert one.metrics.keys() == two.metrics.keys()
    for name, values in one.metrics.items():
        assert values.tobytes() == two.metrics[name].tobytes(), name
    assert one.final.model.tobytes() == two.final.model.tobytes()


def test_a_job_that_is_warned_comes_back_until_it_is_done(cluster, jobs, tmp_path):
    (tmp_path / "spec.toml").write_text(SPEC)
    job = cluster.submit(
        *SMALL, str(jobs / "run.sbatch"), "spec.toml", "-o", "run.h5", folder=tmp_path
    )
    wait_for(tmp_path / "run.h5")
    # What --signal=B:USR2@120 does two minutes before the end.
    cluster.call("scancel", "--batch", "--signal=USR2", job)
    state = cluster.wait(job, ENDED, timeout_s=180)
    printed = (tmp_path / f"lad-run_{job}.out").read_text()
    assert state == "COMPLETED", printed
    assert cluster.job(job)["Restarts"] == "1"
    assert printed.count("lad-mpi: interrupted by SIGTERM after") == 1
    log = read_log(tmp_path / "run.h5")
    assert log.status == "complete"
    assert len(log.restarts) == 1
    assert f"continuing after {log.restarts[0]} of 4000 iterations" in printed
    assert_same_bits(log, run_alone(tmp_path))
