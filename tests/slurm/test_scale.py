"""A scaling study inside an allocation of a real scheduler, launch by launch."""

from __future__ import annotations

from pathlib import Path

import pytest

from lad_mpi.logs import read_log
from lad_mpi.records import read_scaling

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(240)]

SPEC = """
name = "tiny"
iterations = 20
problem = { dimension = 6 }
devices = { count = 8, byzantine = 2 }
"""
JOB = """#!/bin/bash
PATH=$VENV/bin:$PATH
unset "${!SLURM_CPU_BIND@}"
exec lad-mpi scale strong spec.toml --ranks 1,2,3 --launches 2 --baseline none -o out "$@"
"""
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")


@pytest.mark.parametrize(
    ("nodes", "launcher"),
    [(2, "mpiexec"), (1, "srun --mpi=pmi2 --kill-on-bad-exit=1")],
    ids=["mpiexec", "srun"],
)
def test_a_study_runs_as_steps_of_one_job(cluster, tmp_path, nodes, launcher):
    (tmp_path / "spec.toml").write_text(SPEC)
    (tmp_path / "job.sbatch").write_text(JOB)
    # mpiexec is what is taken where it is beside Python.
    words = [] if launcher == "mpiexec" else ["--launcher", launcher]
    job = cluster.submit(
        f"--nodes={nodes}", "--ntasks=4", "--output=job.out", "job.sbatch", *words,
        folder=tmp_path,
    )  # fmt: skip
    state = cluster.wait(job, ENDED, timeout_s=180)
    printed = (tmp_path / "job.out").read_text()
    assert state == "COMPLETED", printed
    record = read_scaling(tmp_path / "out")
    assert Path(record.launcher[0]).name == launcher.split()[0]
    assert len(record.launches) == 6
    assert not any(launch.void for launch in record.launches), record.launches
    for launch in record.launches:
        log = read_log(tmp_path / "out" / launch.log)
        assert log.ranks == record.case(launch.case).ranks
        step = f"SLURM_JOB_ID={job}"
        assert step in log.provenance["scheduler"]
