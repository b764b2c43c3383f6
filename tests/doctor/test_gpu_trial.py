"""The trial of direct transfers, with host arrays or a stand-in for CuPy."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cuda_on_host import COMPILER, standin_environment

MPIRUN = shutil.which("mpirun", path=str(Path(sys.executable).parent)) or shutil.which("mpirun")
CLEAN = {key: value for key, value in os.environ.items() if not key.startswith(("PMI_", "PMIX_"))}
TRIAL = [sys.executable, "-m", "lad_mpi.doctor.gpu_trial", "60"]
MEASURE = """
import dataclasses, json
import numpy as np
from lad_mpi.arrays import open_backend
from lad_mpi.doctor.gpu_trial import measure
from lad_mpi.transport import open_link
from lad_mpi.transport.mpi import MpiExchange

def lie(exchange, gather=MpiExchange.gather):
    gather(exchange)
    if exchange.inbox is not None:
        exchange.inbox[1, -1] ^= 1

if LIES:
    MpiExchange.gather = lie
link = open_link()
found = measure(link, open_backend("numpy", "float32"))
if link.is_server:
    print(json.dumps(dataclasses.asdict(found)))
"""

pytestmark = pytest.mark.skipif(MPIRUN is None, reason="no mpirun beside this Python")


def verdict(command, environment=CLEAN):
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return next(line for line in told if "kind" in line)


def test_arrays_are_exchanged_and_timed():
    """With host arrays, which every MPI takes: the exchange itself is right."""
    code = MEASURE.replace("LIES", "False")
    found = verdict([MPIRUN, "-n", "2", sys.executable, "-c", code])
    assert found["direct_bytes_per_s"] > 0
    assert found["staged_bytes_per_s"] > 0
    faster = found["direct_bytes_per_s"] >= found["staged_bytes_per_s"]
    assert found["kind"] == ("direct" if faster else "staged")


def test_wrong_data_mean_staged():
    code = MEASURE.replace("LIES", "True")
    found = verdict([MPIRUN, "-n", "2", sys.executable, "-c", code])
    assert found["kind"] == "staged"
    assert "wrong data" in found["reason"]
    assert found["direct_bytes_per_s"] is None


@pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler")
class TestWithAStandIn:
    @pytest.fixture
    def environment(self):
        path = standin_environment()["PYTHONPATH"]
        return {**CLEAN, "PYTHONPATH": path}

    def test_two_processes_try_and_measure(self, environment):
        found = verdict([MPIRUN, "-n", "2", *TRIAL], environment)
        assert found["kind"] in {"direct", "staged"}
        assert "GB/s directly" in found["reason"]

    def test_a_process_that_does_not_find_the_other_means_staged(self, environment):
        found = verdict(TRIAL, environment)
        assert found["kind"] == "staged"
        assert "one process only" in found["reason"]
        assert found["direct_bytes_per_s"] is None

    def test_a_process_without_a_gpu_does_not_keep_the_other_waiting(self, environment):
        start = time.monotonic()
        blind = ["env", "CUPY_STANDIN_DEVICES=0"]
        both = ["-n", "1", *TRIAL, ":", "-n", "1", *blind, *TRIAL]
        assert verdict([MPIRUN, *both], environment)["kind"] == "staged"
        # Half of the time limit.
        assert time.monotonic() - start < 30

    def test_it_ends_by_itself_if_nothing_ends_it(self, environment):
        code = "import lad_mpi.doctor.gpu_trial as t, time; t._GRACE_S = 0\n"
        code += "t.open_link = lambda: time.sleep(50)\nt.main(1.0)"
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == -signal.SIGALRM
