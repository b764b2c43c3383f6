"""A scaling study inside an allocation of a real scheduler, by steps of srun."""

from __future__ import annotations

import pytest

from lad_mpi.logs import read_log
from lad_mpi.records import read_scaling

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(240)]

SPEC = """
name = "tiny"
iterations = 20
data = { dimension = 6 }
devices = { count = 8, byzantine = 2 }
"""
JOB = """#!/bin/bash
PATH=$VENV/bin:$PATH
unset "${!SLURM_CPU_BIND@}"
exec lad-mpi scale strong spec.toml --ranks 1,3 --launches 2 --baseline none -o out \\
  --launcher "srun --mpi=pmi2 --kill-on-bad-exit=1"
"""
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")


def test_a_study_runs_as_steps_of_one_job(cluster, tmp_path):
    (tmp_path / "spec.toml").write_text(SPEC)
    (tmp_path / "job.sbatch").write_text(JOB)
    # On several nodes mpiexec does it: test_submit.py, with the script that ships.
    job = cluster.submit("--ntasks=3", "--output=job.out", "job.sbatch", folder=tmp_path)
    state = cluster.wait(job, ENDED, timeout_s=180)
    printed = (tmp_path / "job.out").read_text()
    assert state == "COMPLETED", printed
    record = read_scaling(tmp_path / "out")
    assert record.launcher[0] == "srun"
    assert len(record.launches) == 4
    assert not any(launch.void for launch in record.launches), record.launches
    for launch in record.launches:
        log = read_log(tmp_path / "out" / launch.log)
        assert log.ranks == record.case(launch.case).ranks
        step = f"SLURM_JOB_ID={job}"
        assert step in log.provenance["scheduler"]
