"""GPUs that are hidden, shared, or staged."""

import pytest

from lad_mpi.doctor import Severity
from lad_mpi.doctor.gpu import judge_gpus
from lad_mpi.doctor.gpu_probe import GpuTransfers


def found(findings):
    return [(f.severity, f.check) for f in findings]


def test_a_host_without_gpus_is_well(ranks):
    (finding,) = judge_gpus(ranks(2))
    assert finding.severity == Severity.OK
    assert "none here" in finding.found


def test_a_gpu_for_every_rank_is_well(rank):
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
        ({"versions": {"cupy_cuda12x": "13"}}, "CuPy can use none"),
        ({}, "CuPy is not installed"),
    ],
)
def test_gpus_that_cannot_be_used_are_a_note_that_says_why(ranks, changes, why):
    (finding,) = judge_gpus(ranks(2, driver_gpus=4, **changes))
    assert finding.severity == Severity.NOTE
    assert why in finding.found


@pytest.mark.parametrize(("kind", "severity"), [("direct", Severity.OK), ("staged", Severity.NOTE)])
def test_how_messages_leave_the_gpu_is_told_once_a_host(rank, kind, severity):
    first = rank(0, gpus=("X",), gpu="X", transfers=GpuTransfers(kind, "20 GB/s", 2e10, 1e10))
    findings = judge_gpus([first, rank(1)])
    assert found(findings) == [(severity, "gpu transfers")]
    assert "20 GB/s" in findings[0].found
