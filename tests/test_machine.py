"""Facts about the machine and the process."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lad_mpi.machine import (
    cpu_model,
    describe_blas,
    describe_place,
    format_ranges,
    oversubscribed,
    package_versions,
    public_environment,
    quota_cpus,
)


def test_a_place_is_the_affinity_mask_of_this_process():
    place = describe_place()
    assert place["cpus"] == sorted(os.sched_getaffinity(0))
    assert place["blas_threads"] >= 1
    assert place["host"]


def test_packages_blas_and_processor_have_names():
    import h5py
    import numpy as np

    assert package_versions()["numpy"] == np.__version__
    assert package_versions()["h5py"] == h5py.__version__
    assert all(package_versions().values())
    assert all(describe_blas())
    assert cpu_model()


@given(st.sets(st.integers(0, 300)))
def test_ranges_name_exactly_the_numbers(numbers):
    text = format_ranges(numbers)
    named = set()
    for part in text.split(",") if text else []:
        first, _, last = part.partition("-")
        named |= set(range(int(first), int(last or first) + 1))
    assert named == numbers
    # Adjacent numbers form one range.
    assert text.count(",") + bool(text) == len({n for n in numbers if n - 1 not in numbers})


@pytest.mark.parametrize(
    ("places", "crowded"),
    [
        ([("a", [0, 1], 1), ("a", [0, 1], 1)], False),
        ([("a", [0, 1], 2), ("a", [0, 1], 1)], True),
        ([("a", [0], 1), ("b", [0], 1)], False),
        ([("a", [0], 1), ("b", [0], 2)], True),
        ([("a", [0], 1), ("a", [1], 1)], False),
    ],
)
def test_a_host_is_oversubscribed_when_threads_outnumber_its_processors(places, crowded):
    named = [{"host": host, "cpus": cpus, "blas_threads": n} for host, cpus, n in places]
    assert oversubscribed(named) == crowded


#: Variables of clusters, MPI libraries and unknown programs that do not help to interpret times.
SECRETS = (
    "SLURM_JWT", "SLURM_MY_TOKEN", "SLURM_JOB_USER", "SLURM_JOB_ACCOUNT", "SLURM_SPANK_AUTH",
    "PMI_COOKIE", "PMIX_SECURITY_MODE", "PMI_FD", "MPICH_FOO_AUTH", "MPICH_CREDENTIAL",
    "OMPI_MCA_plm_rsh_password", "OMPI_MCA_rmaps_secret", "PRTE_MCA_rmaps_base_cookie",
    "PBS_JOBCOOKIE", "PBS_O_HOME", "LSB_USER_PASSPHRASE", "OMP_API_KEY", "OMP_NUM_THREADS_KEY",
    "CUDA_VISIBLE_DEVICES_PASS", "HYDRA_PROXY_PORT", "I_MPI_HYDRA_ENV", "UCX_LICENSE", "HOME",
)  # fmt: skip


def test_only_listed_variables_are_recorded():
    told = {"SLURM_NNODES": "2", "OMP_NUM_THREADS": "1", "OMPI_MCA_pml": "ob1"}
    naming = {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "n[1-2]", "LSB_QUEUE": "long"}
    environ = {**dict.fromkeys(SECRETS, "hush"), **naming, **told}
    assert public_environment(environ) == {**told, **naming}
    assert public_environment(environ, naming=False) == told
    assert list(public_environment(environ)) == sorted({**told, **naming})


def test_values_are_texts_of_a_bounded_length():
    environ = {"OMP_PLACES": "{0}\x1b[2J\nSLURM_JWT=x", "SLURM_JOB_NODELIST": "n" * 10**6}
    assert public_environment(environ) == {
        "OMP_PLACES": "{0}\\u001b[2J\\u000aSLURM_JWT=x",
        "SLURM_JOB_NODELIST": "n" * 500 + "…",
    }


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"cpu.max": "150000 100000"}, 1.5),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"}, 4.0),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
    ],
    ids=["no groups", "version 2", "version 2, none", "version 1", "version 1, none"],
)
def test_quotas_of_both_versions_are_read(tmp_path, files, expected):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert quota_cpus(tmp_path) == expected
