"""A run that runs out of memory fails, but its study continues."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import ordeal

from lad_mpi.logs import read_log

pytestmark = pytest.mark.skipif(ordeal.MPIRUN is None, reason="no mpirun beside this Python")

STUDY = """
[base]
iterations = 2
compute = "shared"
data = { dimension = 5_000, samples_per_subset = 1 }
devices = { count = 100, byzantine = 20 }
coding = { kind = "cyclic", load = 1 }
compression = { kind = "cast", error_feedback = true }
aggregation = { kind = "mean" }
safety = { checkpoint_every = 1, timeout_s = 20.0 }
[[cases]]
name = "big"
[[cases]]
name = "small"
data = { dimension = 6 }
"""
#: Let malloc return freed memory to the system, so that the next allocation fails.
RETURNED = {"MALLOC_MMAP_THRESHOLD_": "65536"}


@pytest.fixture
def starve(tmp_path):
    """Run the study; one rank runs out of memory at the first call of a point."""

    def run(ranks, rank, point, study=STUDY):
        (tmp_path / "study.toml").write_text(study)
        fault = ordeal.Fault(point, rank, 0, "starve").as_json()
        launcher = [] if ranks == 1 else [str(ordeal.MPIRUN), "-n", str(ranks)]
        command = [*launcher, sys.executable, str(ordeal.VICTIM), fault]
        return subprocess.run(
            [*command, "study", "run", "study.toml", "-o", "out"],
            cwd=tmp_path,
            env={**ordeal.CLEAN, **RETURNED},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.mark.parametrize(
    ("ranks", "rank", "point"),
    [
        (1, 0, "buffers"),
        (1, 0, "compute"),
        (3, 1, "data"),
        (3, 0, "buffers"),
        (3, 2, "buffers"),
        (3, 1, "device block"),
        (3, 0, "evaluator"),
        (3, 0, "messages"),
        (3, 0, "evaluation"),
        (3, 0, "state"),
        (3, 0, "checkpoint"),
    ],
)
def test_a_study_continues_after_a_run_out_of_memory(starve, tmp_path, ranks, rank, point):
    done = starve(ranks, rank, point)
    assert done.returncode == 1, done.stderr
    assert done.stdout == "1 completed, 0 complete before, 1 not completed; logs in out\n"
    where = f"rank {rank}: " if rank else ""
    assert done.stderr.count(f"big (seed 1): {where}not enough memory") == 1, done.stderr
    (small,) = tmp_path.glob("out/small*.h5")
    assert read_log(small).status == "complete"
    for path in tmp_path.glob("out/big*.h5"):
        assert (read_log(path).status, "not enough memory" in read_log(path).failure) == (
            "failed",
            True,
        )


def test_a_device_rank_out_of_memory_ends_all_ranks_and_is_named(starve):
    done = starve(3, 1, "compute")
    assert done.returncode == 1
    assert done.stderr.count("lad-mpi: error on rank 1: not enough memory") == 1, done.stderr


@pytest.mark.parametrize("rank", [0, 1])
def test_a_server_that_the_others_wait_for_ends_all_ranks_and_is_named(starve, rank):
    shared = STUDY.replace("5_000", "100_000") + "[base.server]\nranks = 2\n"
    done = starve(4, rank, "messages", shared)
    assert done.returncode == 1
    assert done.stderr.count(f"lad-mpi: error on rank {rank}: not enough memory") == 1, done.stderr
    assert "waited" not in done.stderr
