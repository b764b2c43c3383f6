"""GPUs that are hidden or shared, and how their arrays reach MPI."""

import pytest

from lad_mpi.doctor import Severity
from lad_mpi.doctor.gpu import judge_gpus
from lad_mpi.doctor.gpu_probe import GpuTransfers


def found(findings):
    return [(f.severity, f.check) for f in findings]


def test_a_host_without_gpus_is_ok(ranks):
    (finding,) = judge_gpus(ranks(2))
    assert finding.severity == Severity.OK
    assert "no GPUs" in finding.found


def test_a_gpu_for_every_rank_is_ok(rank):
    facts = [rank(n, gpus=(f"X {n}",), gpu=f"X {n}", driver_gpus=2) for n in range(2)]
    assert found(judge_gpus(facts)) == [(Severity.OK, "gpu")]


def test_ranks_that_share_a_gpu_are_a_warning(rank):
    facts = [rank(n, gpus=("X 0",), gpu="X 0", driver_gpus=1) for n in range(4)]
    (finding,) = judge_gpus(facts)
    assert (finding.severity, finding.check) == (Severity.WARNING, "gpu")
    # The server needs none of its own.
    assert finding.ranks == (1, 2, 3)
    assert found(judge_gpus(facts[:2])) == [(Severity.OK, "gpu")]


def test_gpus_of_the_same_name_on_two_hosts_are_two(rank):
    facts = [rank(n, host=f"n{n}", gpus=("X 0",), gpu="X 0", driver_gpus=1) for n in range(3)]
    assert found(judge_gpus(facts)) == [(Severity.OK, "gpu")]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"environment": {"CUDA_VISIBLE_DEVICES": ""}}, "CUDA_VISIBLE_DEVICES hides them"),
        ({"versions": {"cupy_cuda12x": "13"}}, "CuPy finds none"),
        ({}, "CuPy is not installed"),
    ],
)
def test_gpus_that_cannot_be_used_are_a_note_that_says_why(ranks, changes, why):
    (finding,) = judge_gpus(ranks(2, driver_gpus=4, **changes))
    assert finding.severity == Severity.NOTE
    assert why in finding.found


DIRECT = GpuTransfers("direct", "20 GB/s", 2e10, 1e10)
STAGED = GpuTransfers("staged", "it was killed by SIGSEGV")


def recommended(facts):
    (finding,) = [f for f in judge_gpus(facts) if f.check == "gpu transfers"]
    assert finding.severity == Severity.NOTE
    return finding


def test_direct_transfers_are_recommended_if_they_work_on_every_host(rank):
    first = rank(0, gpus=("X",), gpu="X", transfers=DIRECT)
    other = rank(1, host="n2", gpus=("X",), gpu="X", transfers=DIRECT)
    finding = recommended([first, other])
    assert "20 GB/s" in finding.found
    assert 'set backend.gpu_transfers = "direct"' in finding.fix


def test_one_host_that_cannot_decides_for_all(rank):
    first = rank(0, gpus=("X",), gpu="X", transfers=DIRECT)
    other = rank(1, host="n2", gpus=("X",), gpu="X", transfers=STAGED)
    finding = recommended([first, other])
    assert 'stay with backend.gpu_transfers = "staged"' in finding.found
    assert "n2: it was killed by SIGSEGV" in finding.found


def test_ranks_that_see_different_gpus_of_a_host_stay_staged(rank):
    first = rank(0, gpus=("X 0",), gpu="X 0", transfers=DIRECT)
    finding = recommended([first, rank(1, gpus=("X 1",), gpu="X 1")])
    assert "the ranks of n1 see different GPUs" in finding.found
