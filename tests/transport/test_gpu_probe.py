"""The probe of GPU transfers: processes that crash, hang or lie are outlived."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lad_mpi.transport.gpu_probe import GpuTransfers, probe_gpu_transfers

GPU = json.dumps({"gpu": "made up"})
MPIRUN = shutil.which("mpirun", path=str(Path(sys.executable).parent)) or shutil.which("mpirun")
CLEAN = {key: value for key, value in os.environ.items() if not key.startswith(("PMI_", "PMIX_"))}
MEASURE = """
import dataclasses, json
import numpy as np
from lad_mpi.arrays import open_backend
from lad_mpi.transport.gpu_probe import measure
from lad_mpi.transport.mpi import world

class Lying:
    rank, size = 0, 1
    def __getattr__(self, name):
        return getattr(world(), name)
    def Gatherv(self, send, receive, root):
        world().Gatherv(send, receive, root)
        receive[0][1, -1] ^= 1

comm = Lying() if LIES else world()
found = measure(comm, open_backend("numpy", "float32"))
if comm.rank == 0:
    print(json.dumps(dataclasses.asdict(found)))
"""


def probe(code, **options):
    return probe_gpu_transfers(command=[sys.executable, "-c", code], **options)


def test_a_verdict_is_taken_as_it_is_told():
    told = {"kind": "direct", "reason": "20 GB/s", "direct_bytes_per_s": 2e10}
    code = f"print({GPU!r}); print('noise'); print({json.dumps(told)!r})"
    assert probe(code) == GpuTransfers("direct", "20 GB/s", 2e10)


def test_a_crash_with_an_array_in_hand_means_staged_and_names_the_signal():
    found = probe(f"import os; print({GPU!r}, flush=True); os.kill(os.getpid(), 11)")
    assert found.kind == "staged"
    assert "killed by SIGSEGV" in found.reason


def test_an_error_with_an_array_in_hand_means_staged_and_is_quoted():
    found = probe(f"print({GPU!r}, flush=True); raise RuntimeError('no CUDA in this MPI')")
    assert found.kind == "staged"
    assert "exit code 1: RuntimeError: no CUDA in this MPI" in found.reason


def test_a_hang_is_ended_with_all_its_children():
    code = (
        "import subprocess, sys, time\n"
        f"print({GPU!r}, flush=True)\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(100)'])\n"
        "time.sleep(100)"
    )
    # The pipes close only when the grandchild is gone, too.
    found = probe(code, timeout_s=1.0)
    assert found == GpuTransfers(
        "staged", "MPI failed when it was handed an array of the GPU (it did not end within 1 s)"
    )


def test_a_crash_before_a_gpu_was_opened_means_none():
    assert probe("import os; os.kill(os.getpid(), 11)").kind == "none"


def test_the_launcher_of_the_ranks_is_hidden_from_the_probe(monkeypatch):
    for name in ("PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_SIZE", "SLURM_PROCID", "PALS_RANKID"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    code = (
        "import json, os\n"
        "ours = ('PM', 'OMPI', 'SLURM', 'PALS', 'CUDA_VISIBLE')\n"
        "found = ' '.join(sorted(name for name in os.environ if name.startswith(ours)))\n"
        "print(json.dumps({'kind': 'none', 'reason': found}))"
    )
    assert probe(code).reason == "CUDA_VISIBLE_DEVICES"


def test_the_real_probe_ends_in_a_verdict():
    found = probe_gpu_transfers()
    assert found.kind in {"direct", "staged", "none"}
    assert found.reason
    assert (found.kind == "none") == (found.direct_bytes_per_s is None is found.staged_bytes_per_s)


@pytest.mark.parametrize("ranks", [1, 2])
def test_arrays_are_exchanged_and_timed(ranks):
    """With host arrays, which every MPI takes: the exchange itself is right."""
    code = MEASURE.replace("LIES", "False")
    launcher = [] if ranks == 1 else [MPIRUN, "-n", str(ranks)]
    if ranks > 1 and MPIRUN is None:
        pytest.skip("no mpirun beside this Python")
    found = measured([*launcher, sys.executable, "-c", code])
    assert found["direct_bytes_per_s"] > 0
    assert found["staged_bytes_per_s"] > 0
    faster = found["direct_bytes_per_s"] >= found["staged_bytes_per_s"]
    assert found["kind"] == ("direct" if faster else "staged")


def test_other_contents_than_were_sent_mean_staged():
    found = measured([sys.executable, "-c", MEASURE.replace("LIES", "True")])
    assert found["kind"] == "staged"
    assert "other contents" in found["reason"]
    assert found["direct_bytes_per_s"] is None


def measured(command):
    done = subprocess.run(
        command, env=CLEAN, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
