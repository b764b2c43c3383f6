"""Inside a job the probe of GPU transfers starts processes of its own, and leaves the job alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cuda_on_host import COMPILER, standin_environment

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.timeout(240),
    pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler"),
]

SPEC = """
iterations = 30
problem = { dimension = 6 }
devices = { count = 8, byzantine = 2 }
backend = { kind = "cupy" }
"""
LAD = f"{sys.executable} -m lad_mpi"
MPIEXEC = Path(sys.prefix) / "bin" / "mpiexec"


@pytest.mark.parametrize(
    "launch",
    [f"{MPIEXEC} -n 3", "srun --mpi=pmi2 --nodes=1 --ntasks=3 --overlap"],
    ids=["mpiexec", "srun"],
)
def test_a_run_in_a_job_tries_with_two_processes_of_its_host(cluster, tmp_path, launch):
    (tmp_path / "spec.toml").write_text(SPEC)
    run = f"{launch} {LAD} run spec.toml -o log.h5 --force -q"
    environment = standin_environment()["PYTHONPATH"]
    done = subprocess.run(
        ["sbatch", "--wait", "--nodes=2", "--ntasks-per-node=3", "-o", "out", "--wrap", run],
        cwd=tmp_path,
        env={**cluster.environment, "PYTHONPATH": environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    said = (tmp_path / "out").read_text()
    assert done.returncode == 0, said + done.stderr
    show = [sys.executable, "-m", "lad_mpi", "show", "log.h5", "--json"]
    shown = json.loads(subprocess.check_output(show, cwd=tmp_path, text=True))
    assert shown["mpi_ranks"] == 3
    assert "two processes of this host" in shown["gpu_transfers_reason"]
    assert shown["gpu_transfers"] in {"direct", "staged"}
