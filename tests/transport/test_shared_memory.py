"""When a launch is refused because /dev/shm is too small for MPI."""

import os
import time
from types import SimpleNamespace

import pytest

from lad_mpi.errors import ExitCode, SharedMemoryError, TransportError
from lad_mpi.transport import shared_memory
from lad_mpi.transport.shared_memory import (
    check_shared_memory,
    fits,
    is_checked,
    needed_bytes,
    uses_posix,
)

MIB = 2**20
MPICH = "MPICH Version:      5.0.2\nMPICH Device:       ch4:ucx ofi\nMPICH configure: x"


@pytest.fixture
def shm(tmp_path, monkeypatch):
    """Make a /dev/shm of a given size and free space."""
    monkeypatch.setattr(shared_memory, "SHARED_MEMORY", tmp_path)

    def make(size, free=None):
        free = size if free is None else free
        found = SimpleNamespace(f_blocks=size // 4096, f_bavail=free // 4096, f_frsize=4096)
        monkeypatch.setattr(shared_memory.os, "statvfs", lambda path: found)
        return tmp_path

    return make


def hydra(ranks, **others):
    return {"PMI_SIZE": str(ranks), "MPI_LOCALNRANKS": str(ranks), **others}


def test_a_container_has_room_for_nine_ranks_and_more_are_refused_with_the_fix(shm):
    shm(64 * MIB)
    check_shared_memory(MPICH, hydra(9))
    for ranks in (10, 17):
        with pytest.raises(SharedMemoryError, match=f"64 MiB free.* for {ranks} ranks") as refused:
            check_shared_memory(MPICH, hydra(ranks))
    assert str(shared_memory.SHARED_MEMORY) in refused.value.message
    assert "needs 103 MiB" in refused.value.message
    assert refused.value.hint == (
        "give the container more (docker run --shm-size=1g), or export UCX_TLS=^posix, which "
        "needs 18 MiB only"
    )
    assert refused.value.exit_code == ExitCode.UNFIT
    assert isinstance(refused.value, TransportError)
    check_shared_memory(MPICH, hydra(17, UCX_TLS="^posix"))


def test_a_fix_that_would_not_help_is_not_offered(shm):
    shm(10 * MIB)
    with pytest.raises(SharedMemoryError) as refused:
        check_shared_memory(MPICH, hydra(17))
    assert refused.value.hint == "give the container more (docker run --shm-size=1g)"


@pytest.mark.parametrize("ranks", [1, 2, 5, 12, 17])
def test_sizes_that_were_measured_to_start_are_accepted(ranks):
    # Sizes in MiB at which runs started without a failure: see docs/doctor.md.
    assert needed_bytes(ranks, posix=True) >= {
        1: 16500, 2: 22700, 5: 38500, 12: 75400, 17: 101700
    }[ranks] * 1024  # fmt: skip
    assert needed_bytes(ranks, posix=True) < needed_bytes(ranks + 1, posix=True)
    # A few ranks also start with so little memory that none uses POSIX shared memory.
    assert fits(14 * MIB, ranks, posix=True) == (ranks < 14)
    # Between the two, some ranks would use it and some would not.
    assert not fits(17 * MIB, ranks, posix=True)


def test_ranks_of_this_launch_that_began_earlier_are_not_counted_twice(shm):
    folder = shm(120 * MIB, free=20 * MIB)
    check_shared_memory(MPICH, hydra(17))
    # The file that MPICH has just made is not counted twice either.
    (folder / "mpich_shm_1_0").write_bytes(bytes(20 * MIB))
    check_shared_memory(MPICH, hydra(17))
    # After a minute it belongs to others.
    hour_ago = time.time() - 3600
    os.utime(folder / "mpich_shm_1_0", (hour_ago, hour_ago))
    with pytest.raises(SharedMemoryError, match="has 100 MiB free") as refused:
        check_shared_memory(MPICH, hydra(17))
    assert refused.value.hint.endswith(f"or remove files of dead jobs from {folder}")


def test_only_ranks_of_the_same_host_count(shm):
    shm(64 * MIB)
    check_shared_memory(MPICH, {"PMI_SIZE": "1000", "MPI_LOCALNRANKS": "8"})
    # Nothing is refused if the number of ranks is unknown.
    check_shared_memory(MPICH, {"PMI_SIZE": "1000"})


@pytest.mark.parametrize(
    ("library", "checked"),
    [
        (MPICH, True),
        (" ".join(MPICH.split()), True),
        ("MPICH Version: 3.4\nMPICH Device: ch3:nemesis", False),
        ("Open MPI v5.0.6, package: x", False),
        ("MPI VERSION : CRAY MPICH version 8.1.25.17", False),
        ("Intel(R) MPI Library 2021.11 for Linux* OS", False),
    ],
)
def test_libraries_that_were_not_measured_are_accepted(shm, library, checked):
    assert is_checked(library) == checked
    shm(MIB)
    if not checked:
        check_shared_memory(library, hydra(17))


@pytest.mark.parametrize(
    ("environ", "posix"),
    [
        ({}, True),
        ({"UCX_TLS": "all"}, True),
        ({"UCX_TLS": "rc,sm,self"}, True),
        ({"UCX_TLS": "^rc"}, True),
        ({"UCX_TLS": "^posix"}, False),
        ({"UCX_TLS": "^rc,posix"}, False),
        ({"UCX_TLS": "tcp,self"}, False),
        ({"MPIR_CVAR_CH4_NETMOD": "ofi"}, False),
        ({"MPIR_CVAR_CH4_NETMOD": "ucx"}, True),
    ],
)
def test_ucx_tls_is_read_as_ucx_reads_it(environ, posix):
    assert uses_posix(MPICH, environ) == posix
    assert not uses_posix("MPICH Version: 4\nMPICH Device: ch4:ofi", {"UCX_TLS": "all"})
